from __future__ import annotations

import json

from broker import Delivery
from broker.nats import NatsBroker


async def test_service_is_listed_with_its_endpoint_when_registered(broker: NatsBroker) -> None:
    seen: list[Delivery] = []
    subscription = await broker.register(
        service="ann-worker-test",
        version="0.1.0",
        description="computes sessions",
        metadata={"worker": "w1", "pool": "default"},
        endpoint="offer",
        subject="dc.pool.protocol-test.offer",
        queue="offers",
        handler=seen.append,
    )
    subject = "$SRV.INFO.ann-worker-test"
    info = json.loads(await broker.request(subject, b"", timeout_s=10))
    assert info["metadata"] == {"worker": "w1", "pool": "default"}
    assert info["description"] == "computes sessions"
    [endpoint] = info["endpoints"]
    assert endpoint["name"] == "offer"
    assert endpoint["subject"] == "dc.pool.protocol-test.offer"
    assert endpoint["queue_group"] == "offers"
    await broker.publish("dc.pool.protocol-test.offer", b"?", reply="nowhere")
    await broker.flush()
    stats = json.loads(await broker.request("$SRV.STATS.ann-worker-test", b"", timeout_s=10))
    assert stats["endpoints"][0]["num_requests"] == 1
    assert [d.payload for d in seen] == [b"?"]
    await subscription.unsubscribe()
    assert await broker.gather(subject, b"", copies=1, timeout_s=60) == []
