"""Stream commands without an answer: a worker that lacks them gets them again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from foundation.errors import LimitExceeded
from protos.dc.v1.stream_pb2 import ClientFrame

LIMIT: Final = 64
"""Stream commands that may be unanswered in one session."""


class Unanswered:
    """The commands of one attachment, each with the frame that it came in, oldest first."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[bytes]:
        """The frames to send again."""
        return iter(self._frames.values())

    def keep(self, frame: ClientFrame, data: bytes) -> None:
        """Keep the frame's command until it is answered; a repeated one is kept once.

        Its inputs are kept elsewhere.

        Raises:
            LimitExceeded: too many are unanswered.
        """
        command = frame.command
        if len(self._frames) >= LIMIT and command.command_id not in self._frames:
            raise LimitExceeded(f"command: {LIMIT} may be unanswered, {LIMIT + 1} are")
        if frame.inputs:
            data = ClientFrame(command=command).SerializeToString()
        self._frames[command.command_id] = data

    def answered(self, command_id: str) -> None:
        """The worker answered the command."""
        self._frames.pop(command_id, None)
