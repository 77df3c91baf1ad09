"""How a worker uses Triton servers."""

from __future__ import annotations

from pydantic import Field

from foundation.settings import SettingsGroup


class TritonSettings(SettingsGroup):
    """The backend `triton` of an ANN worker."""

    worker_triton_requests: int = Field(
        default=256,
        ge=1,
        le=65536,
        description="Requests under way at a time for one network; more inputs wait",
    )
