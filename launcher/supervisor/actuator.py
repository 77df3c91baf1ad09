"""The actuator: makes a pool's desired number of replicas true with processes of this machine.

The number is a record of REST. A message on the broker tells that it changed; every
`RECONCILE_S` the record is read anyway, so that a lost message costs seconds, not correctness.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from foundation.errors import DirectContactError
from launcher.supervisor.logs import Output, note

RECONCILE_S = 5.0
CONNECT_TIMEOUT_S = 20.0

Listen = Callable[[Callable[[], None]], contextlib.AbstractAsyncContextManager[None]]
"""Inside, the callback is called whenever the pool's record may have changed."""


async def actuate(
    *,
    desired: Callable[[], Awaitable[int]],
    scale_to: Callable[[int], None],
    listen: Listen,
    output: Output,
) -> None:
    """Read `desired`, call `scale_to`, and again at every change, until cancelled.

    While the record cannot be read, the workers stay as they are.
    """
    changed = asyncio.Event()
    complained = False
    async with listen(changed.set):
        while True:
            changed.clear()
            try:
                scale_to(await desired())
                complained = False
            except DirectContactError as error:
                if not complained:
                    output(note(f"the pool's record cannot be read: {error}", level="W"))
                complained = True
            # Not wait_for: until 3.12 it loses a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_S):
                    await changed.wait()


def on_nats(nats_url: str, pool: str, output: Output) -> Listen:
    """Listen on the broker at `nats_url` for changes of `pool`.

    A broker that cannot be reached is no error: then only the regular reading is left.
    """

    @contextlib.asynccontextmanager
    async def listening(changed: Callable[[], None]) -> AsyncIterator[None]:
        # Late imports: the stack's processes start before the launcher needs these.
        from broker.nats import connect
        from broker.port import Delivery
        from broker.subjects import POOLS_CHANGED
        from foundation.settings import BrokerSettings

        def heard(delivery: Delivery) -> None:
            with contextlib.suppress(ValueError, AttributeError):
                if json.loads(delivery.payload).get("pool") != pool:
                    return
            changed()

        broker = None
        try:
            broker = await connect(
                BrokerSettings(nats_url=nats_url, connect_timeout_s=CONNECT_TIMEOUT_S),
                name="launcher",
            )
            await broker.subscribe(POOLS_CHANGED, heard)
        except DirectContactError as error:
            output(note(f"no word of pool changes, reading every few seconds: {error}", level="W"))
        try:
            yield
        finally:
            if broker is not None:
                await broker.close()

    return listening
