"""The ground: errors, settings, telemetry, connections. It knows no service."""
