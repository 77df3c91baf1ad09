from __future__ import annotations

import io
import json

import pytest

from launcher.supervisor import Console, Role
from launcher.supervisor.logs import note, read


@pytest.mark.parametrize(
    ("role", "raw", "level", "text"),
    [
        (Role.WORKER, "12:00:00.123 W ann-worker-1-ab12: slow", "W", "slow"),
        (Role.WORKER, "Traceback (most recent call last):", "I", None),
        (Role.NATS, "[7] [ERR] no space", "E", "no space"),
        (Role.NATS, "[7] [INF] Server is ready", "D", "Server is ready"),
        (Role.REDIS, "7:M 20 Nov 2026 19:02:34.533 * Ready", "D", "Ready"),
    ],
)  # fmt: skip
def test_line_tells_its_level_when_it_has_a_known_form(
    role: Role, raw: str, level: str, text: str | None
) -> None:
    line = read(role, "label", raw)
    assert (line.level, line.text) == (level, raw if text is None else text)


def test_console_names_the_source_and_hides_low_levels() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console(read(Role.NATS, "nats", "[7] [INF] chatter"))
    console(read(Role.WORKER, "ann-worker-1", "12:00:00.123 W ann-worker-1-ab12: slow"))
    assert stream.getvalue().split(" ", 1)[1] == "ann-worker-1 | WARNING slow\n"
    assert "\x1b" not in stream.getvalue()


def test_console_writes_objects_only_when_the_format_is_json() -> None:
    stream = io.StringIO()
    console = Console(stream, log_format="json")
    console(note("hello"))
    console(read(Role.REST_API, "rest-api", '{"message": "from the service"}'))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["hello", "from the service"]
    assert lines[0]["service"] == "launcher"
