"""What a worker with an endpoint of its own is told beyond the settings of both its halves."""

from __future__ import annotations

from pydantic import Field

from foundation.settings import SettingsGroup


class EndpointSettings(SettingsGroup):
    """The endpoint of a worker: where it tells clients to stream to."""

    worker_endpoint_url: str = Field(
        "",
        pattern=r"^(wss?://[^\s,]+)?$",
        description="Where clients reach this worker's stream endpoint; `{host}` and `{port}` "
        "stand for this machine's name and the endpoint's port; empty: where it listens",
    )
