"""The entry point: `python -m rest_api`."""

from __future__ import annotations

import gc
import logging
import sys

PURPOSE = """\
The REST API of Direct Contact: networks, sessions, commands, pools, workers and keys.

It needs NATS and Redis; records go to SQLite unless --database-url names PostgreSQL. The first
start prints an admin API key. Then, with curl:

  curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/v1/networks

The description of every call is at /docs and /openapi.json. SIGTERM finishes the calls under way
and exits with 0."""


def main() -> None:
    """Run until SIGTERM or SIGINT; exits with 1 and one line when it cannot start."""
    gc.disable()  # Until settle_memory: what is loaded stays, and looking through it takes time.
    try:
        from rest_api.service import serve
        from rest_api.settings import RestSettings
    except ModuleNotFoundError as error:
        sys.exit(f"rest_api: {error.name} is missing: pip install 'direct-contact[rest]'")
    from foundation.process import run, settle_memory
    from foundation.settings import (
        BrokerSettings,
        DatabaseSettings,
        RedisSettings,
        TelemetrySettings,
        load,
    )
    from foundation.telemetry import configure_logging
    from foundation.telemetry.readiness import ReadinessSettings

    groups = (
        RestSettings,
        DatabaseSettings,
        RedisSettings,
        BrokerSettings,
        TelemetrySettings,
        ReadinessSettings,
    )
    settings = load(groups, program="python -m rest_api", purpose=PURPOSE)
    telemetry = settings[TelemetrySettings]
    configure_logging(
        service="rest_api",
        name=settings[RestSettings].rest_name,
        log_format=telemetry.log_format,
        level=telemetry.log_level,
    )
    # Start and stop are told in our own words.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    run(
        "rest_api",
        lambda stop: serve(settings, stop=stop, on_ready=lambda _port: settle_memory()),
    )


if __name__ == "__main__":
    main()
