"""Numpy arrays to payloads and back: the datatypes of the Open Inference Protocol."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from foundation.errors import InvalidInput
from protos.dc.v1.tensor_pb2 import Payload, Tensor

Array: TypeAlias = npt.NDArray[Any]
TensorLike: TypeAlias = npt.ArrayLike
PayloadLike: TypeAlias = TensorLike | Mapping[str, TensorLike]
"""One unnamed tensor, or several by name."""

DATATYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Every datatype of fixed size; BYTES has elements of any length."""

_NAMES: Final[dict[np.dtype[Any], str]] = {dtype: name for name, dtype in DATATYPES.items()}
_LITTLE = sys.byteorder == "little"
_LENGTH_BYTES = 4


def to_array(value: TensorLike) -> Array:
    """The array that travels for `value`.

    An array or a numpy scalar keeps its dtype. Of Python's own values, floats become float32 (what
    networks compute in), ints int64, and texts and bytes an array of objects, sent as BYTES.
    """
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if isinstance(value, str | bytes | bytearray | memoryview):
        whole = np.empty((), dtype=object)
        whole[()] = value if isinstance(value, str) else bytes(value)
        return whole
    array = np.asarray(value)
    kind = array.dtype.kind
    if kind == "f":
        return array.astype(np.float32)
    # numpy's own arrays of text drop trailing zeros, which bytes may well end with.
    return np.asarray(value, dtype=object) if kind in "SU" else array


def encode_tensor(value: TensorLike, name: str = "") -> Tensor:
    """One array as a tensor.

    Raises:
        InvalidInput: its dtype has no datatype.
    """
    datatype, shape, data = _parts(value, name)
    return Tensor(name=name, datatype=datatype, shape=shape, data=data)


def encode_payload(value: PayloadLike) -> bytes:
    """A serialized `Payload` with one unnamed tensor, or with several by name.

    Raises:
        InvalidInput: a dtype has no datatype.
    """
    if isinstance(value, Mapping):
        return b"".join([_encode_one(one, name) for name, one in value.items()])
    return _encode_one(value, "")


def decode_tensor(tensor: Tensor) -> Array:
    """The tensor's array, writable and owned by the caller; BYTES become an array of `bytes`.

    Raises:
        InvalidInput: the datatype is unknown, or the data is not what datatype and shape say.
    """
    shape = tuple(tensor.shape)
    data = tensor.data
    if tensor.datatype == "BYTES":
        return _decode_elements(data, shape, tensor.name)
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        raise InvalidInput(
            f"tensor {tensor.name!r}: unknown datatype {tensor.datatype[:40]!r}, "
            f"expected one of {', '.join(DATATYPES)}, BYTES",
            field="datatype",
        )
    expected_bytes = _elements(shape, tensor.name) * dtype.itemsize
    if len(data) != expected_bytes:
        raise InvalidInput(
            f"tensor {tensor.name!r}: {tensor.datatype} of shape {list(shape)} has "
            f"{expected_bytes} bytes, got {len(data)}",
            field="data",
        )
    return np.frombuffer(data, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))


def decode_payload(payload: bytes) -> dict[str, Array]:
    """The arrays of a serialized `Payload`, by name and in order.

    Raises:
        InvalidInput: see `decode_tensor`.
    """
    try:
        tensors = Payload.FromString(payload).tensors
    except DecodeError as error:
        raise InvalidInput(f"payload: {len(payload)} bytes are no Payload: {error}") from error
    return {tensor.name: decode_tensor(tensor) for tensor in tensors}


def decode_text(array: Array) -> Array:
    """An array of `bytes`, as BYTES decode, as an array of `str`, by UTF-8."""
    texts = np.empty(array.shape, dtype=object)
    for index, element in np.ndenumerate(array):
        texts[index] = element.decode()
    return texts


def _parts(value: TensorLike, name: str) -> tuple[str, tuple[int, ...], bytes]:
    array = to_array(value)
    datatype = _NAMES.get(array.dtype)
    if datatype is not None:
        return datatype, array.shape, array.tobytes()
    if array.dtype.kind in "SUO":
        return "BYTES", array.shape, _encode_elements(array, name)
    # A big-endian array has a datatype once its bytes are swapped.
    swapped = array.dtype.newbyteorder("<")
    if (datatype := _NAMES.get(swapped)) is not None:
        return datatype, array.shape, array.astype(swapped).tobytes()
    raise InvalidInput(
        f"tensor {name!r}: dtype {array.dtype} has no datatype, expected one of "
        f"{', '.join(dtype.name for dtype in DATATYPES.values())}, str or bytes",
        field="datatype",
    )


def _encode_elements(array: Array, name: str) -> bytes:
    pieces: list[bytes] = []
    for element in array.ravel(order="C").tolist():
        if isinstance(element, str):
            element = element.encode()
        elif not isinstance(element, bytes):
            raise InvalidInput(
                f"tensor {name!r}: an array of objects holds str and bytes only, "
                f"got {type(element).__name__}",
                field="data",
            )
        pieces.append(len(element).to_bytes(_LENGTH_BYTES, "little"))
        pieces.append(element)
    return b"".join(pieces)


def _decode_elements(data: bytes, shape: tuple[int, ...], name: str) -> Array:
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        elements.append(data[start:at])
    if at != len(data) or len(elements) != _elements(shape, name):
        raise InvalidInput(
            f"tensor {name!r}: BYTES of shape {list(shape)} has {_elements(shape, name)} "
            f"elements, its {len(data)} bytes hold {len(elements)}, the last one cut or not",
            field="data",
        )
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


def _elements(shape: tuple[int, ...], name: str) -> int:
    count = 1
    for size in shape:
        if size < 0:
            raise InvalidInput(f"tensor {name!r}: negative size in shape {list(shape)}")
        count *= size
    return count


# ---------------------------------------------------------------- the fast way out
#
# A stream sends the same shape again and again: all bytes of its payload but the elements
# themselves are made once. Building the messages costs five times as much.


def _encode_one(value: TensorLike, name: str) -> bytes:
    if type(value) is np.ndarray and _LITTLE and (datatype := _NAMES.get(value.dtype)):
        return _prefix(name, datatype, value.shape, value.nbytes) + value.tobytes()
    datatype, shape, data = _parts(value, name)
    return _prefix(name, datatype, shape, len(data)) + data


@lru_cache(maxsize=1024)
def _prefix(name: str, datatype: str, shape: tuple[int, ...], data_bytes: int) -> bytes:
    """The bytes of a `Payload` of one tensor, up to where its elements begin."""
    head = Tensor(name=name, datatype=datatype, shape=shape).SerializeToString()
    if data_bytes:
        head += _tag(Tensor.DATA_FIELD_NUMBER) + varint(data_bytes)
    return _tag(Payload.TENSORS_FIELD_NUMBER) + varint(len(head) + data_bytes) + head


def _tag(field: int) -> bytes:
    """The key of a length-delimited field with a number below 16."""
    return bytes((field << 3 | 2,))


def varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the least significant ones first."""
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
