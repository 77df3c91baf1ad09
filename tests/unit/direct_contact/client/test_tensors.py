from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from direct_contact.client.tensors import (
    DATATYPES,
    decode_payload,
    decode_tensor,
    decode_text,
    encode_payload,
    encode_tensor,
    to_array,
    varint,
)
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Payload, Tensor

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@given(st.data())
def test_payload_gives_back_every_array_of_every_datatype(data: st.DataObject) -> None:
    arrays = {
        name: data.draw(hnp.arrays(dtype, shapes))
        for name, dtype in data.draw(
            st.dictionaries(
                st.text(max_size=8), st.sampled_from(list(DATATYPES.values())), max_size=3
            )
        ).items()
    }
    decoded = decode_payload(encode_payload(arrays))
    assert list(decoded) == list(arrays)
    for name, array in arrays.items():
        assert decoded[name].dtype == array.dtype
        np.testing.assert_array_equal(decoded[name], array)
        assert decoded[name].shape == array.shape


@given(hnp.arrays(st.sampled_from(list(DATATYPES.values())), shapes), st.text(max_size=20))
def test_fast_payload_is_what_the_messages_would_serialize_to(array: np.ndarray, name: str) -> None:
    payload = Payload.FromString(encode_payload({name: array}))
    assert payload == Payload(tensors=[encode_tensor(array, name)])
    assert payload.tensors[0].data == array.tobytes()


@given(st.lists(st.binary(max_size=20)), st.lists(st.text(max_size=20)))
def test_bytes_and_texts_come_back_as_bytes(some: list[bytes], texts: list[str]) -> None:
    decoded = decode_payload(encode_payload({"some": some, "texts": texts}))
    if some:
        assert decoded["some"].tolist() == some
    if texts:
        assert decode_text(decoded["texts"]).tolist() == texts


def test_one_text_is_one_element_of_no_axis() -> None:
    tensor = encode_tensor("grüß dich")
    assert (tensor.datatype, list(tensor.shape)) == ("BYTES", [])
    assert decode_text(decode_tensor(tensor))[()] == "grüß dich"
    assert decode_tensor(encode_tensor(b"a\0"))[()] == b"a\0"


def test_python_values_become_what_networks_compute_in() -> None:
    assert to_array([1.5, 2.0]).dtype == np.float32
    assert to_array(1.5).dtype == np.float32
    assert to_array([1, 2]).dtype == np.int64
    assert to_array([True]).dtype == np.bool_
    assert to_array(np.float64(1)).dtype == np.float64
    assert to_array(np.zeros(2)).dtype == np.float64


def test_arrays_of_other_layouts_are_sent_row_major_and_little_endian() -> None:
    matrix = np.arange(6, dtype=">f4").reshape(2, 3)
    for array in (matrix, matrix.T, matrix[:, ::-1]):
        decoded = decode_payload(encode_payload(array))[""]
        np.testing.assert_array_equal(decoded, array)
        assert decoded.dtype == np.float32


def test_decoded_array_is_the_callers_own() -> None:
    decoded = decode_payload(encode_payload(np.zeros(3, np.float32)))[""]
    decoded += 1
    assert decoded.flags.owndata
    assert decoded.flags.writeable


@pytest.mark.parametrize("value", [np.zeros(2, complex), np.array(["2020"], "M8[D]"), [object()]])
def test_values_without_a_datatype_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        encode_payload(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (Tensor(datatype="FP32", shape=[2], data=b"1234"), "has 8 bytes, got 4"),
        (Tensor(datatype="FP128", shape=[1], data=b"1234"), "unknown datatype 'FP128'"),
        (Tensor(datatype="FP32", shape=[-1], data=b""), "negative size"),
        (Tensor(datatype="BYTES", shape=[2], data=b"\1\0\0\0a"), "has 2 elements"),
        (Tensor(datatype="BYTES", shape=[1], data=b"\x09\0\0\0a"), "has 1 elements"),
        (Tensor(datatype="BYTES", shape=[1], data=b"\1\0"), "has 1 elements"),
    ],
)
def test_decoding_refuses_what_does_not_fit(tensor: Tensor, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        decode_tensor(tensor)


def test_decoding_refuses_what_is_no_payload() -> None:
    with pytest.raises(InvalidInput, match="no Payload"):
        decode_payload(b"\xff")


@given(st.integers(0, 2**40))
def test_varint_is_what_protobuf_writes(number: int) -> None:
    expected = Tensor(shape=[number]).SerializeToString()
    packed = varint(number)
    assert expected == b"\x1a" + varint(len(packed)) + packed
