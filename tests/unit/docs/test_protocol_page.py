"""The protocol page names everything that is on the wire."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from direct_contact.session import CloseCode
from protos.dc.v1 import stream_pb2, tensor_pb2

PAGE = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
MESSAGES = stream_pb2.DESCRIPTOR.message_types_by_name
TABLES = {
    match[1]: match[0]
    for match in re.finditer(r"^\| `(\w+)` \| field \|.*\n(?:\|.*\n)+", PAGE, re.MULTILINE)
}
IN_PROSE = {"Cancel": "seq", "Ping": "nonce", "Bye": "", "Pong": "nonce"}


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - set(IN_PROSE)))
def test_table_holds_the_fields_of_the_message_with_their_numbers(name: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", TABLES[name], re.MULTILINE))
    assert rows == {field.name: str(field.number) for field in MESSAGES[name].fields}


@pytest.mark.parametrize(("name", "field"), IN_PROSE.items())
def test_prose_names_the_field_of_a_small_message(name: str, field: str) -> None:
    assert [one.name for one in MESSAGES[name].fields] == ([field] if field else [])
    assert f"`{name}`" in PAGE or f"`{name.lower()}`" in PAGE


def test_prose_names_the_fields_of_tensors() -> None:
    for message in tensor_pb2.DESCRIPTOR.message_types_by_name.values():
        for field in message.fields:
            assert f"`{field.name}` {field.number}" in PAGE


@pytest.mark.parametrize(
    "kinds", [stream_pb2.Outcome, stream_pb2.NoticeKind, stream_pb2.CommandKind]
)
def test_page_names_every_value_of_the_enumeration(kinds: Any) -> None:
    for value in kinds.DESCRIPTOR.values:
        if value.number:
            assert re.search(rf"\b{re.sub('^(OUTCOME|[A-Z]+_KIND)_', '', value.name)}\b", PAGE)


def test_table_of_close_codes_is_complete() -> None:
    rows = re.findall(r"^\| (\d{4}) \| ([A-Z_]+) \|.*\| (\w+)[^|]*\|$", PAGE, re.MULTILINE)
    assert {(int(code), name) for code, name, _ in rows} == {(c.value, c.name) for c in CloseCode}
    for code, _, then in rows:
        assert then == ("reconnect" if 4000 <= int(code) < 4500 else "over")
