from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from ann_workers.backends.remote import RemoteState
from ann_workers.backends.triton.messages import farewell, part_of, request_of
from foundation.errors import InvalidInput
from protos.dc.triton.v1.inference_pb2 import InferResponse, InferTensor
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.networks.triton.spec import TritonSpec, TritonTensor


def spec(**changes: Any) -> TritonSpec:
    given: dict[str, Any] = {
        "name": "n",
        "url": "grpc://127.0.0.1:8001",
        "model": "m",
        "version": "3",
        "inputs": [
            TritonTensor(name="x", datatype="FP32", shape=(-1, 2)),
            TritonTensor(name="hint", datatype="BYTES", shape=(1,), optional=True),
        ],
        "outputs": [TritonTensor(name="y", datatype="FP32", shape=(-1, 2))],
    }
    return TritonSpec(**given | changes)


X = Tensor(datatype="FP32", shape=[1, 2], data=np.float32([1, 2]).tobytes())


def parameters(message: Any) -> dict[str, Any]:
    return {
        name: getattr(value, value.WhichOneof("choice"))
        for name, value in message.parameters.items()
    }


def test_request_carries_tensors_as_they_came() -> None:
    request = request_of(spec(), {"x": X}, None)
    assert (request.model_name, request.model_version) == ("m", "3")
    assert request.inputs == [InferTensor(name="x", datatype="FP32", shape=[1, 2])]
    assert request.raw_input_contents == [X.data]
    assert parameters(request) == {}


@pytest.mark.parametrize(("ids", "key", "sent"), [("number", "77", 77), ("string", "77", "77")])
def test_request_of_a_state_begins_with_its_first_input(ids: Any, key: str, sent: Any) -> None:
    stateful = spec(stateful=True, sequence_ids=ids)
    first = request_of(stateful, {"x": X}, RemoteState(key))
    assert parameters(first) == {
        "sequence_id": sent,
        "sequence_start": True,
        "sequence_end": False,
    }
    second = request_of(stateful, {"x": X}, RemoteState(key, first=1, sending=2))
    assert not parameters(second)["sequence_start"]


def test_farewell_ends_the_sequence_with_zeros_that_fit() -> None:
    stateful = spec(
        stateful=True,
        inputs=[
            TritonTensor(name="x", datatype="FP16", shape=(-1, 3)),
            TritonTensor(name="t", datatype="BYTES", shape=(2,)),
        ],
    )
    request = farewell(stateful, RemoteState("5", first=4))
    assert parameters(request)["sequence_end"] is True
    assert parameters(request)["sequence_start"] is False
    assert [tuple(one.shape) for one in request.inputs] == [(1, 3), (2,)]
    assert list(request.raw_input_contents) == [bytes(6), bytes(8)]


def answered(*tensors: tuple[str, str, list[int], bytes], **given: bool) -> InferResponse:
    response = InferResponse()
    for name, datatype, shape, data in tensors:
        response.outputs.append(InferTensor(name=name, datatype=datatype, shape=shape))
        response.raw_output_contents.append(data)
    for name, value in given.items():
        response.parameters[name].bool_param = value
    return response


def test_part_is_a_payload_of_all_outputs() -> None:
    texts = struct.pack("<I", 2) + b"ab" + struct.pack("<I", 0)
    part = part_of(spec(), answered(("y", "FP32", [1, 2], X.data), ("t", "BYTES", [2], texts)))
    assert part.last
    assert Payload.FromString(part.payload).tensors == [
        Tensor(name="y", datatype="FP32", shape=[1, 2], data=X.data),
        Tensor(name="t", datatype="BYTES", shape=[2], data=texts),
    ]


def test_part_of_a_decoupled_model_is_the_last_when_triton_says_so() -> None:
    decoupled = spec(decoupled=True)
    assert parameters(request_of(decoupled, {"x": X}, None)) == {
        "triton_enable_empty_final_response": True
    }
    output = ("y", "FP32", [1, 2], X.data)
    assert not part_of(decoupled, answered(output)).last
    assert not part_of(decoupled, answered(output, triton_final_response=False)).last
    assert part_of(decoupled, answered(output, triton_final_response=True)).last
    empty = part_of(decoupled, answered(triton_final_response=True))
    assert (empty.payload, empty.last) == (b"", True)


def test_part_is_refused_when_its_bytes_are_missing() -> None:
    response = answered(("y", "FP32", [1, 2], X.data))
    del response.raw_output_contents[:]
    with pytest.raises(InvalidInput, match="1 outputs and the bytes of 0"):
        part_of(spec(), response)
