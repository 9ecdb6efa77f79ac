"""Choosing the next token from logits: a pure function that gives the same token on every machine.

Only additions, multiplications, divisions and roundings in double precision are used, one rounding each, because
those are exact by IEEE 754 everywhere; `exp` of a C library is not. Chance comes from a hash of seed and step, so a
step can be chosen again alone, in any order, by anybody who audits an answer.
"""

import hashlib
import struct
from dataclasses import dataclass

import numpy as np

from puna.errors import Invalid

TEMPERATURE_MAX = 100.0
# A token e^-40 times as likely as the best one is never chosen. It makes no difference that could be noticed
# (1 in 10^17), and spares the sorting of nearly the whole vocabulary.
EXPONENT_MIN = -40.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose. Temperature 0 takes the likeliest token, and the other fields then mean nothing.

    `top_k` keeps that many of the likeliest tokens (0: all); `top_p` keeps the likeliest that together have at
    least this share. `seed` is any 64-bit integer, signed or unsigned.
    """

    temperature: float = 0.0
    seed: int = 0
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= TEMPERATURE_MAX:
            raise Invalid(f"The temperature is {self.temperature}.", f"Give a number from 0 to {TEMPERATURE_MAX:g}.")
        if not 0 < self.top_p <= 1:
            raise Invalid(f"top_p is {self.top_p}.", "Give a number above 0 and up to 1.")
        if self.top_k < 0:
            raise Invalid(f"top_k is {self.top_k}.", "Give 0 (all tokens) or a positive number.")
        if not -(1 << 63) <= self.seed < 1 << 64:
            raise Invalid(f"The seed {self.seed} has more than 64 bits.", "Give a smaller one.")


GREEDY = Sampling()


def sample(logits: np.ndarray, sampling: Sampling, step: int) -> int:
    """The token chosen at `step` (counted from 0 over the generated tokens) from logits (vocab,) float32.

    Greedy choice is the lowest index of the maximum; sampled choice orders equal logits by index too.
    Raises Invalid when a logit is infinite or no number, which only broken weights bring about.
    """
    if not np.isfinite(logits).all():
        raise Invalid("The model's logits are not finite: its weights are broken.", "Download the model again.")
    if sampling.temperature == 0:
        return int(np.argmax(logits))
    order, weights = likeliest(logits, sampling)
    cumulative = np.cumsum(weights)  # adds in order; np.sum may add in another order on another machine
    target = chance(sampling.seed, step) * cumulative[-1]
    chosen = int(np.searchsorted(cumulative, target, side="right"))
    return int(order[min(chosen, len(order) - 1)])


def greedy(logits: np.ndarray) -> list[int | None]:
    """The greedy choice of each row of logits (n, vocab); None where `sample` would refuse the row."""
    tokens = logits.argmax(axis=1).tolist()
    finite = np.isfinite(logits)
    if finite.all():
        return tokens
    return [token if good else None for token, good in zip(tokens, finite.all(axis=1).tolist(), strict=True)]


def likeliest(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be chosen, likeliest first, and their weights (the best one has weight 1)."""
    exponents = logits.astype(np.float64)
    exponents -= exponents.max()
    with np.errstate(over="ignore"):
        exponents /= sampling.temperature
    candidates = np.flatnonzero(exponents >= EXPONENT_MIN)
    order = best_first(logits, candidates)
    if sampling.top_k:
        order = order[: sampling.top_k]
    weights = exponential(exponents[order])
    if sampling.top_p < 1:
        cumulative = np.cumsum(weights)
        kept = int(np.searchsorted(cumulative, sampling.top_p * cumulative[-1], side="left")) + 1
        order, weights = order[:kept], weights[:kept]
    return order, weights


def best_first(logits: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """`candidates` ordered by their logits float32, highest first, equal ones by index.

    A float's bits are made a whole number that orders the same way, with the index below it: such keys differ all,
    and sorting them plainly is several times as fast as a stable sort of floats.
    """
    bits = (logits[candidates] + np.float32(0)).view(np.uint32)  # + 0 makes -0 and 0 equal
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys = (~ascending).astype(np.uint64) << np.uint64(32) | candidates.astype(np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFF_FFFF)).astype(np.int64)


# ln 2 in two parts: the high one has trailing zeros, so that a small whole number times it is exact.
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
# 1/13!, 1/12!, ... 1/0!: past |r| = ln 2 / 2 the next term is below 1e-17.
TAYLOR = [1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0]
TAYLOR += [1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0]


def exponential(values: np.ndarray) -> np.ndarray:
    """e to the power of each of `values` float64 in [-700, 0], within 2e-16 of the truth and the same everywhere.

    Each line is one rounding per element: NumPy never fuses separate operations.
    """
    halvings = np.rint(values * INVERSE_LN2)
    rest = values - halvings * LN2_HIGH
    rest = rest - halvings * LN2_LOW
    result = np.full_like(rest, TAYLOR[0])
    for coefficient in TAYLOR[1:]:
        result = result * rest
        result = result + coefficient
    return np.ldexp(result, halvings.astype(np.int32))


def chance(seed: int, step: int) -> float:
    """A number in [0, 1) with 53 bits, fixed by seed and step: the top bits of SHA-256 over both (little-endian)."""
    digest = hashlib.sha256(struct.pack("<QQ", seed & 0xFFFF_FFFF_FFFF_FFFF, step)).digest()
    return (int.from_bytes(digest[:8], "little") >> 11) * 2.0**-53
