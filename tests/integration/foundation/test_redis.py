from __future__ import annotations

import asyncio
import random

import pytest
from redis.asyncio import Redis

from foundation import redis as foundation_redis
from foundation.errors import InternalError, InvalidInput, Unavailable
from foundation.redis import connect, translated
from tests.support.conditions import until
from tests.support.servers import RedisServer, free_port


async def test_connections_stay_whole_when_commands_are_cancelled(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few connections, so that commands also wait for one and are cancelled there.
    monkeypatch.setattr(foundation_redis, "CONNECTIONS", 3)
    client = await connect(redis_server.url, timeout_s=20)
    chance = random.Random(7)
    wrong: list[tuple[object, object]] = []

    async def ask(name: str) -> None:
        answer = await client.echo(name)
        if answer != name.encode():
            wrong.append((name, answer))

    async def ask_together(name: str) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for i in range(3):
                pipeline.echo(f"{name}.{i}")
            answers = await pipeline.execute()
        if answers != [f"{name}.{i}".encode() for i in range(3)]:
            wrong.append((name, answers))

    for round_ in range(60):
        tasks = [
            asyncio.create_task(chance.choice([ask, ask_together])(f"{round_}.{i}"))
            for i in range(20)
        ]
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 10):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        strange = [
            r for r in results if r is not None and not isinstance(r, asyncio.CancelledError)
        ]
        assert strange == []
    assert wrong == []
    # Every place of the pool is still there.
    held = [await client.connection_pool.get_connection() for _ in range(3)]
    for connection in held:
        await client.connection_pool.release(connection)
    await client.aclose()


async def test_commands_go_on_when_redis_is_killed_and_restarted(
    own_redis_server: RedisServer,
) -> None:
    client = await connect(own_redis_server.url, timeout_s=20)
    await client.set("key", "value")
    own_redis_server.kill()
    asking = asyncio.create_task(client.get("key"))
    await asyncio.sleep(0)
    own_redis_server.start()
    assert await asking == b"value"
    await client.aclose()


async def test_commands_are_unavailable_when_redis_is_away(
    own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foundation_redis, "RETRIES", 1)
    monkeypatch.setattr(foundation_redis, "ANSWER_TIMEOUT_S", 0.2)
    client = await connect(own_redis_server.url, timeout_s=20)
    own_redis_server.freeze()
    with pytest.raises(Unavailable), translated("testing"):
        await client.get("key")
    own_redis_server.kill()
    with pytest.raises(Unavailable) as caught, translated("testing"):
        await client.get("key")
    assert "testing" in caught.value.message
    await client.aclose()


async def test_refused_commands_are_our_fault_when_redis_says_so(redis: Redis) -> None:
    with pytest.raises(InternalError), translated("testing"):
        await redis.execute_command("NO SUCH COMMAND")
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unavailable), translated("testing"):
            await redis.set("key", "value")
        with pytest.raises(Unavailable), translated("testing"):
            await redis.eval("return redis.call('SET', KEYS[1], 'value')", 1, "key")
    finally:
        await redis.config_set("maxmemory", "0")


async def test_connect_waits_and_says_so_when_redis_starts_later(
    own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis_server.kill()
    connecting = asyncio.create_task(connect(own_redis_server.url, timeout_s=20))
    await until(lambda: "waiting for Redis" in caplog.text)
    own_redis_server.start()
    client = await connecting
    assert await client.ping()
    await client.aclose()


async def test_connect_fails_naming_the_url_when_nobody_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    with pytest.raises(Unavailable) as caught:
        await connect(f"redis://:secret@127.0.0.1:{port}/0", timeout_s=0.3)
    assert f"redis://127.0.0.1:{port}/0" in caught.value.message
    assert "DC_REDIS_URL" in caught.value.message
    assert "secret" not in caught.value.message + caplog.text


@pytest.mark.parametrize("url", ["", "nats://127.0.0.1", "redis://127.0.0.1:notaport"])
async def test_connect_refuses_the_url_when_it_is_malformed(url: str) -> None:
    with pytest.raises(InvalidInput):
        await connect(url, timeout_s=1)


async def test_cancellation_arrives_when_it_comes_at_any_turn_of_a_command(redis: Redis) -> None:
    async def write_for_ever() -> None:
        while True:
            with translated("testing"):
                async with redis.pipeline(transaction=False) as pipeline:
                    for number in range(3):
                        pipeline.set(f"key-{number}", "value")
                    await pipeline.execute()

    for turns in range(200):
        task = asyncio.create_task(write_for_ever())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        ended = task.done()
        # However it ends: the loop must not be left with it.
        task.cancel()
        assert ended, f"cancelled after {turns} turns of the loop, it went on"
