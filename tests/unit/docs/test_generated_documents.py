"""What is generated is up to date, and complete."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from generate import documents, main, with_parts
from generate_asyncapi import asyncapi
from generate_configuration import SERVICES, Service, configuration
from generate_states import client_states, server_states

from direct_contact.session.states import CLIENT, SERVER
from foundation import settings
from foundation.settings import SettingsGroup, flag, variable
from protos.dc.v1 import stream_pb2, tensor_pb2

ROOT = Path(__file__).parents[3]
DOCUMENTS = documents()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_document_is_what_the_code_gives(path: Path) -> None:
    assert path.read_text() == DOCUMENTS[path], "run: make docs"


def test_check_exits_with_1_and_shows_the_difference_when_a_document_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "page.md"
    stale.write_text("old\n")
    monkeypatch.setattr("generate.ROOT", tmp_path)
    monkeypatch.setattr("generate.documents", lambda: {stale: "new\n"})
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code
    assert "-old\n+new\n" in capsys.readouterr().out
    assert stale.read_text() == "old\n"
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    main()
    assert stale.read_text() == "new\n"


def test_part_replaces_what_stands_in_its_place() -> None:
    page = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb <!-- generated: y -->\n"
    assert with_parts(page, {"x": "new\\1"}) == page.replace("old", "new\\1")


@pytest.mark.parametrize("page", ["", "<!-- generated: x -->\n<!-- end -->\n" * 2])
def test_part_is_refused_when_its_place_is_not_there_once(page: str) -> None:
    with pytest.raises(ValueError, match="one place for the part 'x' is needed"):
        with_parts(page, {"x": ""})


@pytest.mark.parametrize(
    ("diagram", "table"), [(client_states(), CLIENT), (server_states(), SERVER)]
)
def test_diagram_holds_every_transition(diagram: str, table: Any) -> None:
    for (state, event), following in table.items():
        assert f"{state.value} --> {following.value}: {event}\n" in diagram
    assert diagram.count("-->") == len(table) + 2


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.module)
def test_configuration_names_the_groups_that_the_service_loads(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[type[SettingsGroup]] = []

    def load(groups: Sequence[type[SettingsGroup]], **_: object) -> None:
        loaded.extend(groups)
        raise SystemExit

    monkeypatch.setattr(settings, "load", load)
    with pytest.raises(SystemExit):
        import_module(f"{service.module}.__main__").main()
    assert set(loaded) == set(service.groups)


def test_configuration_has_a_row_for_every_setting() -> None:
    page = configuration()
    for group in {group for service in SERVICES for group in service.groups}:
        for name, field in group.model_fields.items():
            assert f"| `{variable(name)}` | `{flag(name)}` |" in page
            assert field.description
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) in {5, 6}, row


@pytest.mark.parametrize("root", ["ClientFrame", "ServerFrame", "Payload"])
def test_asyncapi_holds_every_field_that_a_frame_is_made_of(root: str) -> None:
    text = asyncapi(ROOT / "protos" / "dc" / "v1")
    start = text.index(f'name: "{root}"')
    schema = text[start : text.find("contentType", text.index("schema:", start))]
    left = [(stream_pb2.DESCRIPTOR if root != "Payload" else tensor_pb2.DESCRIPTOR)
            .message_types_by_name[root]]  # fmt: skip
    seen = set()
    while left:
        message = left.pop()
        seen.add(message.name)
        assert re.search(rf"^ *message {message.name} \{{", schema, re.MULTILINE)
        for field in message.fields:
            assert re.search(rf" {field.name} = {field.number};", schema), field.full_name
            if field.message_type is not None and field.message_type.name not in seen:
                left.append(field.message_type)
            if field.enum_type is not None:
                assert f"enum {field.enum_type.name} {{" in schema
    # Nothing but what the frame is made of: parsers want one root.
    assert set(re.findall(r"^ *message (\w+) \{", schema, re.MULTILINE)) == seen
