"""Sessions of an ONNX network with state: many at a time, through the death of their worker."""

from __future__ import annotations

import asyncio

import numpy as np
import onnxruntime

from direct_contact.client.tensors import decode_payload, decode_text, encode_payload
from protos.dc.v1.stream_pb2 import Input
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.ids import new_session_id
from registry.live import SessionRecord
from registry.networks.manifest import Manifest
from registry.networks.onnx.inspection import inspect_model
from registry.networks.onnx.spec import StateRequest
from tests.support import onnx_models as models
from tests.support import silero
from tests.support.conditions import until
from tests.support.stack import TENANT, RawLink, Running, Stack, values

SESSIONS = 24
CHUNKS = 40


async def add_silero(stack: Stack) -> bytes:
    """Make Silero VAD known as the network `vad`."""
    data = silero.silero_file().read_bytes()
    state = [StateRequest.model_validate(one) for one in silero.STATE]
    spec = inspect_model(data, name="vad", state=state).spec
    manifest = Manifest(
        tenant=TENANT,
        network="vad",
        version=1,
        backend="onnx",
        spec=spec.model_dump(mode="json"),
        weights=await stack.networks.put_weights(data),
        stateful=True,
    )
    await stack.networks.put_manifest(manifest)
    return data


async def add_session(stack: Stack) -> SessionRecord:
    record = SessionRecord(
        id=new_session_id(),
        tenant=TENANT,
        network="vad",
        version=1,
        pool="default",
        stateful=True,
        config={},
    )
    await stack.store.create(record)
    return record


def chunk_input(seq: int, chunk: np.ndarray) -> Input:
    rate = Tensor(name="sr", datatype="INT64", data=np.int64(silero.RATE).tobytes())
    audio = Tensor(name="input", datatype="FP32", shape=chunk.shape, data=chunk.tobytes())
    return Input(seq=seq, payload=Payload(tensors=[audio, rate]).SerializeToString())


def bursts(seed: int) -> np.ndarray:
    """Chunks of noise that comes and goes, so that the state matters."""
    rng = np.random.default_rng(seed)
    audio = rng.normal(scale=0.2, size=CHUNKS * silero.CHUNK)
    loudness = np.repeat(rng.integers(0, 2, CHUNKS), silero.CHUNK)
    return silero.chunks((audio * loudness).astype(np.float32))


def oracle(data: bytes, chunks: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    found = []
    for chunk in chunks:
        feeds = {"input": chunk, "state": state, "sr": np.array(silero.RATE)}
        probability, state = session.run(None, feeds)
        found.append(probability)
    return found


async def test_sessions_get_the_models_own_answers_when_their_worker_dies(running: Running) -> None:
    streams = [bursts(seed) for seed in range(SESSIONS)]
    half = CHUNKS // 2
    halfway = asyncio.Barrier(SESSIONS + 1)
    async with running(workers=2, worker={"worker_checkpoint_inputs": 7}) as stack:
        data = await add_silero(stack)

        async def speak(link: RawLink, chunks: np.ndarray) -> list[np.ndarray]:
            await link.greet()
            for seq in range(1, half + 1):
                await link.send(inputs=[chunk_input(seq, chunks[seq - 1])])
            outputs = await link.outputs(half // 2)
            await halfway.wait()
            await halfway.wait()
            for seq in range(half + 1, CHUNKS + 1):
                await link.send(inputs=[chunk_input(seq, chunks[seq - 1])])
            outputs += await link.outputs(CHUNKS - len(outputs))
            assert [output.seq for output in outputs] == list(range(1, CHUNKS + 1))
            return [values(output.payload) for output in outputs]

        async def session(chunks: np.ndarray) -> list[np.ndarray]:
            record = await add_session(stack)
            async with stack.link(record) as link:
                return await speak(link, chunks)

        async with asyncio.TaskGroup() as tasks:
            speaking = [tasks.create_task(session(chunks)) for chunks in streams]
            await halfway.wait()
            stack.processes[0].task.cancel()
            await halfway.wait()
        for chunks, task in zip(streams, speaking, strict=True):
            np.testing.assert_allclose(task.result(), oracle(data, chunks), atol=1e-4)


async def test_input_that_the_model_fails_on_is_answered_with_its_error(stack: Stack) -> None:
    data = await add_silero(stack)
    chunks = bursts(3)[:3]
    record = await add_session(stack)
    async with stack.link(record) as link:
        await link.greet()
        await link.send(
            inputs=[
                chunk_input(1, chunks[0]),
                chunk_input(2, np.zeros((1, 5), np.float32)),
                chunk_input(3, chunks[1]),
                chunk_input(4, np.zeros((2, 576), np.float32)),
            ]
        )
        first, failed, third, refused = await link.outputs(4)
    assert failed.error.code == "model_failed"
    assert refused.error.code == "invalid_input"
    assert "one row a session" in refused.error.message
    found = [values(first.payload), values(third.payload)]
    np.testing.assert_allclose(found, oracle(data, chunks[:2]), atol=1e-5)


async def test_texts_travel_through_a_session(stack: Stack) -> None:
    data = models.words()
    manifest = Manifest(
        tenant=TENANT,
        network="words",
        version=1,
        backend="onnx",
        spec=inspect_model(data, name="words").spec.model_dump(mode="json"),
        weights=await stack.networks.put_weights(data),
    )
    await stack.networks.put_manifest(manifest)
    record = await stack.add_session("words")
    texts = np.array(["cat", "Hündchen", "fish"], object)
    wrong = Tensor(datatype="BYTES", shape=[1], data=b"\1\0\0\0\xff")
    async with stack.link(record) as link:
        await link.greet()
        await link.send(
            inputs=[
                Input(seq=1, payload=encode_payload(texts)),
                Input(seq=2, payload=Payload(tensors=[wrong]).SerializeToString()),
            ]
        )
        answered, refused = await link.outputs(2)
    arrays = decode_payload(answered.payload)
    assert decode_text(arrays["same"]).tolist() == texts.tolist()
    assert arrays["class"].tolist() == [1, 2, 0]
    assert (refused.error.code, refused.error.message[:24]) == (
        "invalid_input",
        "text: element 0 is not U",
    )


async def test_network_is_loaded_ahead_by_the_workers_that_may_take_over(running: Running) -> None:
    async with running(workers=2) as stack:
        await add_silero(stack)
        record = await add_session(stack)
        async with stack.link(record) as link:
            await link.greet()
            await until(
                lambda: all(
                    process.host.networks.loaded(f"{TENANT}.vad.1")
                    for process in stack.processes[:2]
                )
            )
