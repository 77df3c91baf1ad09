from __future__ import annotations

import dataclasses
import hashlib

import pytest
from redis.asyncio import Redis

from broker.nats import NatsBlobs, NatsBroker, connect
from foundation.errors import InternalError, InvalidInput, NotFound, Unavailable
from foundation.redis import connect as connect_redis
from foundation.settings import BrokerSettings
from registry.networks.manifest import Manifest
from registry.networks.store import CACHE_LARGEST_BYTES, NetworkStore
from tests.support.servers import NatsServer, RedisServer

MANIFEST = Manifest(
    tenant="acme",
    network="digits",
    version=2,
    backend="numpy",
    spec={"name": "digits", "layers": [{"type": "dense", "units": 10}]},
    weights="0" * 64,
    trainable=True,
)


@pytest.fixture
def blobs(broker: NatsBroker) -> NatsBlobs:
    return broker.blobs("test-networks")


@pytest.fixture
def store(blobs: NatsBlobs, redis: Redis) -> NetworkStore:
    return NetworkStore(blobs, redis)


@pytest.mark.parametrize("size", [0, 1000, 2_000_000])
async def test_weights_come_back_by_their_digest_when_stored(
    store: NetworkStore, size: int
) -> None:
    data = bytes(i % 253 for i in range(size))
    digest = await store.put_weights(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert await store.put_weights(data) == digest
    assert await store.weights(digest) == data
    assert store.cache_hits == 1


async def test_weights_come_from_the_blobs_when_the_cache_lost_them(
    store: NetworkStore, redis: Redis
) -> None:
    digest = await store.put_weights(b"weights")
    await redis.flushdb()
    assert await store.weights(digest) == b"weights"
    assert (store.cache_hits, store.cache_misses) == (0, 1)
    assert await store.weights(digest) == b"weights"
    assert store.cache_hits == 1
    [key] = await redis.keys("*")
    assert 0 < await redis.pttl(key) <= 3_600_000


async def test_weights_are_not_cached_when_they_are_large(
    store: NetworkStore, redis: Redis
) -> None:
    data = b"x" * (CACHE_LARGEST_BYTES + 1)
    digest = await store.put_weights(data)
    assert await store.weights(digest) == data
    assert await redis.keys("*") == []


async def test_weights_are_fetched_again_when_the_cache_has_damaged_ones(
    store: NetworkStore, redis: Redis
) -> None:
    digest = await store.put_weights(b"weights")
    await redis.set(f"dc:cache:weights:{digest}", b"Weights", px=1000)
    assert await store.weights(digest) == b"weights"
    assert store.cache_failures == 1
    assert await redis.get(f"dc:cache:weights:{digest}") == b"weights"


async def test_weights_are_refused_when_the_blob_is_not_what_its_name_says(
    store: NetworkStore, blobs: NatsBlobs, redis: Redis
) -> None:
    digest = hashlib.sha256(b"real").hexdigest()
    await blobs.put(f"weights/{digest}", b"forged")
    with pytest.raises(Unavailable) as caught:
        await store.weights(digest)
    assert caught.value.code == "weights_damaged"
    assert await redis.keys("*") == []


async def test_blob_is_refused_when_its_bytes_were_changed_in_the_stream(
    broker: NatsBroker, blobs: NatsBlobs
) -> None:
    await blobs.put("blob", b"as stored")
    jetstream = broker._client.jetstream()
    info = await (await jetstream.object_store("test-networks")).get_info("blob")
    subject = f"$O.test-networks.C.{info.nuid}"
    await jetstream.purge_stream("OBJ_test-networks", subject=subject)
    await jetstream.publish(subject, b"as forged")
    with pytest.raises(Unavailable) as caught:
        await blobs.get("blob")
    assert caught.value.code == "blob_damaged"


async def test_weights_are_not_found_when_absent_or_deleted(store: NetworkStore) -> None:
    with pytest.raises(NotFound):
        await store.weights(hashlib.sha256(b"never stored").hexdigest())
    digest = await store.put_weights(b"soon gone")
    listed, _ = await store.list_weights(after=0, limit=10)
    assert await store.delete_weights(digest, listed[digest])
    with pytest.raises(NotFound):
        await store.weights(digest)
    for malformed in ("", "x" * 64, "A" * 64, "0" * 63, "../" + "0" * 61):
        with pytest.raises(InvalidInput):
            await store.weights(malformed)


async def test_manifest_comes_back_when_stored(store: NetworkStore, redis: Redis) -> None:
    assert MANIFEST.key == "acme.digits.2"
    await store.put_manifest(MANIFEST)
    assert await store.manifest("acme", "digits", 2) == MANIFEST
    await redis.flushdb()
    assert await store.manifest("acme", "digits", 2) == MANIFEST
    await redis.set("dc:cache:manifest:acme.digits.2", b"{]", px=1000)
    assert await store.manifest("acme", "digits", 2) == MANIFEST
    assert store.cache_failures == 1


async def test_version_is_not_found_when_absent_or_deleted(store: NetworkStore) -> None:
    other = dataclasses.replace(MANIFEST, version=3)
    with pytest.raises(NotFound) as caught:
        await store.manifest("acme", "digits", 3)
    assert "digits version 3" in caught.value.message
    await store.put_manifest(other)
    await store.delete_version("acme", "digits", 3)
    await store.delete_version("acme", "digits", 3)
    with pytest.raises(NotFound):
        await store.manifest("acme", "digits", 3)


async def test_manifest_is_our_fault_when_the_stored_one_does_not_parse(
    blobs: NatsBlobs,
) -> None:
    await blobs.put("manifests/acme.broken.1", b'{"tenant": "acme"}')
    with pytest.raises(InternalError):
        await NetworkStore(blobs, None).manifest("acme", "broken", 1)


async def test_store_goes_on_when_the_cache_is_down(
    blobs: NatsBlobs, own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundation.redis.RETRIES", 1)
    cache = await connect_redis(own_redis_server.url, timeout_s=20)
    store = NetworkStore(blobs, cache)
    own_redis_server.kill()
    digest = await store.put_weights(b"weights")
    assert await store.weights(digest) == b"weights"
    await store.put_manifest(MANIFEST)
    assert await store.manifest("acme", "digits", 2) == MANIFEST
    await store.delete_version("acme", "digits", 2)
    assert store.cache_failures >= 4
    own_redis_server.start()
    assert await store.weights(digest) == b"weights"
    assert await store.weights(digest) == b"weights"
    assert store.cache_hits == 1
    await cache.aclose()


async def test_store_works_when_there_is_no_cache(blobs: NatsBlobs) -> None:
    store = NetworkStore(blobs, None)
    assert await store.weights(await store.put_weights(b"bare")) == b"bare"


async def test_blobs_survive_when_nats_is_killed_and_restarted(
    own_nats_server: NatsServer,
) -> None:
    settings = BrokerSettings(nats_url=own_nats_server.url)
    first = await connect(settings, name="first")
    store = NetworkStore(first.blobs("networks"), None)
    digest = await store.put_weights(b"w" * 1_000_000)
    own_nats_server.restart()
    second = await connect(settings, name="second")
    assert await NetworkStore(second.blobs("networks"), None).weights(digest) == b"w" * 1_000_000
    await first.close()
    await second.close()


async def test_bucket_is_made_again_when_nats_lost_its_data(
    broker: NatsBroker, blobs: NatsBlobs
) -> None:
    await blobs.put("a", b"1")
    await broker._client.jetstream().delete_object_store("test-networks")
    with pytest.raises(NotFound):
        await blobs.get("a")
    await blobs.put("a", b"2")
    assert await blobs.get("a") == b"2"


async def test_blobs_are_refused_when_the_bucket_is_misnamed_or_the_broker_closed(
    nats_server: NatsServer,
) -> None:
    broker = await connect(BrokerSettings(nats_url=nats_server.url), name="test")
    with pytest.raises(InvalidInput):
        await broker.blobs("not a bucket").put("a", b"1")
    await broker.close()
    with pytest.raises(Unavailable):
        await broker.blobs("networks").get("a")
