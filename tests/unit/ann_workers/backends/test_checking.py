from __future__ import annotations

import struct

import pytest

from ann_workers.backends.checking import check_elements, check_tensor, named
from ann_workers.backends.port import TensorSpec
from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Tensor

A = TensorSpec("a", "FP32", (-1, 2))
B = TensorSpec("b", "BYTES", (-1,))


def elements(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def test_single_tensor_needs_no_name() -> None:
    assert set(named([Tensor(datatype="FP32")], [A])) == {"a"}


def test_optional_tensor_may_be_left_out() -> None:
    assert set(named([Tensor(name="a")], [A, B], {"b"})) == {"a"}
    assert set(named([Tensor(name="b"), Tensor(name="a")], [A, B], {"b"})) == {"a", "b"}


@pytest.mark.parametrize(
    ("names", "came"),
    [(["b"], "'b'"), ([], "none"), (["a", "a"], "'a', 'a'"), (["a", "c"], "'a', 'c'")],
)
def test_tensors_are_refused_when_one_is_missing_unknown_or_there_twice(
    names: list[str], came: str
) -> None:
    expected = f"expected the tensors 'a', 'b' \\(optional\\), got {came}"
    with pytest.raises(InvalidInput, match=expected):
        named([Tensor(name=name) for name in names], [A, B], {"b"})


def test_texts_pass_when_each_has_its_length() -> None:
    tensor = Tensor(name="b", datatype="BYTES", shape=[3], data=elements(b"abc", b"", b"d" * 300))
    check_tensor(tensor, B, None, 0)
    check_elements(tensor, "b")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        elements(b"abc"),
        elements(b"abc", b"d", b"e"),
        elements(b"abc", b"d")[:-1],
        elements(b"abc", b"d") + b"x",
        elements(b"abc") + b"\x00\x00",
        elements(b"abc") + b"\xff\xff\xff\xff",
    ],
)
def test_texts_are_refused_when_they_are_cut_or_of_another_number(data: bytes) -> None:
    tensor = Tensor(name="b", datatype="BYTES", shape=[2], data=data)
    with pytest.raises(InvalidInput, match=r"b: expected 2 elements for BYTES \[2\]"):
        check_elements(tensor, "b")


def test_absurd_shape_of_texts_is_refused_at_once() -> None:
    tensor = Tensor(name="b", datatype="BYTES", shape=[1 << 60], data=elements(b"abc"))
    with pytest.raises(InvalidInput):
        check_elements(tensor, "b")
