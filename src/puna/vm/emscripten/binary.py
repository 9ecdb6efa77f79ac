"""Reading WebAssembly's binary form, as far as a host must before the engine sees it.

Called by `module.py` and `metering.py`. Source: the WebAssembly core specification, chapter 5.
"""

from collections.abc import Iterator

from puna.errors import Invalid

MAGIC = b"\0asm\1\0\0\0"
CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT, TAG = range(14)
WIDE_MEMORY = 4  # the flag of a memory with 64-bit addresses
PAGE_BYTES = 65536
LEB_BYTES_MAX = 10


class NotWasm(Invalid):
    """The bytes are no WebAssembly module, or a damaged one."""


def sections(wasm: bytes) -> Iterator[tuple[int, bytes]]:
    """The sections in order: number and content. Raises NotWasm."""
    if not wasm.startswith(MAGIC):
        raise NotWasm("The module is not WebAssembly.", "Its data must be a compiled module.")
    at = len(MAGIC)
    while at < len(wasm):
        number = wasm[at]
        size, at = read_unsigned(wasm, at + 1)
        if at + size > len(wasm):
            raise NotWasm("The module is not WebAssembly: a section ends beyond the file.")
        yield number, wasm[at : at + size]
        at += size


def read_memory_min(wasm: bytes) -> int:
    """Bytes of memory that a module starts with, told before anything is compiled. Raises NotWasm."""
    return _read_memory(wasm)[1] * PAGE_BYTES


def has_wide_memory(wasm: bytes) -> bool:
    """Whether a module's memory is addressed by 64 bits. Raises NotWasm."""
    return bool(_read_memory(wasm)[0] & WIDE_MEMORY)


def _read_memory(wasm: bytes) -> tuple[int, int]:
    """Flags and pages to start with; zeros when the module has no memory of its own."""
    for number, content in sections(wasm):
        if number == MEMORY:
            count, at = read_unsigned(content, 0)
            if count:
                flags, at = read_unsigned(content, at)
                return flags, read_unsigned(content, at)[0]
    return 0, 0


def read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and the position after it. Raises NotWasm."""
    value = shift = 0
    for _ in range(LEB_BYTES_MAX):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise NotWasm("The module is not WebAssembly: a number does not end.")


def unsigned(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def signed(value: int) -> bytes:
    out = bytearray()
    while True:
        low = value & 0x7F
        value >>= 7
        if (value == 0 and not low & 0x40) or (value == -1 and low & 0x40):
            return bytes((*out, low))
        out.append(low | 0x80)
