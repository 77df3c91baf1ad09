"""The command line: up, demo, scale, status, down."""

from launcher.cli.app import app

__all__ = ["app"]
