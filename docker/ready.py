"""A container's health check: exits 0 when the URL answers 200, else 1 with what it answered."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0
"""Below the time-out of the health check itself, so that the reason is still told."""


def main() -> None:
    """Ask the URL that is the first argument."""
    # No proxy: the address is the container's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(sys.argv[1], timeout=TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read(2000).decode(errors='replace').strip()}")
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
