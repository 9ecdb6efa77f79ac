"""A module whose memory is addressed by 64 bits, made to address it by 32: the same module, evaluated in less time.

Called by `module.py` for processes that get no more than 4 GiB. Checking a 64-bit address takes the engine instructions
at every access; of a 32-bit one it needs none, since the whole range is reserved. Pointers keep their 64 bits; each
address is cut to 32 where memory is read or written. So an address beyond 4 GiB, which no memory has, wraps round
instead of stopping the module: equally on every machine, since the limit is part of the process.

A pure function from module to module. Source: the WebAssembly core specification, chapter 5, with 64-bit memories.
"""

from collections.abc import Iterator

from .binary import (
    CODE,
    CUSTOM,
    DATA,
    FUNCTION,
    IMPORT,
    MAGIC,
    MEMORY,
    TYPE,
    WIDE_MEMORY,
    NotWasm,
    read_unsigned,
    sections,
    unsigned,
)
from .metering import (
    BRANCHES,
    EIGHT_BYTES,
    FOUR_BYTES,
    FUNCTION_INDEX,
    IMMEDIATES,
    NOTHING,
    PREFIXED,
    PREFIXED_NUMBERS,
    TYPES,
)
from .metering import MEMORY as ACCESS

BYTES_MAX = 1 << 32  # of a memory that 32 bits address
PAGES_MAX = 1 << 16
I32, I64, F32, F64, V128 = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B
STORES = dict(zip(range(0x36, 0x3F), (I32, I64, F32, F64, I32, I32, I64, I64, I64), strict=True))
MEMORY_SIZE, MEMORY_GROW = 0x3F, 0x40
MEMORY_INIT, MEMORY_COPY, MEMORY_FILL = 8, 10, 11  # after PREFIX
GET, SET, TEE = b"\x20", b"\x21", b"\x22"
I32_CONST, I64_CONST = 0x41, 0x42
CUT = b"\xa7"  # i32.wrap_i64
EXTEND_UNSIGNED, EXTEND_SIGNED = b"\xad", b"\xac"
END = 0x0B
FUNCTION_TYPE = 0x60
VECTOR = 0xFD  # prefix; the operations after it:
VECTOR_ACCESS = {*range(12), *range(84, 94)}
VECTOR_ABOVE = {11, *range(84, 92)}  # a vector lies above the address
VECTOR_BYTES = {12: 16, 13: 16, **dict.fromkeys(range(21, 35), 1), **dict.fromkeys(range(84, 92), 1)}  # immediate
VECTOR_LAST = 275


class Unsuitable(Exception):
    """The module holds something that cannot be narrowed, and stays as it is."""


def narrow(wasm: bytes) -> bytes | None:
    """The module with a memory of 32-bit addresses; None when it has none of 64, or when something in it forbids it.

    Raises NotWasm when the module is damaged.
    """
    content = [(number, body) for number, body in sections(wasm) if number != CUSTOM]
    by_number = dict(content)
    try:
        if MEMORY not in by_number or CODE not in by_number:
            return None
        parameters = _parameters(by_number)
        edits = {MEMORY: _memory, DATA: _data, CODE: lambda body: _code(body, parameters)}
        out = bytearray(MAGIC)
        for number, body in content:
            body = edits[number](body) if number in edits else body
            out += bytes((number,)) + unsigned(len(body)) + body
        return bytes(out)
    except Unsuitable:
        return None
    except IndexError:
        raise NotWasm("The module is not WebAssembly: a section ends too early.") from None


# --- the sections ---------------------------------------------------------------------------------------------


def _memory(body: bytes) -> bytes:
    count, at = read_unsigned(body, 0)
    flags, at = read_unsigned(body, at)
    if count != 1 or flags not in (WIDE_MEMORY, WIDE_MEMORY | 1):
        raise Unsuitable
    least, at = read_unsigned(body, at)
    most = read_unsigned(body, at)[0] if flags & 1 else PAGES_MAX
    if least > PAGES_MAX:
        raise Unsuitable
    return b"\1\1" + unsigned(least) + unsigned(min(most, PAGES_MAX))


def _data(body: bytes) -> bytes:
    """Segments that say where they go say it in 32 bits."""
    count, at = read_unsigned(body, 0)
    out = bytearray(unsigned(count))
    for _ in range(count):
        begin = at
        mode, at = read_unsigned(body, at)
        if mode == 0:
            if body[at] != I64_CONST:
                raise Unsuitable
            place, at = read_unsigned(body, at + 1)
            # Below 4 GiB the number of both widths is the same, but for the sign of those from 2 GiB on.
            if place >= BYTES_MAX // 2 or body[at] != END:
                raise Unsuitable
            out += b"\0" + bytes((I32_CONST,)) + body[begin + 2 : at]
        elif mode != 1:
            raise Unsuitable
        else:
            out += b"\1"
        begin = at
        at += mode == 0  # its END
        size, at = read_unsigned(body, at)
        out += body[begin : at + size]
        at += size
    return bytes(out)


def _parameters(by_number: dict[int, bytes]) -> list[int]:
    """How many parameters each function of the module's own has."""
    body = by_number.get(IMPORT, b"\0")
    count, at = read_unsigned(body, 0)
    for _ in range(count):
        for _ in range(2):  # module, field
            size, at = read_unsigned(body, at)
            at += size
        if body[at] != 0:
            raise Unsuitable  # an imported memory has the width it has
        _, at = read_unsigned(body, at + 1)
    by_type = list(_types(by_number.get(TYPE, b"\0")))
    body = by_number.get(FUNCTION, b"\0")
    count, at = read_unsigned(body, 0)
    parameters = []
    for _ in range(count):
        number, at = read_unsigned(body, at)
        parameters.append(by_type[number])
    return parameters


def _types(body: bytes) -> Iterator[int]:
    count, at = read_unsigned(body, 0)
    for _ in range(count):
        if body[at] != FUNCTION_TYPE:
            raise Unsuitable
        parameters, at = read_unsigned(body, at + 1)
        results, at = read_unsigned(body, at + parameters)
        at += results
        yield parameters


def _code(body: bytes, parameters: list[int]) -> bytes:
    count, at = read_unsigned(body, 0)
    if count != len(parameters):
        raise NotWasm("The module is not WebAssembly: it has functions without code.")
    out = bytearray(unsigned(count))
    for number in range(count):
        size, at = read_unsigned(body, at)
        function = _Function(body[at : at + size], parameters[number]).narrowed()
        out += unsigned(len(function)) + function
        at += size
    return bytes(out)


# --- one function ---------------------------------------------------------------------------------------------


class _Function:
    """A function's code, and the locals it gets for what lies above an address on the stack."""

    def __init__(self, body: bytes, parameters: int):
        self._body = body
        groups, at = read_unsigned(body, 0)
        first_group, variables = at, parameters
        for _ in range(groups):
            size, at = read_unsigned(body, at)
            variables += size
            at += 1
        self._groups, self._declared, self._begin = groups, body[first_group:at], at
        self._next = variables
        self._spare: dict[tuple[int, int], bytes] = {}  # by type and use: index of the local, as code names it

    def narrowed(self) -> bytes:
        code = self._instructions()
        added = b"".join(b"\1" + bytes((kind,)) for kind, _ in self._spare)
        return unsigned(self._groups + len(self._spare)) + self._declared + added + code

    def _local(self, kind: int, use: int = 0) -> bytes:
        if (kind, use) not in self._spare:
            self._spare[kind, use] = unsigned(self._next)
            self._next += 1
        return self._spare[kind, use]

    def _instructions(self) -> bytes:
        body, at, end = self._body, self._begin, len(self._body)
        out, copied = bytearray(), self._begin
        while at < end:
            opcode = body[at]
            begin, at = at, at + 1
            follows = IMMEDIATES.get(opcode)
            if follows == NOTHING:
                continue
            if opcode == VECTOR:
                operation, at = read_unsigned(body, at)
                if operation > VECTOR_LAST:
                    raise Unsuitable
                if operation in VECTOR_ACCESS:
                    at = _past_access(body, at)
                    out += body[copied:begin] + self._under(V128 if operation in VECTOR_ABOVE else None)
                    copied = begin
                at += VECTOR_BYTES.get(operation, 0)
            elif follows is None:
                raise Unsuitable
            elif follows == ACCESS:
                at = _past_access(body, at)
                out += body[copied:begin] + self._under(STORES.get(opcode))
                copied = begin
            elif follows == FOUR_BYTES:
                at += 4
            elif follows == EIGHT_BYTES:
                at += 8
            elif follows == PREFIXED:
                operation, at = read_unsigned(body, at)
                if operation > max(PREFIXED_NUMBERS):
                    raise Unsuitable
                at = _past(body, at, PREFIXED_NUMBERS.get(operation, 0))
                out += body[copied:begin] + self._before_bulk(operation)
                copied = begin
            elif opcode == MEMORY_GROW:
                at = _past(body, at, 1)
                out += body[copied:begin] + self._before_grow() + body[begin:at] + EXTEND_SIGNED
                copied = at
            elif opcode == MEMORY_SIZE:
                at = _past(body, at, 1)
                out += body[copied:at] + EXTEND_UNSIGNED
                copied = at
            elif follows == BRANCHES:
                count, at = read_unsigned(body, at)
                at = _past(body, at, count + 1)
            elif follows == TYPES:
                count, at = read_unsigned(body, at)
                at += count
            else:
                at = _past(body, at, 1 if follows == FUNCTION_INDEX else follows)  # ONE, TWO
        return bytes(out + body[copied:])

    def _under(self, stored: int | None) -> bytes:
        """Cut the address, which lies under the value where one is stored."""
        if stored is None:
            return CUT
        local = self._local(stored)
        return SET + local + CUT + GET + local

    def _before_bulk(self, operation: int) -> bytes:
        """Cut addresses and lengths under and on top of the stack: destination, source or value, length."""
        if operation == MEMORY_COPY:
            length, source = self._local(I64), self._local(I64, 1)
            return SET + length + SET + source + CUT + GET + source + CUT + GET + length + CUT
        if operation == MEMORY_FILL:
            length, value = self._local(I64), self._local(I32)
            return SET + length + SET + value + CUT + GET + value + GET + length + CUT
        if operation == MEMORY_INIT:
            length, source = self._local(I32), self._local(I32, 1)
            return SET + length + SET + source + CUT + GET + source + GET + length
        return b""

    def _before_grow(self) -> bytes:
        """Pages to grow by: too many for 32 bits stay too many."""
        pages = self._local(I64)
        too_many = bytes((I32_CONST,)) + b"\x7f"  # -1, which no memory grows by
        fits = GET + pages + bytes((I64_CONST,)) + b"\x80\x80\x04" + b"\x58"  # 65536; i64.le_u
        return TEE + pages + CUT + too_many + fits + b"\x1b"  # select


def _past_access(body: bytes, at: int) -> int:
    """The position after an access's alignment and offset."""
    flags, at = read_unsigned(body, at)
    offset, at = read_unsigned(body, at)
    if flags & 0x40 or offset >= BYTES_MAX:  # another memory; beyond all memory
        raise Unsuitable
    return at


def _past(body: bytes, at: int, count: int) -> int:
    """The position after `count` numbers."""
    for _ in range(count):
        while body[at] >= 0x80:
            at += 1
        at += 1
    return at
