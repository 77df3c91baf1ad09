"""What can keep a stack from starting; each message names what to change."""

from __future__ import annotations

from foundation.errors import Conflict, InvalidInput, Unavailable


class PortsInUse(Conflict):
    """Ports that were asked for are taken; nothing was started."""

    default_code = "ports_in_use"


class DataDirLocked(Conflict):
    """Another launcher runs on this data directory."""

    default_code = "data_dir_locked"


class DataDirUnusable(InvalidInput):
    """The data directory cannot be made or written."""

    default_code = "data_dir_unusable"


class StartFailed(Unavailable):
    """A process of the stack does not get ready; the message carries its last words."""

    default_code = "start_failed"
