"""Server addresses as people may read them."""

from __future__ import annotations

from urllib.parse import urlsplit


def without_credentials(url: str) -> str:
    """The URL without user, password and query, for logs and messages.

    A comma-separated list of URLs is treated one by one.
    """
    return ",".join(_one(part.strip()) for part in url.split(","))


def _one(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(malformed)"
    if not parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
