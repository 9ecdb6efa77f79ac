"""GGUF files: metadata and tensors of a model, read over a memory map and checked once.

The model families, the tokenizer and the kernel read models through this file only. A file comes from anybody
(anyone may publish a model), so nothing in it is believed: every count is compared with the bytes that are left
before anything is allocated, and whatever is wrong raises `Invalid`.

Source: the GGUF specification, versions 2 and 3, little-endian.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from puna.errors import Invalid, Missing

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT_DEFAULT = 32
ALIGNMENT_MAX = 1 << 20
DIMENSIONS_MAX = 4
NAME_BYTES_MAX = 1 << 16  # ggml allows 64 for a tensor and 65,535 for a key
ARRAY_DEPTH_MAX = 4
KEY_VALUE_BYTES_MIN = 8 + 4 + 1  # empty key, type, one byte of value
TENSOR_INFO_BYTES_MIN = 8 + 4 + 8 + 4 + 8  # empty name, dimensions, one dimension, type, offset
DOWNLOAD_AGAIN = "Download or copy the file again and compare its size with the original."
CONVERT = "Convert the model again with a current llama.cpp converter."


@dataclass(frozen=True, slots=True)
class TensorType:
    """How a tensor's numbers lie in the file: `block_elements` of them in every `block_bytes` bytes."""

    name: str
    block_elements: int
    block_bytes: int


# ggml's number for the type -> its layout. A type belongs here when the kernel computes with it.
TENSOR_TYPES: Mapping[int, TensorType] = MappingProxyType(
    {
        0: TensorType("F32", 1, 4),
        1: TensorType("F16", 1, 2),
        2: TensorType("Q4_0", 32, 18),
        8: TensorType("Q8_0", 32, 34),
    }
)

# Only to name what was found in an error.
OTHER_TYPE_NAMES: Mapping[int, str] = MappingProxyType(
    {
        3: "Q4_1",
        6: "Q5_0",
        7: "Q5_1",
        9: "Q8_1",
        10: "Q2_K",
        11: "Q3_K",
        12: "Q4_K",
        13: "Q5_K",
        14: "Q6_K",
        15: "Q8_K",
        16: "IQ2_XXS",
        17: "IQ2_XS",
        18: "IQ3_XXS",
        19: "IQ1_S",
        20: "IQ4_NL",
        21: "IQ3_S",
        22: "IQ2_S",
        23: "IQ4_XS",
        24: "I8",
        25: "I16",
        26: "I32",
        27: "I64",
        28: "F64",
        29: "IQ1_M",
        30: "BF16",
        34: "TQ1_0",
        35: "TQ2_0",
        39: "MXFP4",
    }
)

FILE_TYPE_NAMES: Mapping[int, str] = MappingProxyType({0: "F32", 1: "F16", 2: "Q4_0", 7: "Q8_0"})


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor as it lies in the file.

    `shape` is in NumPy order, rows first: a matrix (outputs, inputs). `offset` counts from the start of the file
    and `nbytes` is the size there. `data` is a read-only uint8 view of the memory map, `nbytes` long.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    nbytes: int
    data: np.ndarray

    @property
    def elements(self) -> int:
        return count_elements(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Gguf:
    """A model file: `metadata` by key and `tensors` by name, in file order.

    Metadata values are int, float, bool, str, lists of str, NumPy arrays of numbers, or lists of such arrays.
    """

    path: Path
    version: int
    file_bytes: int
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    def text(self, key: str, default: str | None = None) -> str:
        """The string under `key`; Invalid when it is absent without a default, or not a string."""
        return self._typed(key, default, str, "a string")

    def whole(self, key: str, default: int | None = None) -> int:
        """The whole number under `key`; Invalid when it is absent without a default, or not a whole number."""
        return self._typed(key, default, int, "a whole number")

    def real(self, key: str, default: float | None = None) -> float:
        """The finite number under `key`; Invalid when it is absent without a default, or not a finite number."""
        value = self._typed(key, default, int | float, "a number")
        if not abs(value) < float("inf"):
            raise Invalid(f"{self.path.name}: {key} is {value}.", CONVERT)
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """The boolean under `key`; Invalid when it is absent without a default, or not a boolean."""
        return self._typed(key, default, bool, "true or false")

    def texts(self, key: str) -> list[str]:
        """The list of strings under `key`, empty when it is absent."""
        value = self.metadata.get(key, [])
        if isinstance(value, list | np.ndarray) and len(value) == 0:
            return []  # an empty array of any type says the same
        if not isinstance(value, list) or not isinstance(value[0], str):
            raise Invalid(f"{self.path.name}: {key} is not a list of strings.", CONVERT)
        return value

    def numbers(self, key: str) -> np.ndarray | None:
        """The array of numbers under `key`, None when it is absent."""
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, np.ndarray):
            raise Invalid(f"{self.path.name}: {key} is not a list of numbers.", CONVERT)
        return value

    def _typed(self, key: str, default: Any, kind: Any, described: str) -> Any:
        value = self.metadata.get(key, default)
        if value is None:
            raise Invalid(f"{self.path.name}: the metadata lacks {key}.", CONVERT)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Invalid(f"{self.path.name}: {key} is not {described}.", CONVERT)
        return value


def count_elements(shape: tuple[int, ...]) -> int:
    """The number of elements of a tensor of this shape (exact: Python integers do not overflow)."""
    elements = 1
    for length in shape:
        elements *= length
    return elements


def open_gguf(path: Path | str) -> Gguf:
    """Map a GGUF file and check everything its header says.

    Raises Missing when there is no such file, Invalid for anything in it that is wrong or unknown: the magic, the
    version, a value's type, a length past the end, a tensor type the kernel does not know, a tensor outside the
    file or on top of another one.
    """
    path = Path(path)
    buffer = map_file(path)
    reader = Reader(path.name, buffer)
    version = read_version(reader)
    tensor_count = reader.count(TENSOR_INFO_BYTES_MIN, "tensors", skip=8)
    metadata_count = reader.count(KEY_VALUE_BYTES_MIN, "metadata entries")
    metadata = read_metadata(reader, metadata_count)
    tensors = read_tensors(reader, tensor_count, read_alignment(path.name, metadata))
    return Gguf(path, version, len(buffer), MappingProxyType(metadata), MappingProxyType(tensors))


def map_file(path: Path) -> memoryview:
    """The bytes of a file as a read-only memory map. The map lives as long as a view of it."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise Missing(f"There is no model file at {path}.", "Check the path, or add the model first.") from None
    except ValueError:  # an empty file cannot be mapped
        raise Invalid(f"{path.name} is empty.", DOWNLOAD_AGAIN) from None
    except OSError as error:
        raise Invalid(
            f"{path} cannot be read: {error.strerror or error}.", "Check that it is a readable file."
        ) from None


class Reader:
    """A cursor over the header. Every read is bounded by the file; a read past its end raises Invalid."""

    def __init__(self, name: str, buffer: memoryview):
        self.name = name
        self.buffer = buffer
        self.position = 0

    @property
    def left(self) -> int:
        return len(self.buffer) - self.position

    def advance(self, size: int) -> int:
        """Step over `size` bytes and return where they began."""
        if size > self.left:
            raise Invalid(
                f"{self.name} ends early: {size} bytes are needed at {self.position} and {self.left} are left.",
                DOWNLOAD_AGAIN,
            )
        start = self.position
        self.position += size
        return start

    def number(self, layout: struct.Struct) -> Any:
        return layout.unpack_from(self.buffer, self.advance(layout.size))[0]

    def count(self, bytes_each_min: int, what: str, skip: int = 0) -> int:
        """A 64-bit count of things that take at least `bytes_each_min` bytes each, after `skip` more bytes."""
        count = self.number(U64)
        if count * bytes_each_min > self.left - skip:
            raise Invalid(f"{self.name} claims {count} {what}, more than the file can hold.", DOWNLOAD_AGAIN)
        return count

    def text(self) -> str:
        size = self.number(U64)
        start = self.advance(size)
        try:
            return str(self.buffer[start : start + size], "utf-8")
        except UnicodeDecodeError:
            raise Invalid(f"{self.name}: the string at {start} is not UTF-8.", CONVERT) from None

    def name_text(self, what: str) -> str:
        start = self.position
        if self.left >= 8 and U64.unpack_from(self.buffer, start)[0] > NAME_BYTES_MAX:
            raise Invalid(f"{self.name}: the {what} name at {start} is too long.", DOWNLOAD_AGAIN)
        return self.text()

    def invalid(self, what: str, todo: str = DOWNLOAD_AGAIN) -> Invalid:
        return Invalid(f"{self.name}: {what}", todo)


U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")

# GGUF's number for a value type -> NumPy's little-endian type. 7 is bool, 8 a string, 9 an array.
NUMBER_TYPES: Mapping[int, np.dtype] = MappingProxyType(
    {
        number: np.dtype(code)
        for number, code in {
            0: "u1",
            1: "i1",
            2: "<u2",
            3: "<i2",
            4: "<u4",
            5: "<i4",
            6: "<f4",
            10: "<u8",
            11: "<i8",
            12: "<f8",
        }.items()
    }
)
BOOL, STRING, ARRAY = 7, 8, 9


def read_version(reader: Reader) -> int:
    magic = bytes(reader.buffer[:4])
    if magic != MAGIC:
        raise reader.invalid("this is not a GGUF file (its first four bytes are not 'GGUF').", "Give a .gguf file.")
    reader.advance(4)
    version = reader.number(U32)
    if version not in VERSIONS:
        # A big-endian file's version reads as 3 << 24.
        kind = "big-endian" if version & 0xFFFF == 0 else f"GGUF version {version}"
        raise reader.invalid(f"{kind}; versions 2 and 3, little-endian, are read here.", CONVERT)
    return version


def read_metadata(reader: Reader, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = reader.name_text("key")
        if key in metadata:
            raise reader.invalid(f"the metadata key {key} is there twice.", CONVERT)
        metadata[key] = read_value(reader, reader.number(U32), depth=0)
    return metadata


def read_value(reader: Reader, kind: int, depth: int) -> Any:
    if kind in NUMBER_TYPES:
        return read_numbers(reader, NUMBER_TYPES[kind], 1)[0].item()
    if kind == BOOL:
        return read_bools(reader, 1)[0].item()
    if kind == STRING:
        return reader.text()
    if kind == ARRAY and depth < ARRAY_DEPTH_MAX:
        return read_array(reader, depth + 1)
    raise reader.invalid(f"unknown metadata type {kind} before {reader.position}.", CONVERT)


def read_array(reader: Reader, depth: int) -> Any:
    kind = reader.number(U32)
    if kind in NUMBER_TYPES:
        dtype = NUMBER_TYPES[kind]
        return read_numbers(reader, dtype, reader.count(dtype.itemsize, "array elements"))
    if kind == BOOL:
        return read_bools(reader, reader.count(1, "array elements"))
    # The smallest string is its length; the smallest array its element type and length.
    bytes_each_min = 8 if kind == STRING else 12
    return [read_value(reader, kind, depth) for _ in range(reader.count(bytes_each_min, "array elements"))]


def read_numbers(reader: Reader, dtype: np.dtype, count: int) -> np.ndarray:
    start = reader.advance(count * dtype.itemsize)
    return np.frombuffer(reader.buffer, dtype, count, start).astype(dtype.newbyteorder("="))


def read_bools(reader: Reader, count: int) -> np.ndarray:
    return read_numbers(reader, np.dtype("u1"), count) != 0


def read_alignment(name: str, metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", ALIGNMENT_DEFAULT)
    power_of_two = isinstance(alignment, int) and 0 < alignment <= ALIGNMENT_MAX and alignment & (alignment - 1) == 0
    if not power_of_two:
        raise Invalid(f"{name}: general.alignment is {alignment!r}, not a power of two.", CONVERT)
    return alignment


def read_tensors(reader: Reader, count: int, alignment: int) -> dict[str, Tensor]:
    infos = [read_tensor_info(reader) for _ in range(count)]
    data_start = -(-reader.position // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    for name, shape, layout, relative in infos:
        if name in tensors:
            raise reader.invalid(f"the tensor {name} is there twice.", CONVERT)
        if relative % alignment:
            raise reader.invalid(f"the tensor {name} is not aligned to {alignment} bytes.", CONVERT)
        tensors[name] = place_tensor(reader, name, shape, layout, data_start + relative)
    refuse_overlap(reader, tensors)
    return tensors


def read_tensor_info(reader: Reader) -> tuple[str, tuple[int, ...], TensorType, int]:
    name = reader.name_text("tensor")
    dimensions = reader.number(U32)
    if not 1 <= dimensions <= DIMENSIONS_MAX:
        raise reader.invalid(f"the tensor {name} has {dimensions} dimensions, not 1 to {DIMENSIONS_MAX}.")
    # GGUF lists the fastest varying dimension first.
    shape = tuple(reader.number(U64) for _ in range(dimensions))[::-1]
    return name, shape, tensor_type(reader, name, reader.number(U32)), reader.number(U64)


def tensor_type(reader: Reader, name: str, number: int) -> TensorType:
    if number not in TENSOR_TYPES:
        found = OTHER_TYPE_NAMES.get(number, f"number {number}")
        known = ", ".join(sorted(each.name for each in TENSOR_TYPES.values()))
        raise reader.invalid(
            f"the tensor {name} is of type {found}; this build computes with {known}.",
            "Take the model's Q8_0 or Q4_0 file, or requantise it (llama-quantize --pure).",
        )
    return TENSOR_TYPES[number]


def place_tensor(reader: Reader, name: str, shape: tuple[int, ...], layout: TensorType, offset: int) -> Tensor:
    if not all(shape):
        raise reader.invalid(f"the tensor {name} has an empty dimension: {shape}.")
    if shape[-1] % layout.block_elements:
        raise reader.invalid(
            f"the tensor {name} has rows of {shape[-1]}, not whole blocks of {layout.block_elements} ({layout.name}).",
            CONVERT,
        )
    nbytes = count_elements(shape) // layout.block_elements * layout.block_bytes
    if offset + nbytes > len(reader.buffer):
        raise reader.invalid(
            f"the tensor {name} should end at byte {offset + nbytes} and the file has {len(reader.buffer)}: "
            "the file was cut short.",
        )
    data = np.frombuffer(reader.buffer, np.uint8, nbytes, offset)
    return Tensor(name, shape, layout.name, offset, nbytes, data)


def refuse_overlap(reader: Reader, tensors: Mapping[str, Tensor]) -> None:
    """Two tensors over the same bytes are how a small file pretends to be a large model."""
    end = 0
    for tensor in sorted(tensors.values(), key=lambda each: each.offset):
        if tensor.offset < end:
            raise reader.invalid(f"the tensor {tensor.name} lies on top of another one.", CONVERT)
        end = tensor.offset + tensor.nbytes
