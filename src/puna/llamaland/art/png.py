"""Writes pictures of few colours as PNG, byte for byte the same on every machine.

The deflate stream is made here, because implementations of zlib differ in their choices: greedy matches, one block,
the fixed Huffman code. Called by the drawing of the land's pictures only.
"""

import struct
import zlib

import numpy as np

MATCH_MIN, MATCH_MAX, WINDOW = 3, 258, 32768
# (first value, extra bits) of each code. Source: RFC 1951, 3.2.5.
_LENGTHS = [(3 + i, 0) for i in range(8)]
_LENGTHS += [(first + (i << bits), bits) for bits, first in ((1, 11), (2, 19), (3, 35), (4, 67), (5, 131))
             for i in range(4)] + [(258, 0)]  # fmt: skip
_DISTANCES = [(1 + i, 0) for i in range(4)]
_DISTANCES += [((2 + i << bits) + 1, bits) for bits in range(1, 14) for i in range(2)]


def write_png(pixels: np.ndarray, palette: list[tuple[int, int, int, int]]) -> bytes:
    """A PNG of `pixels` (height, width) uint8, indices into `palette` of red, green, blue, alpha."""
    height, width = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.astype(np.uint8)], axis=1).tobytes()
    packed = b"\x78\x01" + _deflate(rows) + struct.pack(">I", zlib.adler32(rows))
    colours = b"".join(bytes(colour[:3]) for colour in palette)
    alphas = bytes(colour[3] for colour in palette)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"tRNS", alphas), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


class _Bits:
    """Bits packed from the least significant end, as deflate wants them."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self._held = self._count = 0

    def put(self, value: int, count: int) -> None:
        self._held |= value << self._count
        self._count += count
        while self._count >= 8:
            self.bytes.append(self._held & 255)
            self._held >>= 8
            self._count -= 8

    def code(self, value: int, count: int) -> None:
        """A Huffman code: its first bit is the most significant one."""
        self.put(int(f"{value:0{count}b}"[::-1], 2), count)

    def symbol(self, symbol: int) -> None:
        """A literal or length symbol in the fixed code."""
        if symbol < 144:
            self.code(48 + symbol, 8)
        elif symbol < 256:
            self.code(400 + symbol - 144, 9)
        elif symbol < 280:
            self.code(symbol - 256, 7)
        else:
            self.code(192 + symbol - 280, 8)


def _code_of(table: list[tuple[int, int]], value: int) -> int:
    return max(index for index, (first, _) in enumerate(table) if first <= value)


_LENGTH_CODE = [0, 0, 0] + [_code_of(_LENGTHS, length) for length in range(3, MATCH_MAX + 1)]


def _deflate(data: bytes) -> bytes:
    bits = _Bits()
    bits.put(0b011, 3)  # the last block, fixed code
    seen: dict[bytes, int] = {}
    at = 0
    while at < len(data):
        key = data[at : at + MATCH_MIN]
        before = seen.get(key)
        length = 0
        if before is not None and at - before <= WINDOW and len(key) == MATCH_MIN:
            most = min(MATCH_MAX, len(data) - at)
            while length < most and data[before + length] == data[at + length]:
                length += 1
        if length < MATCH_MIN:
            bits.symbol(data[at])
            length = 1
        else:
            code = _LENGTH_CODE[length]
            bits.symbol(257 + code)
            bits.put(length - _LENGTHS[code][0], _LENGTHS[code][1])
            code = _code_of(_DISTANCES, at - before)
            bits.code(code, 5)
            bits.put(at - before - _DISTANCES[code][0], _DISTANCES[code][1])
        for passed in range(at, at + length):
            seen[data[passed : passed + MATCH_MIN]] = passed
        at += length
    bits.symbol(256)
    bits.put(0, 7)
    return bytes(bits.bytes)
