"""What a gateway counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class GatewayStats:
    """Plain counters of the frame path; the metrics collector reads them."""

    frames_in: int = 0
    frames_out: int = 0
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    stale_envelopes: int = 0
    takeovers: int = 0
    slow_readers: int = 0
