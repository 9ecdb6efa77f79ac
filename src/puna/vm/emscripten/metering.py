"""Gas for modules that do not count it themselves: a call before every straight piece of code, with its price.

Called by `module.py` for the `-metering` formats. A pure function from module to module. Prices and pieces are the
network's, so that a message costs the same everywhere. Source: protocol reference 5.7; the prices of locals are nil,
as the reference loader charges them.
"""

from collections.abc import Iterator

from puna.errors import Invalid

from .binary import (
    CODE,
    CUSTOM,
    ELEMENT,
    EXPORT,
    GLOBAL,
    IMPORT,
    MAGIC,
    START,
    TYPE,
    NotWasm,
    read_unsigned,
    sections,
    signed,
    unsigned,
)

MODULE, FIELD = b"metering", b"usegas"
METER_TYPES = {"i32": (0x7F, 0x41), "i64": (0x7E, 0x42)}  # value type, opcode of the constant
OVERHEAD = 1 + 90  # the constant and the call of the metering itself

# What follows an opcode.
NOTHING, ONE, TWO, MEMORY, BRANCHES, TYPES, FOUR_BYTES, EIGHT_BYTES, FUNCTION_INDEX, PREFIXED = range(10)


def _immediates() -> dict[int, int]:
    plain = (0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, 0xD1, *range(0x45, 0xC5))
    one = (0x02, 0x03, 0x04, 0x0C, 0x0D, *range(0x20, 0x27), 0x3F, 0x40, 0x41, 0x42, 0xD0)
    return {
        **dict.fromkeys(plain, NOTHING),
        **dict.fromkeys(one, ONE),
        **dict.fromkeys(range(0x28, 0x3F), MEMORY),
        0x0E: BRANCHES,
        0x10: FUNCTION_INDEX,
        0x11: TWO,
        0x1C: TYPES,
        0x43: FOUR_BYTES,
        0x44: EIGHT_BYTES,
        0xD2: FUNCTION_INDEX,
        0xFC: PREFIXED,
    }


IMMEDIATES = _immediates()
PREFIXED_NUMBERS = {8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1}  # by operation; others none
ENDS_PIECE = frozenset((0x40, 0x0B, 0x0C, 0x0E, 0x0D, 0x04, 0x05, 0x0F, 0x03))


def _prices() -> dict[int, int]:
    prices = dict.fromkeys((0x00, 0x01, 0x02, 0x03, 0x04, 0x41, 0x42, 0x43, 0x44), 1)
    prices |= dict.fromkeys((0x05, 0x0C, 0x0D, 0x0F, 0x10), 90)
    prices |= dict.fromkeys((0x0E, 0x1A, 0x1B, *range(0x20, 0x25), *range(0x28, 0x3F)), 120)
    prices |= {0x11: 10_000, 0x40: 10_000, 0x3F: 100}
    # Comparisons, counting bits, and arithmetic of both widths; of floats those that share a name with whole numbers'.
    prices |= dict.fromkeys((*range(0x45, 0x5B), 0x5B, 0x5C, 0x61, 0x62), 45)
    for first in (0x67, 0x79):  # i32, i64: clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl...
        prices |= dict.fromkeys((*range(first, first + 6), *range(first + 10, first + 13)), 45)
        prices |= dict.fromkeys(range(first + 6, first + 10), 36_000)
        prices |= dict.fromkeys(range(first + 13, first + 16), 67)
        prices |= dict.fromkeys((first + 16, first + 17), 90)
    for add in (0x92, 0xA0):  # f32, f64: add sub mul
        prices |= dict.fromkeys(range(add, add + 3), 45)
    return prices


PRICES = _prices()


def add_metering(wasm: bytes, meter: str) -> bytes:
    """The module with calls of `metering.usegas(meter type)`, imported after its other imports.

    Raises Invalid when it imports that already or holds instructions nobody has priced, NotWasm when it is damaged.
    """
    content = [(number, body) for number, body in sections(wasm) if number != CUSTOM]
    by_number = dict(content)
    if IMPORT not in by_number or TYPE not in by_number:
        raise Invalid("The module imports nothing, and so cannot be metered.")
    try:
        return _metered(content, by_number, METER_TYPES[meter])
    except IndexError:
        raise NotWasm("The module is not WebAssembly: a section ends too early.") from None


def _metered(content: list[tuple[int, bytes]], by_number: dict[int, bytes], meter: tuple[int, int]) -> bytes:
    value_type, constant = meter
    types, _ = read_unsigned(by_number[TYPE], 0)
    edit = _Edit(_count_imported_functions(by_number[IMPORT]), constant)
    added = {
        TYPE: lambda body: _append(body, b"\x60\1" + bytes((value_type,)) + b"\0"),
        IMPORT: lambda body: _append(
            body, unsigned(len(MODULE)) + MODULE + unsigned(len(FIELD)) + FIELD + b"\0" + unsigned(types)
        ),
        GLOBAL: edit.globals,
        EXPORT: edit.exports,
        START: edit.start,
        ELEMENT: edit.elements,
        CODE: edit.code,
    }
    out = bytearray(MAGIC)
    for number, body in content:
        body = added[number](body) if number in added else body
        out += bytes((number,)) + unsigned(len(body)) + body
    return bytes(out)


def _append(body: bytes, entry: bytes) -> bytes:
    count, at = read_unsigned(body, 0)
    return unsigned(count + 1) + body[at:] + entry


def _count_imported_functions(body: bytes) -> int:
    """Raises Invalid when the metering function is among them, or anything else but functions is imported."""
    count, at = read_unsigned(body, 0)
    for _ in range(count):
        module, at = _name(body, at)
        field, at = _name(body, at)
        if (module, field) == (MODULE, FIELD):
            raise Invalid("The module imports metering.usegas, which its format does not allow.")
        if body[at] != 0:
            name = b".".join((module, field)).decode("utf-8", "replace")
            raise Invalid(f"The module imports {name}, which nobody offers.")
        _, at = read_unsigned(body, at + 1)
    return count


def _name(body: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_unsigned(body, at)
    return body[at : at + size], at + size


class _Edit:
    """One module's changes: functions from `first` on move up by one, and code pays."""

    def __init__(self, first: int, constant: int):
        self._first = first
        self._constant = bytes((constant,))
        self._call = b"\x10" + unsigned(first)

    def _index(self, index: int) -> bytes:
        return unsigned(index + (index >= self._first))

    def exports(self, body: bytes) -> bytes:
        count, at = read_unsigned(body, 0)
        out = bytearray(unsigned(count))
        for _ in range(count):
            begin = at
            _, at = _name(body, at)
            kind, at = body[at], at + 1
            out += body[begin:at]
            index, at = read_unsigned(body, at)
            out += self._index(index) if kind == 0 else unsigned(index)
        return bytes(out)

    def start(self, body: bytes) -> bytes:
        return self._index(read_unsigned(body, 0)[0])

    def globals(self, body: bytes) -> bytes:
        count, at = read_unsigned(body, 0)
        out = bytearray(unsigned(count))
        for _ in range(count):
            out += body[at : at + 2]  # type and mutability
            expression, at = self._expression(body, at + 2)
            out += expression
        return bytes(out)

    def elements(self, body: bytes) -> bytes:
        count, at = read_unsigned(body, 0)
        out = bytearray(unsigned(count))
        for _ in range(count):
            flags, at = read_unsigned(body, at)
            out += unsigned(flags)
            if flags & 1 == 0:  # active: into a table, at an offset
                if flags & 2:
                    table, at = read_unsigned(body, at)
                    out += unsigned(table)
                offset, at = self._expression(body, at)
                out += offset
            if flags & 3:
                out += body[at : at + 1]  # kind, or type, of its entries
                at += 1
            size, at = read_unsigned(body, at)
            out += unsigned(size)
            for _ in range(size):
                if flags & 4:
                    entry, at = self._expression(body, at)
                else:
                    index, at = read_unsigned(body, at)
                    entry = self._index(index)
                out += entry
        return bytes(out)

    def _expression(self, body: bytes, at: int) -> tuple[bytes, int]:
        """A constant expression up to its `end`, with function indices moved."""
        out = bytearray()
        for opcode, instruction, after in self._instructions(body, at, len(body)):
            out += instruction
            if opcode == 0x0B:
                return bytes(out), after
        raise NotWasm("The module is not WebAssembly: an expression does not end.")

    def code(self, body: bytes) -> bytes:
        count, at = read_unsigned(body, 0)
        out = bytearray(unsigned(count))
        for _ in range(count):
            size, at = read_unsigned(body, at)
            function = self._function(body[at : at + size])
            out += unsigned(len(function)) + function
            at += size
        return bytes(out)

    def _function(self, body: bytes) -> bytes:
        groups, at = read_unsigned(body, 0)
        for _ in range(groups):
            _, at = read_unsigned(body, at)
            at += 1
        out, piece, cost = bytearray(body[:at]), bytearray(), 0
        for opcode, instruction, _ in self._instructions(body, at, len(body)):
            piece += instruction
            cost += PRICES.get(opcode, 0)
            if opcode in ENDS_PIECE:
                if cost:
                    out += self._constant + signed(cost + OVERHEAD) + self._call
                out += piece
                piece, cost = bytearray(), 0
        return bytes(out + piece)

    def _instructions(self, body: bytes, at: int, end: int) -> Iterator[tuple[int, bytes, int]]:
        """Each instruction: opcode, bytes with function indices moved, position after it."""
        while at < end:
            opcode = body[at]
            follows = IMMEDIATES.get(opcode)
            if follows is None:
                raise Invalid(f"The module holds the instruction 0x{opcode:02x}, which has no price.")
            begin, at = at, at + 1
            if follows == FUNCTION_INDEX:
                index, at = read_unsigned(body, at)
                yield opcode, bytes((opcode,)) + self._index(index), at
                continue
            if follows != NOTHING:
                at = _skip(body, at, follows)
            yield opcode, body[begin:at], at


def _skip(body: bytes, at: int, follows: int) -> int:
    """The position after an instruction's immediates."""
    if follows == FOUR_BYTES:
        return at + 4
    if follows == EIGHT_BYTES:
        return at + 8
    if follows == MEMORY:
        flags, at = read_unsigned(body, at)
        return _skip_numbers(body, at, 2 if flags & 0x40 else 1)
    if follows == BRANCHES:
        count, at = read_unsigned(body, at)
        return _skip_numbers(body, at, count + 1)
    if follows == TYPES:
        count, at = read_unsigned(body, at)
        return at + count
    if follows == PREFIXED:
        operation, at = read_unsigned(body, at)
        if operation > max(PREFIXED_NUMBERS):
            raise Invalid(f"The module holds the instruction 0xfc {operation}, which has no price.")
        return _skip_numbers(body, at, PREFIXED_NUMBERS.get(operation, 0))
    return _skip_numbers(body, at, follows)  # ONE, TWO


def _skip_numbers(body: bytes, at: int, count: int) -> int:
    for _ in range(count):
        while body[at] >= 0x80:
            at += 1
        at += 1
    return at
