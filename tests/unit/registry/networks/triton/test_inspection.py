from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import InvalidInput
from protos.dc.triton.v1.inference_pb2 import (
    CONTROL_KIND_CORRID,
    CONTROL_KIND_START,
    DATA_TYPE_INT32,
    DATA_TYPE_INT64,
    DATA_TYPE_STRING,
    DATA_TYPE_UINT32,
    DATA_TYPE_UINT64,
    Control,
    ControlInput,
    ModelConfig,
    ModelInput,
    ModelMetadataResponse,
    SequenceBatching,
    TensorMetadata,
    TransactionPolicy,
)
from registry.networks.triton.inspection import spec_of
from registry.networks.triton.spec import TritonSpec, parse_triton_spec

URL = "grpc://127.0.0.1:8001"


def metadata(**changes: Any) -> ModelMetadataResponse:
    return ModelMetadataResponse(
        **{
            "name": "m",
            "versions": ["2", "10", "9"],
            "inputs": [TensorMetadata(name="x", datatype="FP32", shape=[-1, 3])],
            "outputs": [TensorMetadata(name="y", datatype="BYTES", shape=[-1, -1])],
            **changes,
        }
    )


def inspected(
    told: ModelMetadataResponse, config: ModelConfig | None = None, version: str = ""
) -> TritonSpec:
    return spec_of(told, config or ModelConfig(), name="n", url=URL, version=version)


def sequences(data_type: Any) -> ModelConfig:
    controls = [
        ControlInput(name="START", control=[Control(kind=CONTROL_KIND_START)]),
        ControlInput(name="ID", control=[Control(kind=CONTROL_KIND_CORRID, data_type=data_type)]),
    ]
    return ModelConfig(max_batch_size=4, sequence_batching=SequenceBatching(control_input=controls))


def test_spec_has_the_models_tensors_and_its_newest_version() -> None:
    spec = inspected(metadata(), ModelConfig(max_batch_size=8))
    assert (spec.model, spec.version, spec.url, spec.max_batch_size) == ("m", "10", URL, 8)
    assert [(one.name, one.datatype, one.shape) for one in spec.inputs] == [("x", "FP32", (-1, 3))]
    assert [(one.name, one.datatype, one.shape) for one in spec.outputs] == [
        ("y", "BYTES", (-1, -1))
    ]
    assert (spec.stateful, spec.decoupled) == (False, False)
    assert parse_triton_spec(spec.model_dump(mode="json")) == spec


def test_spec_keeps_the_version_that_was_asked_for() -> None:
    assert inspected(metadata(), version="2").version == "2"


def test_spec_marks_inputs_that_may_be_left_out() -> None:
    config = ModelConfig(input=[ModelInput(name="x", optional=True)])
    assert inspected(metadata(), config).inputs[0].optional


def test_spec_is_decoupled_when_the_configuration_says_so() -> None:
    config = ModelConfig(model_transaction_policy=TransactionPolicy(decoupled=True))
    assert inspected(metadata(), config).decoupled


@pytest.mark.parametrize(
    ("data_type", "ids"),
    [(DATA_TYPE_UINT64, "number"), (DATA_TYPE_INT64, "number"), (DATA_TYPE_STRING, "string")],
)
def test_spec_is_stateful_when_the_model_batches_sequences(data_type: Any, ids: str) -> None:
    spec = inspected(metadata(), sequences(data_type))
    assert (spec.stateful, spec.sequence_ids) == (True, ids)


def test_sequence_ids_are_numbers_when_the_model_does_not_look_at_them() -> None:
    config = ModelConfig(sequence_batching=SequenceBatching())
    assert inspected(metadata(), config).sequence_ids == "number"


@pytest.mark.parametrize(
    ("told", "config", "code", "message"),
    [
        (metadata(inputs=[]), None, "no_tensors", "0 inputs and 1 outputs"),
        (metadata(outputs=[]), None, "no_tensors", "1 inputs and 0 outputs"),
        (
            metadata(outputs=[TensorMetadata(name="y", datatype="BF16", shape=[1])]),
            None,
            "unsupported_datatype",
            "its output 'y' has the datatype BF16; BOOL, BYTES, FP16",
        ),
        (metadata(versions=[]), None, "invalid_input", "the server tells no version of 'm'"),
        (
            metadata(inputs=[TensorMetadata(name=f"x{i}", datatype="FP32") for i in range(257)]),
            None,
            "invalid_input",
            "it has 257 inputs, the limit is 256",
        ),
        (metadata(name=""), None, "invalid_input", "it can't be taken: model: "),
        (
            metadata(inputs=[TensorMetadata(name="x" * 256, datatype="FP32", shape=[1])]),
            None,
            "invalid_input",
            "it can't be taken: name: ",
        ),
        (
            metadata(inputs=[TensorMetadata(name="x", datatype="FP32")]),
            ModelConfig(max_batch_size=4),
            "invalid_input",
            "its input 'x' has no batch axis",
        ),
        (metadata(), sequences(DATA_TYPE_UINT32), "narrow_sequence_ids", r"\(ID\) are UINT32"),
        (metadata(), sequences(DATA_TYPE_INT32), "narrow_sequence_ids", r"\(ID\) are INT32"),
    ],
)
def test_model_is_refused_when_it_cannot_be_served(
    told: ModelMetadataResponse, config: ModelConfig | None, code: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as raised:
        inspected(told, config)
    assert raised.value.code == code
    assert raised.value.field in {"model", "version"}


def test_spec_of_a_manifest_is_refused_when_a_field_is_wrong() -> None:
    with pytest.raises(InvalidInput, match=r"spec\.url"):
        parse_triton_spec({"url": "http://x", "name": "n", "model": "m", "version": "1"})


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_spec_is_refused_when_its_url_has_no_port_of_tcp(port: int) -> None:
    with pytest.raises(InvalidInput, match=r"spec\.url: Port should be"):
        parse_triton_spec(
            inspected(metadata()).model_dump(mode="json") | {"url": f"grpc://host:{port}"}
        )
