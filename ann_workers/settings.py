"""The worker's settings."""

from __future__ import annotations

import secrets

from pydantic import Field

from foundation.settings import SettingsGroup


class WorkerSettings(SettingsGroup):
    """An ANN worker."""

    worker_name: str = Field(
        default_factory=lambda: f"worker-{secrets.token_hex(4)}",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Name of this process in logs; a new suffix is added at each start",
    )
    worker_pool: str = Field(
        "default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="The pool it serves"
    )
    worker_max_sessions: int = Field(20_000, gt=0, description="Sessions it holds at a time")
    worker_max_batch: int = Field(64, ge=1, le=4096, description="Inputs in one computation")
    worker_inline_us: int = Field(
        2000,
        ge=0,
        description="A batch that is expected to take longer is computed in a thread, so that the "
        "event loop is never blocked for much more than this",
    )
    worker_compute_timeout_s: float = Field(
        30.0,
        gt=0,
        description="A computation that takes longer is given up: its inputs are answered with an "
        "error, and the worker hands its sessions over and ends",
    )
    worker_remote_retry_s: float = Field(
        10.0,
        ge=0,
        description="A server that computes for this worker and is away is tried again for this "
        "long, where nothing can be counted twice; then inputs are answered with an error",
    )
    worker_remote_answer_bytes: int = Field(
        64 << 20,
        ge=1024,
        description="Largest answer of such a server, all its parts together, each counting 256 "
        "bytes more than it has",
    )
    worker_window_inputs: int = Field(
        1024, ge=1, description="Inputs that a session may have under way"
    )
    worker_window_bytes: int = Field(8 * 1024 * 1024, ge=65536, description="Bytes of them")
    worker_detached_bytes: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="What sessions whose clients are away may keep in memory together; beyond it, "
        "those that are away for the longest time are let go, to be taken over from their "
        "checkpoint when their client comes back",
    )
    worker_checkpoint_inputs: int = Field(
        128, ge=1, description="A stateful session is checkpointed after this many inputs,"
    )
    worker_checkpoint_ms: int = Field(250, ge=1, description="or this long after the first one")
    worker_lease_ms: int = Field(
        2000, ge=200, description="A worker that cannot renew its lease this long stops answering"
    )
    worker_model_cache: int = Field(64, ge=1, description="Network versions kept in memory")
    worker_drain_s: float = Field(
        10.0, gt=0, description="After SIGTERM, sessions are handed over within this time"
    )
