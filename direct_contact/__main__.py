"""`python -m direct_contact`: one gateway process."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Read the settings, serve until SIGTERM, exit 0 after the drain."""
    gc.disable()  # Until settle_memory: what is loaded stays, and looking through it takes time.
    try:
        from direct_contact.gateway.service import Gateway
    except ModuleNotFoundError as error:
        sys.exit(f"direct_contact: {error.name} is missing: pip install 'direct-contact[gateway]'")
    from direct_contact.gateway.settings import GROUPS, GatewaySettings
    from foundation.process import run
    from foundation.settings import TelemetrySettings, load
    from foundation.telemetry import configure_logging

    settings = load(
        GROUPS,
        program="python -m direct_contact",
        purpose="The Direct Contact service: the WSS endpoint that connects clients to workers.",
    )
    telemetry = settings[TelemetrySettings]
    configure_logging(
        service="direct_contact",
        name=settings[GatewaySettings].gateway_name,
        log_format=telemetry.log_format,
        level=telemetry.log_level,
    )
    run("direct_contact", Gateway(settings).serve)


if __name__ == "__main__":
    main()
