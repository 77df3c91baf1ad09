"""The supervisor: starts the stack of one machine and keeps it running."""

from launcher.supervisor.datadir import DataDir, launcher_of
from launcher.supervisor.failures import (
    DataDirLocked,
    DataDirUnusable,
    PortsInUse,
    StartFailed,
)
from launcher.supervisor.logs import Console, Line, Output
from launcher.supervisor.options import Role, StackOptions
from launcher.supervisor.stack import Stack, running

__all__ = [
    "Console",
    "DataDir",
    "DataDirLocked",
    "DataDirUnusable",
    "Line",
    "Output",
    "PortsInUse",
    "Role",
    "Stack",
    "StackOptions",
    "StartFailed",
    "launcher_of",
    "running",
]
