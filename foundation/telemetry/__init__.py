"""Logs, metrics and the probe port."""

from foundation.telemetry.logs import configure_logging
from foundation.telemetry.probes import Health, ProbeServer

__all__ = ["Health", "ProbeServer", "configure_logging"]
