"""The gateway's settings."""

from __future__ import annotations

import secrets
from typing import Final

from pydantic import Field

from foundation.busy_poll import BusyPollSettings
from foundation.settings import (
    BrokerSettings,
    RedisSettings,
    SettingsGroup,
    TelemetrySettings,
)
from foundation.telemetry.readiness import ReadinessSettings


class GatewaySettings(SettingsGroup):
    """The WSS endpoint."""

    gateway_name: str = Field(
        default_factory=lambda: f"gateway-{secrets.token_hex(4)}",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Name of this process in logs; a new suffix is added at each start",
    )
    gateway_host: str = Field("127.0.0.1", description="Address of the stream endpoint")
    gateway_port: int = Field(8765, ge=0, le=65535, description="Its port; 0: any free one")
    gateway_tls_cert: str = Field("", description="Certificate chain (PEM); empty: no TLS")
    gateway_tls_key: str = Field("", description="Private key (PEM) of the certificate")
    gateway_max_connections: int = Field(
        20_000, gt=0, description="Streams at a time; more get 503 with Retry-After"
    )
    gateway_max_frame_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        description="Largest WebSocket message; lowered to what the broker carries",
    )
    gateway_max_buffered_bytes: int = Field(
        16 * 1024 * 1024,
        ge=65536,
        description="Bytes that may wait for one slow reader before it is closed with 4002",
    )
    gateway_hello_timeout_s: float = Field(
        5.0, gt=0, description="How long a new stream may take to say Hello"
    )
    gateway_ping_interval_s: float = Field(
        15.0, gt=0, description="A client should be heard this often; after three it is closed"
    )
    gateway_placement_timeout_s: float = Field(
        5.0, gt=0, description="How long a new session waits for a worker before it is refused"
    )
    gateway_worker_silence_s: float = Field(
        2.0, gt=0, description="A worker that is silent for longer counts as frozen"
    )
    gateway_drain_s: float = Field(
        5.0, ge=0, description="After SIGTERM, reconnects are spread over this time"
    )


GROUPS: Final[tuple[type[SettingsGroup], ...]] = (
    GatewaySettings,
    BrokerSettings,
    RedisSettings,
    BusyPollSettings,
    TelemetrySettings,
    ReadinessSettings,
)
"""What a gateway's process reads."""
