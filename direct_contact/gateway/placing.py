"""How a stream comes to a worker, and to the next one when that is lost."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Final

from direct_contact.session import CloseCode, Cursor, ServerState, before
from foundation.errors import DirectContactError, Unavailable
from protos.dc.internal.v1.envelope_pb2 import Attach, Position, ToWorker
from registry.live import digest

if TYPE_CHECKING:
    from direct_contact.gateway.hub import Hub
    from direct_contact.gateway.serving import Serving

ATTACH_TRIES: Final = 4
ATTACH_TIMEOUT_S: Final = 1.0
"""After this long without an answer an Attach is sent again, then the worker given up."""
PAUSE_S: Final = 0.02
PAUSE_LONGEST_S: Final = 0.5


class Answer(Enum):
    """What came of asking a worker to serve."""

    ATTACHED = "attached"
    UNKNOWN = "unknown"
    """It does not hold the session, and was not asked to take it; or it lets go of it."""
    GONE = "gone"
    NO_WORKER = "no_worker"


class Placing:
    """Finds a worker for one attachment, and goes on until one serves.

    It keeps no `Serving`: of a closed stream nothing should wait for the garbage collector.
    """

    __slots__ = ("_answer", "_attempt", "_hub", "_task")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._task: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._attempt = 0

    def start(self, serving: Serving, worker: str) -> None:
        """Look for a worker; `worker` is asked first, "" asks for offers."""
        self._task = self._hub.spawn(self._place(serving, worker))

    def stop(self) -> None:
        """The stream is closed."""
        if self._task is not None:
            self._task.cancel()

    def awaits(self, attempt: int) -> bool:
        """True when this is the attempt whose answer is due.

        An earlier one's may still come, from a worker that froze and woke up.
        """
        return self._answer is not None and attempt == self._attempt

    def answer(self, answer: Answer) -> bool:
        """Take a worker's answer; False: none is due."""
        if self._answer is None or self._answer.done():
            return False
        self._answer.set_result(answer)
        return True

    async def _place(self, serving: Serving, worker: str) -> None:
        hub = self._hub
        # On the first attach, `worker` is whom the store names as the owner: it may hold the
        # session, and then it must not be taken from it.
        take = bool(worker) and serving.machine.state is not ServerState.ATTACHING
        give_up_at = hub.now() + hub.settings.gateway_placement_timeout_s
        avoid: set[str] = set()
        pause_s = PAUSE_S
        while True:
            answer = Answer.NO_WORKER
            failure = Unavailable("no worker could take the session just now", code="no_worker")
            try:
                if not worker:
                    worker, take = await hub.place(serving, frozenset(avoid)), True
                answer = await self._attach(serving, worker, take=take)
            except DirectContactError as error:
                if not isinstance(error, Unavailable):
                    serving.client.fail(error)
                    return
                failure = error
            if answer is Answer.ATTACHED:
                return
            if answer is Answer.NO_WORKER and self._may_give_up(serving, give_up_at):
                serving.client.fail(failure, close_code=CloseCode.UNAVAILABLE)
                return
            if answer is Answer.GONE:
                avoid.add(worker)
            else:
                avoid.clear()
            worker = ""
            if answer is Answer.UNKNOWN:
                continue
            if answer is Answer.NO_WORKER:
                serving.tell_waiting()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.6, PAUSE_LONGEST_S)

    def _may_give_up(self, serving: Serving, give_up_at: float) -> bool:
        # A session that was served before waits for a worker as long as its client does.
        attaching = serving.machine.state is ServerState.ATTACHING
        return attaching and self._hub.now() > give_up_at

    async def _attach(self, serving: Serving, worker: str, *, take: bool) -> Answer:
        hub = self._hub
        serving.worker = worker
        hub.join(serving)
        self._attempt += 1
        # Once it is answered the worker may let go, and the next attempt begin, before this wakes.
        due = self._answer = asyncio.get_running_loop().create_future()
        attach = self._request(serving, take)
        answer = Answer.GONE
        try:
            for _ in range(ATTACH_TRIES):
                # The broker may lose one; the worker bears a repetition.
                serving.send(ToWorker(attach=attach))
                done, _ = await asyncio.wait((due,), timeout=ATTACH_TIMEOUT_S)
                if done:
                    answer = due.result()
                    break
        finally:
            if self._answer is due:
                self._answer = None
        if answer is not Answer.ATTACHED:
            hub.leave(serving)
        return answer

    def _request(self, serving: Serving, take: bool) -> Attach:
        machine, admitted = serving.machine, serving.admitted
        return Attach(
            record=admitted.record.to_json(),
            acknowledged=position(machine.acknowledged),
            shown=position(machine.due),
            attempt=self._attempt,
            oldest_retained_seq=machine.oldest_retained_seq,
            take=take,
            above_epoch=max(machine.epoch, admitted.epoch),
            resume_digest=digest("resume", admitted.resume_token),
        )


def position(cursor: Cursor) -> Position:
    """The output just before the cursor."""
    seq, part, last = before(cursor)
    return Position(seq=seq, part=part, last=last)
