"""What happens beside the calls: first records, and the sweeping of old ones."""

from __future__ import annotations

import asyncio
import logging
import sys

from foundation.clock import unix_ms
from foundation.errors import Conflict, DirectContactError, InvalidInput
from registry.records import Role
from registry.records.keys import key_id, new_key_text
from rest_api.edge.authentication import DEFAULT_TENANT
from rest_api.once import KEEP_MS
from rest_api.services import Services
from rest_api.sessions.service import DEFAULT_POOL

log = logging.getLogger(__name__)

DAY_MS = 24 * 3600 * 1000
FORGET_BATCH = 1000


async def first_records(services: Services) -> None:
    """Make the admin key and the default pool of a new installation.

    An admin key that nobody gave is printed to standard output, this one time.

    Raises:
        InvalidInput: the admin key in the settings is not the text of a key.
    """
    settings, keys = services.settings, services.key_records
    await services.pool_records.ensure(DEFAULT_POOL, settings.rest_default_replicas)
    given = settings.rest_admin_key
    if given:
        try:
            identity = key_id(given)
        except InvalidInput as error:
            raise InvalidInput(f"DC_REST_ADMIN_KEY: {error.message}") from None
        if await keys.read(identity) is not None:
            return
    if await keys.count_admins(DEFAULT_TENANT):
        if given:
            log.warning("DC_REST_ADMIN_KEY is not used: this installation has admin keys already")
        return
    text = given or new_key_text()
    try:
        await keys.create(
            text, tenant=DEFAULT_TENANT, name="first admin", role=Role.ADMIN, created_by="start"
        )
    except Conflict:
        return
    if not given:
        sys.stdout.write(f"admin API key, shown only now: {text}\n")
        sys.stdout.flush()


async def sweep_forever(services: Services) -> None:
    """Sweep at every interval until cancelled; a failure is logged and tried again."""
    while True:
        try:
            await sweep(services)
        except DirectContactError as error:
            log.warning("old records were not swept: %s", error.message)
        except Exception:
            # Calls are worth more than a sweep.
            log.exception("old records were not swept")
        await asyncio.sleep(services.settings.rest_sweep_interval_s)


async def sweep(services: Services) -> None:
    """Write down which sessions have ended, and delete what is kept no longer.

    Raises:
        Unavailable: the session store, the database or the broker does not answer.
    """
    await services.liveness.settle()
    before_ms = unix_ms() - int(services.settings.rest_session_days * DAY_MS)
    while (
        await services.session_records.forget(ended_before_ms=before_ms, limit=FORGET_BATCH)
        == FORGET_BATCH
    ):
        pass
    await services.answers.forget(started_before_ms=unix_ms() - KEEP_MS)
    if services.settings.rest_unnamed_weights_hours:
        await services.unnamed_weights.sweep()
