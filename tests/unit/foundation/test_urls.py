from __future__ import annotations

import pytest

from foundation.urls import without_credentials


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:6379/0?password=secret", "redis://host:6379/0"),
        ("nats://token@a:4222, nats://b:4222", "nats://a:4222,nats://b:4222"),
        ("nats://user:p@ss@host", "nats://host"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("host:4222", "host:4222"),
        ("", ""),
        ("redis://secret@[", "(malformed)"),
    ],
)
def test_url_is_shown_without_secrets_when_it_has_some(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
