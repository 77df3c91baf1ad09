"""Ties a child process to the launcher: it cannot outlive it, not even its `kill -9`.

The kernel sends the child SIGKILL when its parent dies (`PR_SET_PDEATHSIG`). The child has to ask
for that itself, so it starts as this file, run by an isolated Python (9 ms measured), which asks
and then becomes the real program: the pid stays, and `ps` shows the program. A `preexec_fn` would
do without the 9 ms, but runs Python between fork and exec, which can deadlock when the launcher
has threads.

Linux only. Elsewhere the program starts untethered and only an orderly stop ends it.

This file is a program too and imports nothing of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def tethered(command: Sequence[str], *, cores: Collection[int] = ()) -> list[str]:
    """The command that runs `command` tied to this process, on these cores alone; (): on any.

    The tie holds while the *thread* that starts the command lives: start it from the thread that
    runs the event loop.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    numbers = ",".join(map(str, sorted(cores)))
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), numbers, *command]


def _become(parent: int, cores: str, command: Sequence[str]) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It died before we asked.
        os._exit(1)
    if cores:
        os.sched_setaffinity(0, map(int, cores.split(",")))
    os.execvp(command[0], list(command))  # noqa: S606  # a list, and no shell is wanted


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
