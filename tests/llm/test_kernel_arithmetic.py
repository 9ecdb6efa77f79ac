"""Laws of the canonical arithmetic's parts, on every backend, and what happens at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from llm.kernel_models import EQUAL, GROUPED, SmallModel, path_of

from puna.errors import Invalid
from puna.llm import kernel
from puna.llm.families import llama_reference as reference
from puna.llm.families import read_config
from puna.llm.gguf import open_gguf
from puna.llm.kernel import native
from puna.llm.kernel.wasm import Instance

any_float = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)


class NativeParts:
    """The puna_test_* functions of a native build."""

    def __init__(self, variant: str):
        self.library = native.library(variant)

    def exp(self, x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        self.library.puna_test_exp(x.ctypes.data, out.ctypes.data, len(x))
        return out

    def half(self, x: np.ndarray) -> np.ndarray:
        out = np.empty(len(x), np.float32)
        self.library.puna_test_half(x.ctypes.data, out.ctypes.data, len(x))
        return out

    def quantise(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        q, scale = np.empty(len(x), np.int8), np.empty(len(x) // 32, np.float32)
        self.library.puna_test_quantise(x.ctypes.data, q.ctypes.data, scale.ctypes.data, len(scale))
        return q, scale

    def sin_cos(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sine, cosine = np.empty_like(x), np.empty_like(x)
        self.library.puna_test_sin_cos(x.ctypes.data, sine.ctypes.data, cosine.ctypes.data, len(x))
        return sine, cosine


class WasmParts:
    """The same of the WebAssembly module."""

    def __init__(self) -> None:
        self.instance = Instance()

    def _call(self, name: str, x: np.ndarray, count: int, outs: list[np.ndarray]) -> None:
        addresses = [self.instance.put("test", each) for each in (x, *outs)]
        self.instance.call(name, *addresses, count)
        for out, address in zip(outs, addresses[1:], strict=True):
            self.instance.read(address, out)
        for address in addresses:
            self.instance.free(address)

    def exp(self, x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        self._call("puna_test_exp", x, len(x), [out])
        return out

    def half(self, x: np.ndarray) -> np.ndarray:
        out = np.empty(len(x), np.float32)
        self._call("puna_test_half", x, len(x), [out])
        return out

    def quantise(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        q, scale = np.empty(len(x), np.int8), np.empty(len(x) // 32, np.float32)
        self._call("puna_test_quantise", x, len(scale), [q, scale])
        return q, scale

    def sin_cos(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sine, cosine = np.empty_like(x), np.empty_like(x)
        self._call("puna_test_sin_cos", x, len(x), [sine, cosine])
        return sine, cosine


PARTS = {name: NativeParts(name) for name in native.available()} | {"wasm": WasmParts()}


def same_bits(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Equal in every bit, any NaN equal to any other (only their place is part of the arithmetic)."""
    both_nan = np.isnan(found) & np.isnan(wanted)
    return bool(
        np.all(
            (found.view(np.uint8).reshape(len(found), -1) == wanted.view(np.uint8).reshape(len(wanted), -1)).all(axis=1)
            | both_nan
        )
    )


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_every_half_precision_number_converts_like_ieee(parts):
    halves = np.arange(1 << 16).astype(np.uint16)
    assert same_bits(parts.half(halves), halves.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@given(values=arrays(np.float32, 64, elements=any_float))
@settings(max_examples=60, deadline=None)
def test_exp_agrees_with_the_reference(parts, values):
    with np.errstate(all="ignore"):
        assert same_bits(parts.exp(values), reference.exp(values))


def test_exp_is_close_to_the_true_one():
    x = np.linspace(-87, 88, 20_000, dtype=np.float32)
    error = np.abs(reference.exp(x).astype(np.float64) / np.exp(x.astype(np.float64)) - 1)
    assert error.max() < 2 * 2.0**-23


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@given(
    values=arrays(np.float32, 96, elements=any_float | st.floats(-4, 4, width=32)),
    scale=st.sampled_from([1.0, 1e-38, 1e-30, 1e30]),
)
@settings(max_examples=60, deadline=None)
def test_quantising_agrees_with_the_reference(parts, values, scale):
    with np.errstate(all="ignore"):
        values = (values * np.float32(scale)).astype(np.float32)
        wanted_q, wanted_scale = reference.quantise(values)
    q, found_scale = parts.quantise(values)
    assert np.array_equal(q, wanted_q.reshape(-1)) and same_bits(found_scale, wanted_scale)


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_the_borders_of_quantising_are_where_the_reference_has_them(parts):
    borders = np.array([2.0**-100, np.inf, 3.4e38, 1e-45, 0.0], np.float32)
    borders = np.concatenate([borders, np.nextafter(borders, np.float32(0)), np.nextafter(borders, np.float32(np.inf))])
    blocks = np.outer(borders, np.linspace(-1, 1, 32)).astype(np.float32)
    with np.errstate(all="ignore"):
        wanted_q, wanted_scale = reference.quantise(blocks.reshape(-1))
    q, scale = parts.quantise(blocks.reshape(-1))
    assert np.array_equal(q, wanted_q.reshape(-1)) and same_bits(scale, wanted_scale)


@given(values=arrays(np.float32, 32, elements=st.floats(-1e4, 1e4, width=32)))
@settings(max_examples=100, deadline=None)
def test_a_quantised_block_is_within_half_a_step_of_the_values(values):
    q, scale = reference.quantise(values)
    assert np.all(np.abs(q[0] * np.float64(scale[0]) - values) <= np.float64(scale[0]) * 0.5001 + 1e-30)


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@given(values=arrays(np.float64, 16, elements=st.floats(0, 2.0**31)))
@settings(max_examples=40, deadline=None)
def test_sine_and_cosine_agree_with_the_reference_and_the_true_ones(parts, values):
    found, wanted = parts.sin_cos(values), reference.sin_cos_double(values)
    assert same_bits(found[0], wanted[0]) and same_bits(found[1], wanted[1])
    assert np.allclose(found[0], np.sin(values), atol=1e-6) and np.allclose(found[1], np.cos(values), atol=1e-6)


def test_the_rotary_frequencies_are_close_to_the_true_ones():
    for base in (10000.0, 500000.0, 1e6):
        found = reference.exp_double(np.array([-reference.log_double(base) * 0.37]))[0]
        assert math.isclose(found, base**-0.37, rel_tol=1e-14)


# ---- edges: a file may hold any bytes ----


def logits_everywhere(path) -> dict[str, np.ndarray]:
    """All logits of 12 tokens by backend, once in one batch and once row by row (the two ways of multiplying)."""
    gguf = open_gguf(path)
    config, found = read_config(gguf), {}
    tokens, rows = np.arange(12) + 3, np.arange(12)
    for backend in kernel.available():
        model = kernel.open_model(path, config, backend=backend)
        found[backend] = model.forward(tokens, rows, [model.new_cache(12)], np.zeros(12, int), rows)
        cache = model.new_cache(12)
        singly = [model.forward(tokens[[i]], rows[[i]], [cache], [0], [0]) for i in range(12)]
        found[backend + " row by row"] = np.concatenate(singly)
        model.close()
    return found


def altered(tmp_path, model: SmallModel, alter) -> object:
    """A copy of a small model with `alter(name, bytes view of the tensor)` applied to each tensor."""
    gguf = open_gguf(path_of(model))
    content = np.fromfile(path_of(model), np.uint8)
    for name, tensor in gguf.tensors.items():
        alter(name, content[tensor.offset : tensor.offset + tensor.nbytes])
    path = tmp_path / "altered.gguf"
    path.write_bytes(content.tobytes())
    return path


def assert_all_equal(found: dict[str, np.ndarray]) -> np.ndarray:
    wanted = found["numpy"]
    for name, logits in found.items():
        assert np.array_equal(logits.view(np.uint32), wanted.view(np.uint32)), name
    return wanted


def test_the_smallest_weight_minus_128_works_in_every_build(tmp_path):
    def alter(name, data):
        if "ffn" in name and "norm" not in name:
            data.reshape(-1, 34)[:, 2:] = np.where(np.arange(32) % 3, 0x80, 0x7F)

    # 9 and 11 blocks: whole vectors of 8 and a rest.
    logits = assert_all_equal(logits_everywhere(altered(tmp_path, SmallModel(EQUAL, "q8_0"), alter)))
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("half", [0x7C00, 0xFC00, 0x7E00, 0xFFFF], ids=["inf", "-inf", "nan", "-nan"])
@pytest.mark.parametrize("matrices", ["q8_0", "q4_0", "f16"])
def test_a_scale_that_is_no_number_gives_the_same_nans_everywhere_and_is_found_by_validate(tmp_path, matrices, half):
    def alter(name, data):
        if name == "blk.0.ffn_up.weight":
            data[:2] = np.frombuffer(np.uint16(half).tobytes(), np.uint8)

    model = SmallModel(EQUAL, matrices)
    path = altered(tmp_path, model, alter)
    logits = assert_all_equal(logits_everywhere(path))
    assert np.isnan(logits).all() and set(logits.view(np.uint32).ravel()) == {0x7FC00000}
    with pytest.raises(Invalid, match="blk.0.ffn_up.weight"):
        kernel.validate(open_gguf(path))
    kernel.validate(open_gguf(path_of(model)))


@pytest.mark.parametrize("size", [3e38, 1e-40, 0.0], ids=["overflow", "subnormal", "zero"])
def test_norms_of_any_size_give_the_same_bits_everywhere(tmp_path, size):
    def alter(name, data):
        if name in ("blk.0.ffn_norm.weight", "blk.1.attn_norm.weight"):
            data.view(np.float32)[:] = size

    assert_all_equal(logits_everywhere(altered(tmp_path, SmallModel(GROUPED, "q8_0"), alter)))
    assert_all_equal(logits_everywhere(altered(tmp_path, SmallModel(GROUPED, "f32"), alter)))


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=6, deadline=None)
def test_weights_of_random_bytes_give_the_same_bits_everywhere(tmp_path_factory, seed):
    random = np.random.default_rng(seed)

    def alter(name, data):
        if "norm" not in name:
            data[:] = random.integers(0, 256, len(data), dtype=np.uint8)

    for shape, matrices in ((EQUAL, "q8_0"), (EQUAL, "q4_0"), (GROUPED, "f32")):
        folder = tmp_path_factory.mktemp("random")
        assert_all_equal(logits_everywhere(altered(folder, SmallModel(shape, matrices), alter)))
