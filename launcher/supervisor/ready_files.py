"""The files that tell others where a stack is, while it is ready."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundation.errors import InvalidInput
from launcher.supervisor.datadir import write_privately
from launcher.supervisor.logs import Output, note


class ReadyFiles:
    """The data directory's own, and the one that was asked for.

    Args:
        own: lies in the data directory.
        wanted: `--ready-file`; None: no other.
        describe: tells what they say.
        output: takes a note where one cannot be written.
    """

    def __init__(
        self,
        own: Path,
        wanted: Path | None,
        *,
        describe: Callable[[], dict[str, Any]],
        output: Output,
    ) -> None:
        self._paths = (own,) if wanted is None else (own, wanted)
        self._wanted = wanted
        self._describe = describe
        self._output = output
        self._ready = False

    def prepare(self) -> None:
        """Take away what another run left where one was asked for.

        Raises:
            InvalidInput: no file can lie there.
        """
        wanted = self._wanted
        if wanted is None:
            return
        if not wanted.absolute().parent.is_dir():
            raise InvalidInput(
                f"--ready-file {wanted}: there is no directory {wanted.absolute().parent}",
                field="ready_file",
            )
        wanted.unlink(missing_ok=True)

    def announce(self) -> None:
        """The stack is ready: from now on they are there."""
        self._ready = True
        self.update()

    def update(self) -> None:
        """What they say may have changed."""
        if not self._ready:
            return
        text = json.dumps(self._describe(), indent=2) + "\n"
        for path in self._paths:
            try:
                write_privately(path, text)
            except OSError as error:
                self._output(note(f"{path} cannot be written: {error}", level="E"))

    def remove(self) -> None:
        """The stack is over."""
        for path in self._paths:
            path.unlink(missing_ok=True)
