from __future__ import annotations

import numpy as np
import pytest

from direct_contact.client import TrainingProgress
from direct_contact.client.tensors import decode_payload, encode_payload
from foundation.errors import InternalError, InvalidInput
from protos.dc.v1 import stream_pb2 as pb
from tests.support.scripted_stream import Peer, ScriptedStream, echo, echo_on

XS = np.arange(10, dtype=np.float64).reshape(10, 1)
COMMANDS = "sessions/ses_test/commands"


def learning(seen: list[tuple[list[float], list[int]]], classes: int = 3) -> object:
    """A network that says class 1 to everything, and whose loss is its step's number."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        while True:
            frame = await peer.frame()
            for one in frame.inputs:
                x, target = decode_payload(one.payload)[""], decode_payload(one.target)[""]
                assert x.dtype == np.float32
                seen.append((x.ravel().tolist(), target.ravel().tolist()))
                scores = np.zeros((len(x), classes), np.float32)
                scores[:, 1 % classes] = 1
                payload = encode_payload({"output": scores, "loss": np.float32(one.seq)})
                await peer.send(
                    outputs=[pb.Output(seq=one.seq, last=True, payload=payload)],
                    progress=pb.Progress(durable_seq=one.seq, window_seq=one.seq + 64),
                )
            if frame.HasField("bye"):
                await peer.close(1000)
                return

    return script


async def test_training_streams_every_item_once_an_epoch_and_tells_its_progress(
    stream: ScriptedStream,
) -> None:
    seen: list[tuple[list[float], list[int]]] = []
    stream.run(learning(seen))
    classes = [1, 0] * 5
    told: list[TrainingProgress] = []
    async with stream.client() as client, client.session("digits", mode="train") as session:
        steps = [
            progress
            async for progress in session.train(
                XS, classes, epochs=2, batch_size=4, on_progress=told.append
            )
        ]
    assert [len(xs) for xs, _ in seen] == [4, 4, 2, 4, 4, 2]
    first = [x for xs, _ in seen[:3] for x in xs]
    second = [x for xs, _ in seen[3:] for x in xs]
    assert sorted(first) == sorted(second) == XS.ravel().tolist()
    assert first != second
    for xs, targets in seen:
        assert targets == [classes[int(x)] for x in xs]
    assert told == steps
    assert [(one.step, one.steps, one.epoch, one.loss) for one in steps] == [
        (1, 6, 1, 1.0),
        (2, 6, 1, 2.0),
        (3, 6, 1, 3.0),
        (4, 6, 2, 4.0),
        (5, 6, 2, 5.0),
        (6, 6, 2, 6.0),
    ]
    assert [one.accuracy for one in steps] == [np.mean(targets) for _, targets in seen]


async def test_training_is_awaited_for_its_last_step(stream: ScriptedStream) -> None:
    seen: list[tuple[list[float], list[int]]] = []
    stream.run(learning(seen))
    one_hot = np.eye(3, dtype=np.float32)[[1] * 10]
    async with stream.client() as client, client.session("digits", mode="train") as session:
        last = await session.train(XS, one_hot, batch_size=5, seed=None)
    assert (last.step, last.accuracy) == (2, 1.0)
    assert seen[0][0] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("targets", [np.full((10, 3), 0.5, np.float32), np.zeros((10, 3))])
async def test_training_tells_no_accuracy_when_targets_are_no_classes(
    stream: ScriptedStream, targets: np.ndarray
) -> None:
    stream.run(learning([]))
    async with stream.client() as client, client.session("digits", mode="train") as session:
        assert (await session.train(XS, targets)).accuracy is None


async def test_training_tells_no_accuracy_when_the_output_is_one_number(
    stream: ScriptedStream,
) -> None:
    stream.run(learning([], classes=1))
    async with stream.client() as client, client.session("digits", mode="train") as session:
        assert (await session.train(XS, XS)).accuracy is None


async def test_training_switches_the_session_when_it_only_infers(stream: ScriptedStream) -> None:
    answer = {"command_id": "c", "type": "train", "after_seq": 0, "result": {}}
    stream.answers["POST", COMMANDS] = [(201, answer)]
    stream.run(learning([]))
    async with stream.client() as client, client.session("digits") as session:
        await session.train(XS, [0] * 10)
        assert session.mode == "train"
        await session.train(XS, [0] * 10)
    assert [body["type"] for body in stream.called("POST", COMMANDS)] == ["train"]


async def test_training_fails_when_no_loss_comes(stream: ScriptedStream) -> None:
    stream.run(echo)
    async with stream.client() as client, client.session("digits", mode="train") as session:
        with pytest.raises(InternalError, match="no loss"):
            await session.train(XS, [0] * 10)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"epochs": 0}, "epochs: at least 1, got 0"),
        ({"batch_size": 0}, "batch_size: at least 1"),
        ({"window": 0}, "window: at least 1"),
        ({"targets": [0] * 9}, r"one for each of xs, got shapes \[10, 1\] and \[9\]"),
        ({"xs": np.zeros((0, 1)), "targets": []}, "xs: at least 1 item"),
    ],
)
async def test_training_refuses_what_does_not_fit(
    stream: ScriptedStream, arguments: dict[str, object], told: str
) -> None:
    async with stream.client() as client:
        session = client.session("digits", mode="train")
        with pytest.raises(InvalidInput, match=told):
            session.train(**({"xs": XS, "targets": [0] * 10} | arguments))


async def test_commands_carry_their_arguments_and_give_their_result(stream: ScriptedStream) -> None:
    stream.answers["POST", COMMANDS] = [
        (201, {"command_id": "c", "type": "migrate", "after_seq": 5, "result": {}}),
        (201, {"command_id": "c", "type": "infer", "after_seq": 6, "result": {}}),
        (201, {"command_id": "c", "type": "snapshot", "after_seq": 7, "result": {"version": 9}}),
        (201, {"command_id": "c", "type": "snapshot", "after_seq": 7, "result": {}}),
    ]
    stream.answers["PUT", "networks/digits/aliases/best"] = [(200, {})]
    stream.run(echo)
    async with stream.client() as client, client.session("digits", mode="train") as session:
        assert (await session.command("migrate", after_seq=5))["after_seq"] == 5
        await session.command("infer")
        assert session.mode == "infer"
        assert await session.snapshot(alias="best") == 9
        with pytest.raises(InternalError, match="no version"):
            await session.snapshot()
    bodies = stream.called("POST", COMMANDS)
    assert [(body["type"], body["after_seq"]) for body in bodies[:2]] == [
        ("migrate", 5),
        ("infer", 0),
    ]
    assert len({body["command_id"] for body in bodies}) == 4
    assert stream.called("PUT", "networks/digits/aliases/best") == [{"version": 9}]


async def test_echo_script_answers_buffered_inputs(stream: ScriptedStream) -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.until(lambda frame: frame.inputs)
        await echo_on(peer)

    stream.run(script)
    async with stream.client() as client, client.session("digits") as session:
        assert (await session.infer(np.float32(1))).tolist() == 1
