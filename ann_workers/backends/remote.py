"""The port of computing elsewhere: a model that another server computes, over the network.

The worker neither batches such inputs nor waits for them in a thread: it sends each one as it
comes, as many at a time as `Signature.max_batch` says, and computes for other sessions meanwhile.
Inputs of a stateless session may be under way together; of a stateful one there is one at most.

**State.** What a stateful session carries stays on that server, under a key that is never used
again. The session holds a `RemoteState`: which key, and what may have reached it. An input that
might be counted twice is never sent twice: where it is not certain what the server's state holds,
the state is given up, the client is told LOST with the range, and the session goes on with a new
key. For that the worker writes down which input it sends before it sends it, all but the first of
a key.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ann_workers.backends.port import Model, Request
from foundation.errors import InvalidInput

FORMAT = 1


@dataclass(frozen=True, slots=True)
class RemoteState:
    """A session's claim on a state that another server keeps.

    Args:
        key: under which it is kept.
        first: the first input that it holds; 0: none yet.
        sending: the input that may have reached it beyond those that were answered; 0: none.
    """

    key: str
    first: int = 0
    sending: int = 0

    def encode(self) -> bytes:
        """For a checkpoint."""
        return json.dumps({"format": FORMAT, **asdict(self)}).encode()

    @classmethod
    def decode(cls, data: bytes) -> RemoteState:
        """From a checkpoint.

        Raises:
            InvalidInput: the bytes are none, or of a format that this version does not know.
        """
        try:
            found: dict[str, Any] = json.loads(data)
            if found.pop("format") != FORMAT:
                raise InvalidInput("the state has a format that this version does not read")
            return cls(**found)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInput(f"not a claim on a remote state: {error}") from error


class Part(NamedTuple):
    """One part of an answer: a serialized `dc.v1.Payload`, empty only where it is the `last`."""

    payload: bytes
    last: bool


@runtime_checkable
class RemoteModel(Model, Protocol):
    """A loaded network version that another server computes. `infer` is never called.

    Everything is called on the event loop.
    """

    def compute(self, request: Request) -> AsyncGenerator[Part, None]:
        """Have one input computed; the parts of its answer as they come, the last one marked.

        `request.state` is a `RemoteState` where the network is stateful: one whose `first` is 0
        begins there. Closing the iterator early gives the computation up; with a stateful session
        that is not done before its outcome is known.

        Raises:
            Unavailable: the server or the model is away, or does not know the key. A stateless
                input is sent again; a state is given up.
            DirectContactError: the input is at fault; a state goes on.
        """
        ...

    async def release(self, state: RemoteState) -> None:
        """The state is not used any more: free it on the server, as well as that goes."""
        ...
