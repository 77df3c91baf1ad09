"""Writes the documents, and the parts of documents, that follow from the code.

`python docs/generate.py` writes them; with `--check` it shows what differs and exits with 1.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from generate_asyncapi import asyncapi
from generate_configuration import configuration
from generate_states import client_states, server_states

DOCS = Path(__file__).parent
ROOT = DOCS.parent


def documents() -> dict[Path, str]:
    """What every generated document should hold."""
    protocol = DOCS / "protocol.md"
    return {
        DOCS / "configuration.md": configuration(),
        DOCS / "asyncapi.yaml": asyncapi(ROOT / "protos" / "dc" / "v1"),
        protocol: with_parts(
            protocol.read_text(),
            {"client-states": client_states(), "server-states": server_states()},
        ),
    }


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """The text, with what stands between `<!-- generated: NAME -->` and `<!-- end -->` replaced.

    Raises:
        ValueError: a part has no such place, or more than one.
    """
    for name, part in parts.items():
        place = re.compile(
            rf"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL
        )
        found = list(place.finditer(text))
        if len(found) != 1:
            raise ValueError(f"one place for the part '{name}' is needed, {len(found)} are there")
        text = text[: found[0].end(1)] + part.rstrip("\n") + "\n" + text[found[0].start(2) :]
    return text


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 on a difference"
    )
    check = parser.parse_args().check
    stale = False
    for path, wanted in documents().items():
        found = path.read_text() if path.exists() else ""
        if found == wanted:
            continue
        stale = True
        name = str(path.relative_to(ROOT))
        if check:
            lines = difflib.unified_diff(
                found.splitlines(keepends=True), wanted.splitlines(keepends=True), name, "the code"
            )
            sys.stdout.writelines(lines)
        else:
            path.write_text(wanted)
            print(f"wrote {name}")
    if check and stale:
        sys.exit("The documents are not what the code gives: python docs/generate.py")
    if check:
        print("Generated documents are up to date.")


if __name__ == "__main__":
    main()
