"""Answers of calls with an Idempotency-Key, so that repeating a call repeats the answer."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from foundation.clock import unix_ms
from registry.records.database import Database
from registry.records.tables import AnswerRow

ABANDONED_MS = 120_000
"""A call that has not answered for so long is taken to have died with its process."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What another call with the same key did. `status` None: it is still being answered.

    `answer` is opaque here: the caller seals it, since it may hold a secret.
    """

    fingerprint: str
    status: int | None
    answer: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer the calls of one key, until `finish` or `abandon`."""

    scope: str
    key: str
    token: str


# Built once: building takes longer than running them.
_CLAIM = insert(AnswerRow)
_FINISH = update(AnswerRow).where(
    AnswerRow.scope == bindparam("its_scope"),
    AnswerRow.key == bindparam("its_key"),
    AnswerRow.claim == bindparam("its_claim"),
)


class IdempotencyRecords:
    """Stored answers by scope (whose key it is) and key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, scope: str, key: str, fingerprint: str) -> Claim | StoredAnswer:
        """Claim the key, or learn what was done with it.

        Of concurrent calls, exactly one gets the claim.
        """
        claim = Claim(scope, key, secrets.token_hex(8))
        its = (AnswerRow.scope == scope) & (AnswerRow.key == key)
        for _ in range(2):
            try:
                async with self._database.statement() as connection:
                    await connection.execute(
                        _CLAIM,
                        {
                            "scope": scope,
                            "key": key,
                            "fingerprint": fingerprint,
                            "claim": claim.token,
                            "started_ms": unix_ms(),
                        },
                    )
            except IntegrityError:
                async with self._database.read() as connection:
                    row = (
                        await connection.execute(select(*AnswerRow.__table__.columns).where(its))
                    ).one_or_none()
                if row is not None and not _abandoned(row):
                    return StoredAnswer(row.fingerprint, row.status, row.answer or b"")
                async with self._database.write() as connection:
                    await connection.execute(
                        delete(AnswerRow).where(
                            its,
                            AnswerRow.status.is_(None),
                            AnswerRow.started_ms < unix_ms() - ABANDONED_MS,
                        )
                    )
            else:
                return claim
        # Abandoned between our two looks, twice: whoever it was is still at it.
        return StoredAnswer(fingerprint, None, b"")

    async def finish(self, claim: Claim, status: int, answer: bytes) -> None:
        """Store the answer; nothing happens when the claim was taken over."""
        async with self._database.statement() as connection:
            await connection.execute(
                _FINISH,
                {
                    "its_scope": claim.scope,
                    "its_key": claim.key,
                    "its_claim": claim.token,
                    "status": status,
                    "answer": answer,
                },
            )

    async def abandon(self, claim: Claim) -> None:
        """Give the key free: the call failed and had no effect."""
        async with self._database.write() as connection:
            await connection.execute(
                delete(AnswerRow).where(
                    AnswerRow.scope == claim.scope,
                    AnswerRow.key == claim.key,
                    AnswerRow.claim == claim.token,
                )
            )

    async def forget(self, *, started_before_ms: int) -> int:
        """Delete old answers; answers how many."""
        async with self._database.write() as connection:
            gone = await connection.execute(
                delete(AnswerRow).where(AnswerRow.started_ms < started_before_ms)
            )
        return gone.rowcount


def _abandoned(row: Any) -> bool:
    return row.status is None and row.started_ms < unix_ms() - ABANDONED_MS
