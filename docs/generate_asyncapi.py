"""The AsyncAPI description of the stream, from the .proto files and the close codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from direct_contact.gateway.admission import PATH
from direct_contact.session import CloseCode

PROTOBUF = "application/vnd.google.protobuf;version=3"

DESCRIPTION = """\
Live neural-network sessions over WebSocket. One binary message is one ClientFrame or one
ServerFrame, and each is a bundle: any number of inputs or outputs, and at most one of each control
message. `POST /v1/sessions` of the REST API gives the URL and the ticket. The rules of the
conversation are in docs/protocol.md; this file describes its form.
"""

CREDENTIAL = """\
`dc.v1` and, as a second subprotocol, the credential: `dc.ticket.<base64url>` the first time,
`dc.resume.<base64url>` with the token of the last Welcome after that. The server answers `dc.v1`.
"""

BLOCK = re.compile(
    r"(?P<comment>(?:^//[^\n]*\n)*)^(?P<kind>message|enum) (?P<name>\w+) \{(?:\}|.*?^\})",
    re.MULTILINE | re.DOTALL,
)


def asyncapi(protos: Path) -> str:
    """The whole file, as YAML.

    Args:
        protos: the folder of `stream.proto` and `tensor.proto`.
    """
    blocks = {
        match["name"]: match[0].strip()
        for file in ("stream.proto", "tensor.proto")
        for match in BLOCK.finditer((protos / file).read_text())
    }
    head = "# Written by docs/generate.py from the code. Change the .proto files, not this one.\n"
    return head + "\n".join(_yaml(_document(blocks), 0)) + "\n"


def _document(blocks: Mapping[str, str]) -> dict[str, Any]:
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Direct Contact stream",
            "version": "dc.v1",
            "description": DESCRIPTION,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/protobuf",
        "servers": {
            "local": {
                "host": "127.0.0.1:8765",
                "protocol": "ws",
                "description": "A gateway as `direct-contact up` starts it",
                "security": _security(),
            },
            "production": {
                "host": "{host}",
                "protocol": "wss",
                "description": "Behind TLS; `stream.url` of a new session tells the real one",
                "variables": {"host": {"default": "dc.example.org", "description": "The origin"}},
                "security": _security(),
            },
        },
        "channels": {
            "stream": {
                "address": PATH,
                "title": "One session's stream",
                "messages": {
                    "clientFrame": {"$ref": "#/components/messages/clientFrame"},
                    "serverFrame": {"$ref": "#/components/messages/serverFrame"},
                },
                "bindings": {"ws": _handshake()},
                "x-close-codes": {str(int(code)): code.name.lower() for code in CloseCode},
            }
        },
        "operations": {
            "receiveClientFrame": _operation(
                "receive", "clientFrame", "The client sends inputs, acknowledgements and control"
            ),
            "sendServerFrame": _operation(
                "send", "serverFrame", "The server sends outputs, credits and control"
            ),
        },
        "components": {
            "messages": {
                "clientFrame": _message("ClientFrame", "Client to server", blocks),
                "serverFrame": _message("ServerFrame", "Server to client", blocks),
                "payload": _message(
                    "Payload", "What Input.payload, Input.target and Output.payload hold", blocks
                ),
            },
            "securitySchemes": {
                "subprotocol": {
                    "type": "httpApiKey",
                    "in": "header",
                    "name": "Sec-WebSocket-Protocol",
                    "description": CREDENTIAL,
                },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The same credential, where headers can be set",
                },
            },
        },
    }


def _security() -> list[dict[str, str]]:
    return [
        {"$ref": "#/components/securitySchemes/subprotocol"},
        {"$ref": "#/components/securitySchemes/bearer"},
    ]


def _handshake() -> dict[str, Any]:
    return {
        "method": "GET",
        "headers": {
            "type": "object",
            "properties": {
                "Sec-WebSocket-Protocol": {"type": "string", "description": CREDENTIAL},
                "Authorization": {"type": "string", "pattern": "^Bearer dc\\.(ticket|resume)\\."},
            },
        },
        "bindingVersion": "0.1.0",
    }


def _operation(action: str, message: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/stream"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/stream/messages/{message}"}],
    }


def _message(name: str, summary: str, blocks: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "contentType": "application/protobuf",
        "payload": {"schemaFormat": PROTOBUF, "schema": _schema(name, blocks)},
    }


def _schema(root: str, blocks: Mapping[str, str]) -> str:
    """A .proto file of a message and all that it is made of."""
    wanted = dict.fromkeys([root])
    for name in wanted_in_order(root, blocks):
        wanted[name] = None
    texts = [blocks[name] for name in wanted]
    return "\n\n".join(['syntax = "proto3";', "package dc.v1;", *texts]) + "\n"


def wanted_in_order(root: str, blocks: Mapping[str, str]) -> Iterator[str]:
    """The messages and enums that `root` is made of, itself included, in the order of the file."""
    reached: set[str] = set()
    left = [root]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            code = re.sub(r"//[^\n]*", "", blocks[name])
            types = re.findall(r"^\s+(?:repeated )?(\w+) \w+ = \d+;", code, re.MULTILINE)
            left += [kind for kind in types if kind in blocks]
    return (name for name in blocks if name in reached)


def _yaml(value: Any, depth: int) -> Iterator[str]:
    """Lines of YAML: strings of one line as JSON, which is YAML too, longer ones as blocks."""
    pad = "  " * depth
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in items:
        lead = f"{pad}- " if key is None else f"{pad}{_key(key)}:"
        if isinstance(item, dict | list) and item:
            inner = list(_yaml(item, depth + 1))
            if key is None:
                yield lead + inner[0].lstrip()
                yield from inner[1:]
            else:
                yield lead
                yield from inner
        elif isinstance(item, str) and "\n" in item:
            yield f"{lead} |"
            yield from ((f"{pad}  {line}" if line else "") for line in item.splitlines())
        else:
            yield f"{lead.rstrip()} {json.dumps(item)}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z][\w-]*", key) else json.dumps(key)
