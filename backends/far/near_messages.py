"""Messages between a worker and its child: values as JSON, and arrays as their bytes.

A message is a header, a text and the arrays' bytes, all little-endian. The header has a mark, the
version of this format, the number of the call, the lengths of what follows, and a checksum. A reply
has the number of its call. Both sides use this file, so it keeps to what Python 3.6 can read.
"""

import json
import struct
import zlib
from typing import Any

import numpy as np

_MARK = b"FBfr"
_VERSION = 1
_HEADER = struct.Struct("<4sHIIQ")  # mark, version, number of the call, bytes of text, of arrays
_CHECKSUM = struct.Struct("<I")
_ARRAY = "__array__"  # the key that stands for an array in the text
_MOST_TEXT = 2**26  # bytes; a description or a traceback has some thousands


class MessageError(Exception):
    """What was read is not a complete message."""


def write_message(stream: Any, number: int, content: Any) -> None:
    """Write a message.

    Args:
        stream: a binary stream.
        number: the number of the call.
        content: values of JSON, and NumPy arrays and scalars, in dictionaries and lists.
    """
    arrays: list[np.ndarray] = []
    packed = _pack(content, arrays)
    described = [
        {"dtype": array.dtype.str, "shape": array.shape, "crc32": _crc32(array)} for array in arrays
    ]
    text = json.dumps({"content": packed, "arrays": described}).encode("utf-8")
    size = sum(array.nbytes for array in arrays)
    header = _HEADER.pack(_MARK, _VERSION, number, len(text), size)
    stream.write(header + _CHECKSUM.pack(zlib.crc32(header + text)) + text)
    for array in arrays:
        stream.write(_bytes_of(array))
    stream.flush()


def read_message(stream: Any) -> "tuple[int, Any]":
    """Read a message; returns the number of the call and the content.

    Raises:
        EOFError: the stream has ended.
        MessageError: what came is not a message, or is damaged or incomplete.
    """
    header = _read(stream, _HEADER.size + _CHECKSUM.size, "the header")
    checksum = _CHECKSUM.unpack(header[_HEADER.size :])[0]
    mark, version, number, length, size = _HEADER.unpack(header[: _HEADER.size])
    if mark != _MARK or length > _MOST_TEXT:
        raise MessageError(f"something else stands in the pipe: {bytes(header)!r}")
    if version != _VERSION:
        raise MessageError(f"version {version} of the messages, expected {_VERSION}")
    text = _read(stream, length, "the text")
    if zlib.crc32(header[: _HEADER.size] + text) != checksum:
        raise MessageError("the header or the text is damaged")
    decoded = json.loads(text.decode("utf-8"))
    empty = [np.empty(row["shape"], _dtype_of(row["dtype"])) for row in decoded["arrays"]]
    if sum(array.nbytes for array in empty) != size:
        raise MessageError("the arrays have other sizes than the header says")
    for position, (array, row) in enumerate(zip(empty, decoded["arrays"])):
        _fill(stream, array, f"array {position}")
        if _crc32(array) != row["crc32"]:
            raise MessageError(f"array {position} is damaged")
    return number, _unpack(decoded["content"], empty)


def _pack(value: Any, arrays: "list[np.ndarray]") -> Any:
    """The value for JSON; its arrays are appended to `arrays`, little-endian and contiguous."""
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        arrays.append(little.reshape(value.shape))
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _pack(part, arrays) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(part, arrays) for part in value]
    return value


def _unpack(value: Any, arrays: "list[np.ndarray]") -> Any:
    """The inverse of `_pack`; tuples have become lists."""
    if isinstance(value, dict):
        if _ARRAY in value:
            if value[_ARRAY] >= len(arrays):
                raise MessageError("the text names an array that is not there")
            return arrays[value[_ARRAY]]
        return {key: _unpack(part, arrays) for key, part in value.items()}
    if isinstance(value, list):
        return [_unpack(part, arrays) for part in value]
    return value


def _dtype_of(text: str) -> "np.dtype[Any]":
    dtype = np.dtype(text)
    if dtype.kind not in "biuf" or dtype.byteorder == ">":
        raise MessageError(f"arrays of type {text} are not sent")
    return dtype


def _bytes_of(array: np.ndarray) -> Any:
    """The memory of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data if array.size else b""


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(_bytes_of(array))


def _read(stream: Any, size: int, what: str) -> bytes:
    """Exactly so many bytes; EOFError if none came before the end of the stream."""
    found = np.empty(size, np.uint8)
    _fill(stream, found, what)
    return found.tobytes()


def _fill(stream: Any, array: np.ndarray, what: str) -> None:
    """Fill a contiguous array from the stream."""
    rest = memoryview(_bytes_of(array))
    while rest:
        count = stream.readinto(rest)
        if not count:
            if what == "the header" and len(rest) == array.nbytes:
                raise EOFError
            raise MessageError(f"the pipe ended within {what}")
        rest = rest[count:]
