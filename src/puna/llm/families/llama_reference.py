"""The llama forward pass in plain NumPy: the reference that every build of the kernel answers to, bit for bit.

Slow and short, to be read beside docs/canonical-arithmetic.md. The kernel's tests compare with it, and it is the
backend "numpy" of puna.llm.kernel, which checks all arguments.

Source: LLaMA (Touvron et al. 2023): RMS norm, rotary embedding over adjacent pairs, grouped-query attention, SwiGLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from puna.llm.families.llama import EMBEDDING, OUTPUT_NORM, LlamaConfig, layer_tensor, output_tensor
from puna.llm.gguf import Gguf, Tensor

BLOCK = 32
LANES = 8
VALUE_CHUNK = 64
F32 = np.float32
NAN = np.array(0x7FC00000, np.uint32).view(F32)  # the only NaN that ever leaves the model


# ---- the arithmetic ----


def tree8(lanes: np.ndarray) -> np.ndarray:
    """Add up eight lanes (..., 8) float32 in the one order there is -> (...)."""
    a, b, c, d, e, f, g, h = np.moveaxis(lanes, -1, 0)
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


def exp(x: np.ndarray) -> np.ndarray:
    """exp of float32 values, clamped to [-87, 88]; a NaN counts as -87."""
    x = np.where(x > F32(-87), x, F32(-87))
    x = np.where(x < F32(88), x, F32(88))
    shifted = x * F32(1.44269504) + F32(12582912)  # 1.5 * 2^23: the sum rounds to a whole number
    n = shifted - F32(12582912)
    r = x - n * F32(0.693359375)
    r = r - n * F32(-2.12194440e-4)
    p = np.full_like(r, F32(1.9875691500e-4))
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + F32(coefficient)
    y = (p * (r * r) + r) + F32(1)
    return y * ((n.astype(np.int32) + 127) << 23).view(F32)


def exp_double(x: np.ndarray) -> np.ndarray:
    """exp of float64 values by a Taylor series after reduction to |r| <= ln(2) / 2; |x| < 700."""
    n = np.rint(x * 1.4426950408889634)
    r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    term, total = np.ones_like(x), np.ones_like(x)
    for i in range(1, 20):
        term = term * r / float(i)
        total = total + term
    return total * ((n.astype(np.int64) + 1023) << 52).view(np.float64)


def log_double(x: float) -> float:
    """log of a positive normal float64: 2 atanh((m - 1) / (m + 1)) + e ln(2) of x = m 2^e."""
    bits = int(np.array(x, np.float64).view(np.uint64))
    exponent = (bits >> 52) - 1023
    m = float(np.array(bits & 0xFFFFFFFFFFFFF | 1023 << 52, np.uint64).view(np.float64))
    z = (m - 1.0) / (m + 1.0)
    z2, power, total = z * z, z, 0.0
    for i in range(1, 80, 2):
        total = total + power / float(i)
        power = power * z2
    return 2.0 * total + float(exponent) * 0.69314718055994530942


def sin_cos_double(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of float64 values, 0 <= x < 2^31, by Taylor series after reduction to |r| <= pi / 4."""
    n = np.rint(x * 0.63661977236758134308)
    r = (x - n * 1.57079632673412561417e00) - n * 6.07710050650619224932e-11
    r2, s, s_term, c, c_term = r * r, r, r, np.ones_like(x), np.ones_like(x)
    for i in range(1, 12):
        s_term = -s_term * r2 / float(2 * i * (2 * i + 1))
        s = s + s_term
        c_term = -c_term * r2 / float((2 * i - 1) * (2 * i))
        c = c + c_term
    quarter = n.astype(np.int64) & 3
    return np.choose(quarter, (s, c, -s, -c)), np.choose(quarter, (c, -s, -c, s))


def quantise(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations (..., n * 32) float32 -> whole numbers -127..127 (..., n, 32) int32 and scales (..., n) float32."""
    blocks = x.reshape(*x.shape[:-1], -1, BLOCK)
    amax = (blocks.view(np.uint32) & 0x7FFFFFFF).max(axis=-1).view(F32)
    tiny = amax < F32(2.0**-100)
    broken = ~np.isfinite(amax)
    usable = np.where(tiny | broken, F32(1), amax)
    inverse = F32(127) / usable
    shifted = blocks * inverse[..., None] + F32(12582912)
    q = shifted.view(np.int32) - 0x4B400000
    q = np.where((tiny | broken)[..., None], 0, q)
    scale = np.where(tiny, F32(0), np.where(broken, NAN, usable / F32(127)))
    return q, scale


# ---- matrices ----


@dataclass(frozen=True)
class QuantisedMatrix:
    """q (rows, blocks, 32) int8 and scale (rows, blocks) float32, from Q8_0 or Q4_0."""

    q: np.ndarray
    scale: np.ndarray

    def row(self, index: int) -> np.ndarray:
        return (self.q[index].astype(F32) * self.scale[index][:, None]).reshape(-1)

    def multiply(self, x: np.ndarray) -> np.ndarray:
        """x (n, cols) float32 -> (n, rows): x is quantised; each block's product goes to lane block % 8."""
        q, scale = quantise(x)
        lanes = np.zeros((len(x), len(self.q), LANES), F32)
        for block in range(self.q.shape[1]):
            # Whole numbers below 2^53 in float64: exact in any order.
            product = q[:, block].astype(np.float64) @ self.q[:, block].astype(np.float64).T
            factor = self.scale[None, :, block] * scale[:, block, None]
            lanes[:, :, block % LANES] += product.astype(F32) * factor
        return tree8(lanes)


@dataclass(frozen=True)
class FloatMatrix:
    """weights (rows, cols) float32, from F32 or F16."""

    weights: np.ndarray

    def row(self, index: int) -> np.ndarray:
        return self.weights[index].copy()

    def multiply(self, x: np.ndarray) -> np.ndarray:
        """x (n, cols) float32 -> (n, rows): float32 products, value i in lane i % 8."""
        lanes = np.zeros((len(x), len(self.weights), LANES), F32)
        for i in range(0, x.shape[1], LANES):
            lanes += self.weights[None, :, i : i + LANES] * x[:, None, i : i + LANES]
        return tree8(lanes)


def read_matrix(tensor: Tensor) -> QuantisedMatrix | FloatMatrix:
    rows = tensor.shape[0]
    if tensor.type == "F32":
        return FloatMatrix(tensor.data.view("<f4").reshape(tensor.shape))
    if tensor.type == "F16":
        return FloatMatrix(tensor.data.view("<f2").astype(F32).reshape(tensor.shape))
    blocks = tensor.data.reshape(rows, -1, {"Q8_0": 34, "Q4_0": 18}[tensor.type])
    scale = np.ascontiguousarray(blocks[..., :2]).view("<f2")[..., 0].astype(F32)
    if tensor.type == "Q8_0":
        return QuantisedMatrix(np.ascontiguousarray(blocks[..., 2:]).view(np.int8), scale)
    nibbles = np.concatenate([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], axis=-1)
    return QuantisedMatrix(nibbles.astype(np.int8) - np.int8(8), scale)


# ---- the model ----


@dataclass(frozen=True)
class Layer:
    attn_norm: np.ndarray
    attn_q: QuantisedMatrix | FloatMatrix
    attn_k: QuantisedMatrix | FloatMatrix
    attn_v: QuantisedMatrix | FloatMatrix
    attn_output: QuantisedMatrix | FloatMatrix
    ffn_norm: np.ndarray
    ffn_gate: QuantisedMatrix | FloatMatrix
    ffn_up: QuantisedMatrix | FloatMatrix
    ffn_down: QuantisedMatrix | FloatMatrix


class ReferenceCache:
    """Keys and values (layers, kv_heads, positions, head_dim) float32 of one sequence."""

    def __init__(self, config: LlamaConfig, positions_max: int):
        shape = (config.layers, config.kv_heads, positions_max, config.head_dim)
        self.keys, self.values = np.zeros(shape, F32), np.zeros(shape, F32)


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """x (n, dim) float32, normed to mean square 1, times weight (dim)."""
    squares = x * x
    lanes = np.zeros((len(x), LANES), F32)
    for i in range(0, x.shape[1], LANES):
        lanes += squares[:, i : i + LANES]
    scale = F32(1) / np.sqrt(tree8(lanes) / F32(x.shape[1]) + F32(eps))
    return (x * scale[:, None]) * weight


def rotate(x: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Rotary embedding: x (n, heads, head_dim), each adjacent pair turned by its angle (n, head_dim / 2)."""
    even, odd, cosine, sine = x[..., 0::2], x[..., 1::2], cosine[:, None, :], sine[:, None, :]
    return np.stack([even * cosine - odd * sine, even * sine + odd * cosine], axis=-1).reshape(x.shape)


def attend(q: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One row's attention: q (heads, head_dim), keys and values (kv_heads, length, head_dim) -> like q."""
    heads, head_dim = q.shape
    kv_heads, length, _ = keys.shape
    q = q.reshape(kv_heads, heads // kv_heads, head_dim)
    scores = np.zeros((kv_heads, heads // kv_heads, length), F32)
    for d in range(head_dim):
        scores += q[:, :, d, None] * keys[:, None, :, d]
    scores *= F32(1) / np.sqrt(F32(head_dim))
    weights = exp(scores - np.fmax.reduce(scores, axis=-1, initial=F32(-np.inf), keepdims=True))
    lanes, total = np.zeros((*scores.shape[:2], LANES), F32), np.zeros_like(q)
    for position in range(length):
        lanes[..., position % LANES] += weights[..., position]
    for start in range(0, length, VALUE_CHUNK):
        part = np.zeros_like(q)
        for position in range(start, min(start + VALUE_CHUNK, length)):
            part += weights[..., position, None] * values[:, None, position]
        total += part
    return (total / tree8(lanes)[..., None]).reshape(heads, head_dim)


class ReferenceModel:
    """A backend of puna.llm.kernel, which see for shapes and checks. One `forward` is the whole story."""

    def __init__(self, config: LlamaConfig, gguf: Gguf):
        self.config = config
        self.embedding = read_matrix(gguf.tensors[EMBEDDING])
        self.layers = [self._read_layer(gguf, layer) for layer in range(config.layers)]
        self.output_norm = gguf.tensors[OUTPUT_NORM].data.view("<f4")
        self.output = read_matrix(output_tensor(gguf))
        pairs = np.arange(config.head_dim // 2, dtype=np.float64)
        self.frequency = exp_double(-log_double(config.rope_base) * (2.0 * pairs) / float(config.head_dim))

    def _read_layer(self, gguf: Gguf, layer: int) -> Layer:
        def read(name: str) -> np.ndarray | QuantisedMatrix | FloatMatrix:
            tensor = gguf.tensors[layer_tensor(layer, name)]
            return tensor.data.view("<f4") if len(tensor.shape) == 1 else read_matrix(tensor)

        return Layer(**{name: read(name) for name in Layer.__dataclass_fields__})

    def new_cache(self, positions_max: int) -> ReferenceCache:
        return ReferenceCache(self.config, positions_max)

    def free_cache(self, cache: ReferenceCache) -> None:
        pass

    def close(self) -> None:
        pass

    def forward(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        caches: Sequence[ReferenceCache],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> np.ndarray:
        # A broken model (infinite weights) may overflow on the way; its logits are NaN and no warning is due.
        with np.errstate(all="ignore"):
            rows = [(caches[index], position) for index, position in zip(cache_index, positions, strict=True)]
            return self._forward(tokens, rows, logits_rows)

    def _forward(
        self, tokens: np.ndarray, rows: list[tuple[ReferenceCache, int]], logits_rows: np.ndarray
    ) -> np.ndarray:
        config = self.config
        hidden = np.stack([self.embedding.row(token) for token in tokens])
        positions = np.array([position for _, position in rows], np.float64)
        sine, cosine = sin_cos_double(positions[:, None] * self.frequency[None, :])
        sine, cosine = sine.astype(F32), cosine.astype(F32)
        for index, layer in enumerate(self.layers):
            x = rms_norm(hidden, layer.attn_norm, config.norm_eps)
            q = rotate(layer.attn_q.multiply(x).reshape(len(x), config.heads, -1), cosine, sine)
            k = rotate(layer.attn_k.multiply(x).reshape(len(x), config.kv_heads, -1), cosine, sine)
            v = layer.attn_v.multiply(x).reshape(len(x), config.kv_heads, -1)
            for row, (cache, position) in enumerate(rows):
                cache.keys[index, :, position], cache.values[index, :, position] = k[row], v[row]
            attended = [
                attend(q[row], cache.keys[index, :, : position + 1], cache.values[index, :, : position + 1])
                for row, (cache, position) in enumerate(rows)
            ]
            hidden = hidden + layer.attn_output.multiply(np.stack(attended).reshape(len(x), -1))

            x = rms_norm(hidden, layer.ffn_norm, config.norm_eps)
            gate, up = layer.ffn_gate.multiply(x), layer.ffn_up.multiply(x)
            hidden = hidden + layer.ffn_down.multiply((gate / (F32(1) + exp(-gate))) * up)
        if not len(logits_rows):
            return np.empty((0, config.vocab), F32)
        logits = self.output.multiply(rms_norm(hidden[logits_rows], self.output_norm, config.norm_eps))
        return np.where(np.isnan(logits), NAN, logits)
