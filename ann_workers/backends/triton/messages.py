"""Requests and answers between our tensors and Triton's: the data itself goes through as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ann_workers.backends.payload import payload_prefix
from ann_workers.backends.remote import Part, RemoteState
from foundation.errors import InvalidInput
from protos.dc.triton.v1.inference_pb2 import InferRequest, InferResponse, InferTensor
from protos.dc.v1.tensor_pb2 import Payload, Tensor
from registry.networks.datatypes import DTYPES
from registry.networks.triton.spec import TritonSpec, TritonTensor

FINAL = "triton_final_response"
ASK_FOR_FINAL = "triton_enable_empty_final_response"


def request_of(
    spec: TritonSpec, tensors: Mapping[str, Tensor], state: RemoteState | None, *, end: bool = False
) -> InferRequest:
    """A request with these tensors, by the names of the model's inputs.

    Args:
        spec: the model.
        tensors: checked against it.
        state: a stateful session's; it begins where nothing was sent to it.
        end: the sequence ends with it.
    """
    request = InferRequest(model_name=spec.model, model_version=spec.version)
    for entry in spec.inputs:
        tensor = tensors.get(entry.name)
        if tensor is not None:
            request.inputs.append(
                InferTensor(name=entry.name, datatype=tensor.datatype, shape=tensor.shape)
            )
            request.raw_input_contents.append(tensor.data)
    parameters = request.parameters
    if state is not None:
        if spec.sequence_ids == "string":
            parameters["sequence_id"].string_param = state.key
        else:
            parameters["sequence_id"].int64_param = int(state.key)
        parameters["sequence_start"].bool_param = not state.first
        parameters["sequence_end"].bool_param = end
    if spec.decoupled:
        parameters[ASK_FOR_FINAL].bool_param = True
    return request


def farewell(spec: TritonSpec, state: RemoteState) -> InferRequest:
    """A request that ends a sequence. Triton knows no other way than one more input: zeros."""
    zeros = {entry.name: _zeros(entry) for entry in spec.inputs if not entry.optional}
    return request_of(spec, zeros, state, end=True)


def _zeros(entry: TritonTensor) -> Tensor:
    shape = tuple(max(1, size) for size in entry.shape)
    count = int(np.prod(shape))
    # An empty element of BYTES is its length alone.
    size = 4 if entry.datatype == "BYTES" else DTYPES[entry.datatype].itemsize
    return Tensor(datatype=entry.datatype, shape=shape, data=bytes(count * size))


def part_of(spec: TritonSpec, response: InferResponse) -> Part:
    """What one response means to the client.

    Raises:
        InvalidInput: `model_failed`: its outputs are not told as bytes.
    """
    last = not spec.decoupled or response.parameters[FINAL].bool_param
    contents = response.raw_output_contents
    if len(contents) != len(response.outputs):
        raise InvalidInput(
            f"the answer has {len(response.outputs)} outputs and the bytes of {len(contents)}",
            code="model_failed",
        )
    return Part(_payload(response.outputs, contents), last)


def _payload(outputs: Sequence[InferTensor], contents: Sequence[bytes]) -> bytes:
    parts: list[bytes] = []
    for output, data in zip(outputs, contents, strict=True):
        if output.datatype == "BYTES":
            # Its length is another one each time: there is no header to remember.
            tensor = Tensor(name=output.name, datatype="BYTES", shape=output.shape, data=data)
            parts.append(Payload(tensors=[tensor]).SerializeToString())
            continue
        prefix = payload_prefix(output.name, output.datatype, tuple(output.shape), len(data))
        parts += (prefix, data)
    return b"".join(parts)
