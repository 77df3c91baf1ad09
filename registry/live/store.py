"""The session store: who owns a session, who is attached to it, and its checkpoint.

All keys of a session share the hash tag ``{<session id>}``, and every change is one Lua script:

- ``dc:{id}:rec``: a hash: record, owner, epoch, attachment, gateway, digests of resume tokens
- ``dc:{id}:ckpt``: the checkpoint
- ``dc:{id}:end``: the tombstone of an ended session
- ``dc:{id}:ticket:<digest>``: an outstanding ticket

Every key of a session expires: twice its resume time after the last write of its owner or gateway.
``dc:since`` stays: it tells when Redis last came up without data.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from foundation.errors import Conflict, NotFound, Unauthenticated
from foundation.redis import translated
from registry.live.credentials import Kind, digest, new_credential, session_of
from registry.live.model import Attachment, Hold, LiveSession, Ownership, Save, Seat, SessionRecord
from registry.live.scripting import Call, Script, Value

TOMBSTONE_MS = 600_000
"""Longer than any message about an ended session can be under way."""
SINCE = "dc:since"
SPENT_TICKET_MS = 600_000
"""How long its owner still reads that a ticket was used or expired, and not just unknown."""
STEADY_S = 5
"""An owner that held a session this long did not fall over it."""

_REFUSALS = {
    "unknown": ("bad_ticket", "bad_resume_token", "this credential is not known"),
    "used": ("ticket_used", "", "this ticket was used already; tickets are good once"),
    "expired": ("ticket_expired", "", "this ticket has expired"),
}


class SessionStore:
    """The live sessions in Redis. Safe to share among tasks.

    Every method raises `Unavailable` when Redis does not answer. Cancelling one leaves it open
    whether the change was made; all of them may be repeated.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._create = Script("create")
        self._open = Script("open")
        self._ticket = Script("ticket")
        self._attach = Script("attach")
        self._confirm = Script("confirm")
        self._detach = Script("detach")
        self._take = Script("take")
        self._hold = Script("hold")
        self._release = Script("release")
        self._end = Script("end")
        self._replace = Script("replace")
        self._trying = Script("trying")
        self._since = Script("since")

    # ------------------------------------------------------------------ the REST API

    async def create(self, record: SessionRecord, *, lost: bool = False) -> None:
        """Make the session known. Repeating it changes nothing.

        Args:
            record: its facts.
            lost: it was known before: it gets an epoch above any that was given then.

        Raises:
            NotFound: it has ended meanwhile.
        """
        arguments: list[Value] = [record.to_json(), _ttl_ms(record), int(lost)]
        keys = [_record(record.id), _tombstone(record.id)]
        with translated("creating a session"):
            made = await self._create.run(self._redis, keys, arguments)
        if not made:
            raise NotFound(f"session {record.id} has ended", code="session_ended")

    async def open(self, record: SessionRecord, *, ttl_s: float) -> str:
        """Make a new session known, and return its first ticket: see `create`, `issue_ticket`.

        Raises:
            NotFound: it has ended meanwhile.
        """
        ticket = new_credential(record.id)
        keys = [
            _record(record.id),
            _tombstone(record.id),
            _ticket(record.id, digest("ticket", ticket)),
        ]
        arguments: list[Value] = [
            record.to_json(), _ttl_ms(record), int(ttl_s * 1000), SPENT_TICKET_MS
        ]  # fmt: skip
        with translated("opening a session"):
            made = await self._open.run_together(self._redis, keys, arguments)
        if not made:
            raise NotFound(f"session {record.id} has ended", code="session_ended")
        return ticket

    async def replace(self, record: SessionRecord) -> bool:
        """Replace the facts after its configuration changed; False: there is no such session."""
        with translated("changing a session"):
            return bool(
                await self._replace.run(
                    self._redis, [_record(record.id)], [record.to_json(), _ttl_ms(record)]
                )
            )

    async def since_ms(self) -> int:
        """Since when, in ms since 1970, nothing was lost here.

        A session that was made before and is not here was lost, or expired before the loss; one
        that was made after has expired.
        """
        with translated("asking for the age of the sessions"):
            return int(await self._since.run(self._redis, [SINCE], []))

    async def issue_ticket(self, session: str, *, ttl_s: float) -> str:
        """Return a ticket: the part after ``dc.ticket.`` of the client's credential.

        Only its digest is stored. Earlier tickets stay good for their own time.

        Raises:
            NotFound: there is no such session.
        """
        ticket = new_credential(session)
        keys = [_record(session), _ticket(session, digest("ticket", ticket))]
        with translated("issuing a ticket"):
            expires = await self._ticket.run(
                self._redis, keys, [int(ttl_s * 1000), SPENT_TICKET_MS]
            )
        if not expires:
            raise NotFound(f"there is no session {session}")
        return ticket

    # ------------------------------------------------------------------ gateways

    async def attach(self, credential: str, kind: Kind, *, gateway: str) -> Attachment:
        """Redeem a credential: the session is this gateway's from now on.

        Args:
            credential: the part after ``dc.ticket.`` or ``dc.resume.``.
            kind: which of the two.
            gateway: the name of the one that has the socket.

        Raises:
            Unauthenticated: `bad_ticket`, `ticket_used`, `ticket_expired` or `bad_resume_token`;
                an ended or unknown session is no different from a bad credential.
        """
        session = session_of(credential)
        if session is None:
            raise _refusal("unknown", kind)
        presented = digest(kind, credential)
        resume_token = new_credential(session)
        with translated("attaching to a session"):
            answer = await self._attach.run_together(
                self._redis,
                [_record(session), _ticket(session, presented)],
                [kind, presented, digest("resume", resume_token), gateway],
            )
        outcome = answer[0].decode()
        if outcome != "ok":
            raise _refusal(outcome, kind)
        _, record, number, owner, epoch, previous_gateway = answer
        return Attachment(
            record=SessionRecord.from_json(record),
            number=number,
            resume_token=resume_token,
            owner=owner.decode(),
            epoch=epoch,
            previous_gateway=previous_gateway.decode(),
            first=number == 1,
        )

    async def confirm(self, session: str, attachment: int) -> None:
        """The client has its Welcome: the resume token before that one is good no more."""
        with translated("confirming an attachment"):
            await self._confirm.run_together(self._redis, [_record(session)], [attachment])

    async def detach(self, session: str, attachment: int) -> None:
        """The socket of this attachment is gone; nothing happens when another one came since."""
        with translated("detaching from a session"):
            await self._detach.run_together(self._redis, [_record(session)], [attachment])

    # ------------------------------------------------------------------ workers

    async def take(
        self, record: SessionRecord, *, worker: str, above_epoch: int, attachment: int = 0
    ) -> Ownership:
        """Own the session: raise its epoch, then read its checkpoint, in one step.

        Args:
            record: makes the session again if Redis lost it.
            worker: the new owner.
            above_epoch: the highest epoch anybody told of; the new one is higher.
            attachment: the one that is to be served; 0: any.

        Raises:
            NotFound: `session_ended`.
            Conflict: `superseded`: a newer attachment has the session.
        """
        keys = _all_keys(record.id)
        arguments: list[Value] = [record.to_json(), _ttl_ms(record), worker]
        arguments += [above_epoch, attachment]
        with translated("taking a session"):
            answer = await self._take.run_together(self._redis, keys, arguments)
        if not answer[0]:
            raise NotFound(f"session {record.id} has ended", code="session_ended")
        if answer[0] < 0:
            raise Conflict(
                f"attachment {attachment} of session {record.id} is not the newest",
                code="superseded",
            )
        epoch, checkpoint, failures, trying, deaths, paused = answer
        return Ownership(epoch, checkpoint, failures, trying, deaths, bool(paused))

    async def trying(self, session: str, *, epoch: int, seq: int) -> bool:
        """Write down which input its owner computes, in case that ends it; 0: none any more.

        Returns:
            False: another epoch owns the session.
        """
        with translated("writing down what is computed"):
            return bool(await self._trying.run(self._redis, [_record(session)], [epoch, seq]))

    async def save(self, saves: Sequence[Save]) -> list[bool]:
        """Write checkpoints in one round trip; False: a higher epoch owns it, or it has ended."""
        calls = [self._holding(s.record, s.epoch, s.worker, s.seat, "", s.data) for s in saves]
        with translated("saving checkpoints"):
            return [bool(a) for a in await self._hold.run_each(self._redis, calls)]

    async def touch(self, holds: Sequence[Hold]) -> list[bool]:
        """Keep sessions from expiring, and a pause, in one round trip; False as for `save`."""
        calls = [self._holding(h.record, h.epoch, h.worker, h.seat, int(h.paused)) for h in holds]
        with translated("keeping sessions"):
            return [bool(a) for a in await self._hold.run_each(self._redis, calls)]

    async def release(self, session: str, epoch: int) -> bool:
        """Nobody owns it from now on; False: this epoch did not own it any more."""
        keys = [_record(session), _checkpoint(session)]
        with translated("releasing a session"):
            return bool(await self._release.run_together(self._redis, keys, [epoch]))

    async def end(self, session: str, *, epoch: int | None, reason: str) -> bool:
        """Delete everything of the session and leave a tombstone.

        Args:
            session: its id.
            epoch: the caller's ownership; None: whoever owns it.
            reason: one line, for whoever asks later.

        Returns:
            False when a higher epoch owns it; True also when it had ended before.
        """
        arguments = ["" if epoch is None else epoch, reason.replace("\n", " "), TOMBSTONE_MS]
        with translated("ending a session"):
            return bool(await self._end.run(self._redis, _all_keys(session), arguments))

    # ------------------------------------------------------------------ everybody

    async def read(self, sessions: Sequence[str]) -> list[LiveSession | None]:
        """What is known of each session, in one round trip; None: nothing."""
        if not sessions:
            return []
        fields = ["record", "owner", "epoch", "gateway", "attachment"]
        with translated("reading sessions"):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for session in sessions:
                    pipeline.hmget(_record(session), fields)
                    pipeline.get(_tombstone(session))
                answers = await pipeline.execute()
        return [
            _live(state, tombstone)
            for state, tombstone in zip(answers[::2], answers[1::2], strict=True)
        ]

    @staticmethod
    def _holding(record: SessionRecord, epoch: int, worker: str, seat: Seat, *state: Value) -> Call:
        arguments: list[Value] = [
            record.kept_json(), _ttl_ms(record), worker, epoch,
            seat.attachment, seat.gateway, seat.resume_digest, STEADY_S, *state,
        ]  # fmt: skip
        return _all_keys(record.id), arguments


def _live(state: list[bytes | None], tombstone: bytes | None) -> LiveSession | None:
    if tombstone is not None:
        reason, _, facts = tombstone.partition(b"\n")
        if not facts:
            return None
        return LiveSession(SessionRecord.from_json(facts), ended_reason=reason.decode())
    record, owner, epoch, gateway, attachment = state
    if record is None:
        return None
    return LiveSession(
        record=SessionRecord.from_json(record),
        owner=(owner or b"").decode(),
        epoch=int(epoch or 0),
        gateway=(gateway or b"").decode(),
        attachment=int(attachment or 0),
        attached=bool(gateway),
    )


def _refusal(outcome: str, kind: Kind) -> Unauthenticated:
    for_ticket, for_resume, message = _REFUSALS[outcome]
    return Unauthenticated(message, code=for_ticket if kind == "ticket" else for_resume)


def _ttl_ms(record: SessionRecord) -> int:
    return int(record.resume_ttl_s * 2000)


def _record(session: str) -> str:
    return f"dc:{{{session}}}:rec"


def _checkpoint(session: str) -> str:
    return f"dc:{{{session}}}:ckpt"


def _tombstone(session: str) -> str:
    return f"dc:{{{session}}}:end"


def _ticket(session: str, ticket_digest: str) -> str:
    return f"dc:{{{session}}}:ticket:{ticket_digest}"


def _all_keys(session: str) -> list[str]:
    return [_record(session), _checkpoint(session), _tombstone(session)]
