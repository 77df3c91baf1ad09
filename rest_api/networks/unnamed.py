"""The sweeping of weights that no version names.

They stay behind when a snapshot is never recorded, when a creation fails half way, and when the
last version that shared them is deleted.
"""

from __future__ import annotations

import logging
from typing import Final

from foundation.clock import unix_ms
from registry.networks.store import NetworkStore
from registry.records import VersionRecords
from rest_api.edge.observation import Metrics

log = logging.getLogger(__name__)

LOOKED_AT: Final = 256
"""Blobs of one round. Each is a round trip to the broker: 0.1 s for all where it is near."""
HOUR_MS: Final = 3_600_000


class UnnamedWeights:
    """Looks through the weights, some in each round, and deletes the forgotten ones.

    Any number of REST APIs may do so at once, beside creations and snapshots. Who puts weights, or
    is about to name them, renews them; a deletion fails when that happened since they were listed.
    So the time between renewal and record is all that `kept_ms` must cover.

    Args:
        store: has the weights.
        versions: name them.
        metrics: counts what was deleted.
        kept_ms: how long they are kept without a name.
    """

    def __init__(
        self, store: NetworkStore, versions: VersionRecords, metrics: Metrics, *, kept_ms: int
    ) -> None:
        self._store = store
        self._versions = versions
        self._metrics = metrics
        self._kept_ms = kept_ms
        self._after = 0

    async def sweep(self) -> int:
        """One round, which goes on where the last one ended; returns how many were deleted.

        Raises:
            Unavailable: the store or the database does not answer.
        """
        listed, self._after = await self._store.list_weights(after=self._after, limit=LOOKED_AT)
        before_ms = unix_ms() - self._kept_ms
        old = {digest: entry for digest, entry in listed.items() if entry.renewed_ms < before_ms}
        named = await self._versions.named(old) if old else None
        if named is None:
            # Without any version the database is a new one, or the wrong one.
            return 0
        deleted = 0
        for digest in old.keys() - named:
            deleted += await self._store.delete_weights(digest, old[digest])
        if deleted:
            self._metrics.weights_deleted.inc(deleted)
            log.info("%d weights that no version names were deleted", deleted)
        return deleted
