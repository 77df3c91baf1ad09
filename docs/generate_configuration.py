"""The configuration page, from the settings groups of the services and the launcher's options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import annotated_types
import typer.main
from pydantic.fields import FieldInfo

from ann_workers.process import GROUPS as WORKER_GROUPS
from direct_contact.gateway.settings import GROUPS as GATEWAY_GROUPS
from direct_contact.gateway.settings import GatewaySettings
from foundation.settings import (
    BrokerSettings,
    DatabaseSettings,
    RedisSettings,
    SettingsGroup,
    TelemetrySettings,
    flag,
    variable,
)
from foundation.telemetry.readiness import ReadinessSettings
from launcher.cli import app
from launcher.direct_worker.settings import EndpointSettings
from rest_api.settings import RestSettings

HEAD = """\
# Configuration

<!-- Written by docs/generate.py from the code. Change the settings, not this page. -->

Every setting of a service is an environment variable and a flag at once: `DC_NATS_URL` and
`--nats-url`. A flag wins over the variable; an empty variable counts as absent. A value that is
not valid is named on standard error with its flag and its variable, and the service exits with 2.
`--help` shows the same tables.

`direct-contact up` starts the services with its own environment, so that
`DC_WORKER_MAX_BATCH=16 direct-contact up` reaches every worker. It sets by itself: names, hosts and
ports of the services, the URLs of the servers, the admin key, log format and level, the ready files
and the pool. The probe ports are chosen by each service, `DC_PROBE_PORT` is not passed on.
"""

SERVICES_HEAD = """\
## Who reads what

| group | `python -m rest_api` | `python -m direct_contact` | `python -m ann_workers` | \
`python -m launcher.direct_worker` |
|---|---|---|---|---|
"""

COMMANDS_HEAD = """\
## The launcher's options

Options of `direct-contact`; those with a variable can be set by it instead.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service and the groups that its entry point loads."""

    module: str
    groups: tuple[type[SettingsGroup], ...]


SERVICES = (
    Service(
        "rest_api",
        (
            RestSettings,
            DatabaseSettings,
            RedisSettings,
            BrokerSettings,
            TelemetrySettings,
            ReadinessSettings,
        ),
    ),
    Service("direct_contact", GATEWAY_GROUPS),
    Service("ann_workers", WORKER_GROUPS),
    Service("launcher.direct_worker", (EndpointSettings, GatewaySettings, *WORKER_GROUPS)),
)


def configuration() -> str:
    """The whole page."""
    groups = list(dict.fromkeys(group for service in SERVICES for group in service.groups))
    parts = [HEAD, SERVICES_HEAD + "".join(_readers(group) for group in groups)]
    parts += [_group(group) for group in groups]
    parts += [COMMANDS_HEAD, *_commands()]
    return "\n".join(parts)


def _readers(group: type[SettingsGroup]) -> str:
    reads = ("yes" if group in service.groups else "" for service in SERVICES)
    return f"| [{_title(group)}](#{_title(group).lower()}) | " + " | ".join(reads) + " |\n"


def _title(group: type[SettingsGroup]) -> str:
    return group.__name__.removesuffix("Settings")


def _group(group: type[SettingsGroup]) -> str:
    rows = "".join(_setting(name, field) for name, field in group.model_fields.items())
    return (
        f"## {_title(group)}\n\n{group.__doc__}\n\n"
        f"| variable | flag | default | allowed | meaning |\n|---|---|---|---|---|\n{rows}"
    )


def _setting(name: str, field: FieldInfo) -> str:
    cells = (
        f"`{variable(name)}`",
        f"`{flag(name)}`",
        _default(name, field),
        _allowed(field),
        _cell(field.description or ""),
    )
    return f"| {' | '.join(cells)} |\n"


def _default(name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "made at each start"
    value = field.default
    if value == "":
        return "empty"
    shown = f"`{value}`"
    if name.endswith("_bytes") and isinstance(value, int) and value % 1024 == 0:
        shown += f" ({_binary(value)})"
    return shown


def _binary(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024 or size % 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def _allowed(field: FieldInfo) -> str:
    limits: list[str] = []
    for limit in field.metadata:
        match limit:
            case annotated_types.Gt(gt):
                limits.append(f"above {gt}")
            case annotated_types.Ge(ge):
                limits.append(f"from {ge}")
            case annotated_types.Lt(lt):
                limits.append(f"below {lt}")
            case annotated_types.Le(le):
                limits.append(f"to {le}")
            case _ if getattr(limit, "pattern", None):
                limits.append(f"`{_cell(limit.pattern)}`")
    kind = getattr(field.annotation, "__name__", "")
    return " ".join(
        [{"int": "whole number", "float": "number", "str": ""}.get(kind, kind), *limits]
    )


def _commands() -> Iterator[str]:
    root = typer.main.get_command(app)
    for name, command in getattr(root, "commands", {}).items():
        options = [p for p in command.params if p.param_type_name == "option"]
        rows = "".join(_option(option) for option in options if option.name != "help")
        summary = (command.help or "").split("\n\n")[0].replace("\n", " ")
        yield (
            f"### direct-contact {name}\n\n{summary}\n\n"
            f"| option | variable | default | meaning |\n|---|---|---|---|\n{rows}"
        )


def _option(option: object) -> str:
    opts: Sequence[str] = getattr(option, "opts", ())
    envvar = getattr(option, "envvar", None)
    default = getattr(option, "default", None)
    shown = "" if default is None or default is False or default == "" else f"`{default}`"
    cells = (
        f"`{opts[-1]}`",
        f"`{envvar}`" if envvar else "",
        shown,
        _cell(str(getattr(option, "help", ""))),
    )
    return f"| {' | '.join(cells)} |\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
