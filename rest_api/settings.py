"""The REST API's own settings."""

from __future__ import annotations

from pydantic import Field

from foundation.settings import SettingsGroup


class RestSettings(SettingsGroup):
    """The REST API. /healthz, /readyz and /metrics are on its own port."""

    rest_name: str = Field("rest-api", description="Name of this process in logs")
    rest_host: str = Field("127.0.0.1", description="Address to listen on")
    rest_port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0: any free one")
    rest_tls_cert: str = Field("", description="Certificate chain (PEM file); empty: no TLS")
    rest_tls_key: str = Field("", description="Private key of the certificate (PEM file)")
    rest_stream_url: str = Field(
        "ws://127.0.0.1:8765/v1/stream",
        pattern=r"^wss?://[^\s,]+(,wss?://[^\s,]+)*$",
        description="Where clients open the stream: what a new session tells them; several, "
        "comma-separated, are gateways that each serve any session",
    )
    rest_admin_key: str = Field(
        "", description="Text of the first admin key; empty: one is made at first start and printed"
    )
    rest_max_body_bytes: int = Field(
        64 << 20, ge=1024, description="Largest request body, weights included"
    )
    rest_max_model_bytes: int = Field(
        256 << 20, ge=1024, description="Largest ONNX file that a network is created from"
    )
    rest_triton_servers: str = Field(
        "*",
        description="Triton servers that a network may name: comma-separated patterns of "
        "`host:port`, with * for any text; empty: none",
    )
    rest_triton_timeout_s: float = Field(
        5.0, gt=0, le=60, description="How long a Triton server may take to tell of a model"
    )
    rest_max_parameters: int = Field(
        10_000_000,
        ge=1,
        description="Most parameters of one network; each takes 4 bytes of weights",
    )
    rest_ticket_ttl_s: float = Field(
        60.0, gt=0, le=3600, description="How long a ticket for the stream is good"
    )
    rest_command_timeout_s: float = Field(
        30.0, gt=0, le=600, description="How long a command may wait for the worker's answer"
    )
    rest_default_replicas: int = Field(
        1, ge=0, le=1000, description="Workers of the pool `default` when it is first made"
    )
    rest_session_days: float = Field(
        30.0, gt=0, description="How long the records of ended sessions are kept"
    )
    rest_unnamed_weights_hours: float = Field(
        24.0, ge=0, description="How long weights are kept that no version names; 0: for ever"
    )
    rest_sweep_interval_s: float = Field(
        60.0, gt=0, description="How often ended sessions, old answers and weights are swept"
    )
