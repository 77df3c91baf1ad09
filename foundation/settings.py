"""Settings: typed groups, read from `DC_*` environment variables and from flags of the same names.

A group is a subclass of `SettingsGroup`; its field `nats_url` is the variable `DC_NATS_URL` and
the flag `--nats-url`. A service composes its groups once, in its entry point, and passes them down;
nothing imports a settings instance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "DC_"


class SettingsGroup(BaseSettings):
    """The parent of every group: immutable, prefixed, strict about unknown constructor names."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )


class BrokerSettings(SettingsGroup):
    """Where NATS is."""

    nats_url: str = Field("nats://127.0.0.1:4222", description="NATS servers, comma-separated URLs")
    connect_timeout_s: float = Field(
        20.0, gt=0, description="How long a starting service waits for NATS, Redis or the database"
    )


class RedisSettings(SettingsGroup):
    """Where the two roles of Redis are."""

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="The session store: tickets, attachments, fences, checkpoints, counters",
    )
    cache_redis_url: str = Field(
        "",
        description="The cache beside this component, which may be lost; empty: the session store",
    )

    @property
    def cache_url(self) -> str:
        """The cache's URL, with its default applied."""
        return self.cache_redis_url or self.redis_url


class DatabaseSettings(SettingsGroup):
    """Where the records are."""

    database_url: str = Field(
        "sqlite+aiosqlite:///direct-contact.db",
        description="Record database: sqlite+aiosqlite:///FILE or postgresql+asyncpg://…",
    )


class TelemetrySettings(SettingsGroup):
    """Logs, and the port that answers /healthz, /readyz and /metrics."""

    log_format: str = Field("text", pattern="^(text|json)$", description="text or json")
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR"
    )
    probe_host: str = Field("127.0.0.1", description="Address of the probe port")
    probe_port: int = Field(
        0, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics; 0: any free one"
    )


GroupT = TypeVar("GroupT", bound=SettingsGroup)


class Settings(Mapping[type[SettingsGroup], SettingsGroup]):
    """The groups of one service, by class: `settings[BrokerSettings].nats_url`."""

    def __init__(self, groups: Sequence[SettingsGroup]) -> None:
        self._groups = {type(group): group for group in groups}

    def __getitem__(self, group: type[GroupT]) -> GroupT:
        found = self._groups[group]
        if not isinstance(found, group):
            raise KeyError(group)
        return found

    def __iter__(self) -> Any:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)


def load(
    groups: Sequence[type[SettingsGroup]],
    *,
    program: str,
    purpose: str,
    arguments: Sequence[str] | None = None,
) -> Settings:
    """Read the groups from flags and the environment; flags win.

    Prints what is wrong, by flag and variable, and exits with 2 when a value is not valid.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=purpose,
        epilog="Every flag can be set by the environment variable beside it instead.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for group in groups:
        section = parser.add_argument_group(group.__name__, group.__doc__)
        for name, field in group.model_fields.items():
            section.add_argument(
                flag(name), dest=name, metavar=_metavar(field), help=_help(name, field)
            )
    given = {k: v for k, v in vars(parser.parse_args(arguments)).items() if v is not None}
    loaded = []
    for group in groups:
        try:
            loaded.append(group(**{k: v for k, v in given.items() if k in group.model_fields}))
        except ValidationError as error:
            for problem in error.errors():
                name = str(problem["loc"][0]).lower().removeprefix(PREFIX.lower())
                sys.stderr.write(
                    f"{program}: {flag(name)} ({variable(name)}): {problem['msg']}, "
                    f"got {problem['input']!r}\n"
                )
            sys.exit(2)
    return Settings(loaded)


def flag(name: str) -> str:
    """The command-line flag of a field."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def _metavar(field: FieldInfo) -> str:
    kind = getattr(field.annotation, "__name__", str(field.annotation))
    return {"int": "N", "float": "X", "bool": "true|false"}.get(kind, "TEXT")


def _help(name: str, field: FieldInfo) -> str:
    default = "made at each start" if field.default_factory else repr(field.default)
    text = f"{field.description} [{variable(name)}, default: {default}]"
    return text.replace("%", "%%")
