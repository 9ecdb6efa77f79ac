"""The inference kernel: logits of a llama model in canonical arithmetic, the same bits on every backend.

The engine calls `open_model`, gives each sequence a cache and runs `forward` on batches of rows. Backends are native
builds of the C sources beside this file (chosen by what the processor can do), the same sources as WebAssembly, and
the plain NumPy reference. They agree in every bit of every logit; docs/canonical-arithmetic.md says what they compute.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from puna.errors import Invalid, NotYet
from puna.llm.families.llama import (
    EMBEDDING,
    LAYER_TENSORS,
    OUTPUT_NORM,
    LlamaConfig,
    layer_tensor,
    output_tensor,
)
from puna.llm.gguf import Gguf, Tensor, open_gguf

ARITHMETIC = "canonical-1"
ROWS_MAX = 256  # rows computed together; a longer batch is split, which no logit notices
THREADS_MAX = 256
# A model whose weights fit here keeps them once more, interleaved for the products of any number of rows: it lies in
# the processor's cache, so arithmetic is what costs. A larger one is bound by reading memory, and would take twice.
PANELS_BYTES_MAX = 32 << 20
MEMORY_REFUSED = "The system refuses memory for the"
FREE_MEMORY = "Close other models or sequences, or use a shorter context."


class Backend(Protocol):
    """One model, loaded one way. Arguments have been checked; calls come one at a time."""

    def new_cache(self, positions_max: int) -> object: ...
    def free_cache(self, cache: object) -> None: ...
    def forward(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        caches: Sequence[object],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> np.ndarray: ...
    def close(self) -> None: ...


def available() -> list[str]:
    """Names of the backends usable on this machine, fastest first."""
    from puna.llm.kernel import native, wasm

    return [*native.available(), *wasm.available(), "numpy"]


def open_model(
    gguf_path: Path | str,
    config: LlamaConfig,
    *,
    backend: str | None = None,
    threads: int = 1,
    panels_bytes_max: int = PANELS_BYTES_MAX,
) -> KernelModel:
    """Load the model at `gguf_path`, whose config the family read, on `backend` (default: the fastest).

    Native backends compute on the mapped file and hold no copy of the weights, except those of a small model in
    another order (`panels_bytes_max`); "wasm" copies them into its linear memory (at most 4 GiB) and "numpy" unpacks
    them to float. `threads` matters to native backends only. Raises Invalid for an unknown backend or thread count,
    NotYet when the system refuses memory.
    """
    if not 1 <= threads <= THREADS_MAX:
        raise Invalid(f"{threads} threads were asked for.", f"Choose 1 to {THREADS_MAX}.")
    usable = available()
    name = backend or usable[0]
    if name not in usable:
        raise Invalid(f"The backend '{name}' is not usable here.", f"Choose one of: {', '.join(usable)}.")
    return KernelModel(config, name, _load(name, open_gguf(gguf_path), config, threads, panels_bytes_max))


def _load(name: str, gguf: Gguf, config: LlamaConfig, threads: int, panels_bytes_max: int) -> Backend:
    if name == "numpy":
        from puna.llm.families.llama_reference import ReferenceModel

        return ReferenceModel(config, gguf)
    if name == "wasm":
        from puna.llm.kernel.wasm import WasmModel

        return WasmModel(config, model_tensors(gguf, config), panels_bytes_max)
    from puna.llm.kernel.native import NativeModel

    return NativeModel(name, config, model_tensors(gguf, config), threads, panels_bytes_max)


def model_tensors(gguf: Gguf, config: LlamaConfig) -> list[Tensor]:
    """The model's tensors in the order the C side expects them (puna_kernel.h, PunaSpec)."""
    names = [EMBEDDING]
    names += [layer_tensor(layer, name) for layer in range(config.layers) for name in LAYER_TENSORS]
    return [*(gguf.tensors[name] for name in [*names, OUTPUT_NORM]), output_tensor(gguf)]


def validate(gguf: Gguf) -> None:
    """Read all weights once and raise Invalid when a scale or a float weight is infinite or not a number.

    The kernel computes the same bits from such a file everywhere, but its logits are NaN. For when a model is
    added; costs one reading of the file.
    """
    for tensor in gguf.tensors.values():
        if not all(_finite(tensor, part) for part in _parts(tensor)):
            raise Invalid(
                f"{gguf.path.name}: the tensor {tensor.name} holds infinite weights or weights that are no numbers.",
                "Download the file again, or take another quantisation of the model.",
            )


_BLOCK_BYTES = {"Q8_0": 34, "Q4_0": 18, "F16": 2, "F32": 4}


def _parts(tensor: Tensor) -> list[np.ndarray]:
    step = _BLOCK_BYTES[tensor.type] * (1 << 20)
    return [tensor.data[start : start + step] for start in range(0, tensor.nbytes, step)]


def _finite(tensor: Tensor, part: np.ndarray) -> bool:
    if tensor.type == "F32":
        bits = part.view("<u4")
        return not np.any((bits & 0x7F800000) == 0x7F800000)
    halves = np.ascontiguousarray(part.reshape(-1, _BLOCK_BYTES[tensor.type])[:, :2]).view("<u2")
    return not np.any((halves & 0x7C00) == 0x7C00)


class Cache:
    """The keys and values of one sequence. `length` positions are filled; the next row must be at `length`."""

    def __init__(self, model: KernelModel, positions_max: int, handle: object):
        self.model = model
        self.positions_max = positions_max
        self.length = 0
        self._handle = handle

    def truncate(self, length: int) -> None:
        """Forget the positions from `length` on, so that another continuation can be computed from there."""
        if not 0 <= length <= self.length:
            raise Invalid(f"A sequence of {self.length} positions cannot be cut to {length}.")
        self.length = length

    def close(self) -> None:
        """Give the memory back; the cache cannot be used any more."""
        with self.model._lock:
            handle, self._handle = self._handle, None
            if handle is not None and not self.model._closed:
                self.model._backend.free_cache(handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


class KernelModel:
    """A loaded model. `forward` may be called from any thread; calls wait for one another."""

    arithmetic = ARITHMETIC

    def __init__(self, config: LlamaConfig, backend: str, loaded: Backend):
        self.config = config
        self.backend = backend
        self._backend = loaded
        # Re-entrant: a cache collected while its model computes is closed in that same thread.
        self._lock = threading.RLock()
        self._closed = False

    def new_cache(self, positions_max: int) -> Cache:
        """A cache for one sequence of up to `positions_max` positions (at most the model's context).

        Memory is taken as positions are filled (natively). Raises Invalid beyond the context, NotYet when the
        system refuses memory.
        """
        if not 1 <= positions_max <= self.config.context:
            raise Invalid(
                f"A cache of {positions_max} positions was asked for; the model's context is {self.config.context}.",
                f"Choose 1 to {self.config.context}.",
            )
        with self._lock:
            self._check_open()
            return Cache(self, positions_max, self._backend.new_cache(positions_max))

    def forward(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        caches: Sequence[Cache],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> np.ndarray:
        """Run rows through the model and return the logits after some of them.

        tokens, positions, cache_index (n,) int32: row i is tokens[i] at positions[i] of the sequence
        caches[cache_index[i]]. The rows of one sequence continue it without a hole: their positions are
        caches[j].length and up, in order; rows of several sequences may be mixed. logits_rows (m,) int32 names rows;
        the result is (m, vocab) float32. A row's logits depend on nothing but its sequence up to it.
        Raises Invalid when anything does not fit; then no cache has changed.
        """
        tokens, positions, cache_index, logits_rows = (
            _vector(name, value)
            for name, value in (
                ("tokens", tokens),
                ("positions", positions),
                ("cache_index", cache_index),
                ("logits_rows", logits_rows),
            )
        )
        with self._lock:
            self._check_open()
            lengths = self._check_rows(tokens, positions, caches, cache_index, logits_rows)
            handles = [cache._handle for cache in caches]
            logits = self._forward_parts(tokens, positions, handles, cache_index, logits_rows)
            for cache, length in zip(caches, lengths, strict=True):
                cache.length = length
            return logits

    def close(self) -> None:
        """Give all memory back, that of the caches too."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._backend.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Invalid("The model is closed.", "Open it again.")

    def _check_rows(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        caches: Sequence[Cache],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> list[int]:
        """The length of each cache after these rows; Invalid when the batch does not fit together."""
        count = len(tokens)
        if len(positions) != count or len(cache_index) != count:
            raise Invalid("tokens, positions and cache_index differ in length.")
        indices = cache_index.tolist()
        _check_range("token", tokens.tolist(), self.config.vocab)
        _check_range("cache index", indices, len(caches))
        _check_range("logits row", logits_rows.tolist(), count)
        if len({id(cache) for cache in caches}) != len(caches):
            raise Invalid("The same cache is there twice.", "Name it twice in cache_index instead.")
        for cache in caches:
            if cache.model is not self or cache._handle is None:
                raise Invalid("A cache is closed or belongs to another model.")
        lengths = [cache.length for cache in caches]
        for index, position in zip(indices, positions.tolist(), strict=True):
            if position != lengths[index]:
                mine = positions[cache_index == index]
                raise Invalid(
                    f"Rows at positions {mine[:8].tolist()} do not continue a sequence of {caches[index].length} "
                    "positions.",
                    "Give rows in ascending order from there, or truncate the cache first.",
                )
            lengths[index] += 1
        for cache, length in zip(caches, lengths, strict=True):
            if length > cache.positions_max:
                raise Invalid(
                    f"The sequence would be {length} positions long; its cache holds {cache.positions_max}.",
                    "Use a longer cache or a shorter text.",
                )
        return lengths

    def _forward_parts(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        handles: Sequence[object],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> np.ndarray:
        """The batch in parts of ROWS_MAX rows and as many logits; each part's logits go to their places."""
        if 0 < len(tokens) <= ROWS_MAX and ascends(logits_rows.tolist()):
            return self._backend.forward(tokens, positions, handles, cache_index, logits_rows)
        logits = np.empty((len(logits_rows), self.config.vocab), np.float32)
        for start in range(0, len(tokens), ROWS_MAX):
            part = slice(start, start + ROWS_MAX)
            wanted = np.flatnonzero((logits_rows >= start) & (logits_rows < start + ROWS_MAX))
            rows, place = np.unique(logits_rows[wanted], return_inverse=True)
            computed = self._backend.forward(
                tokens[part], positions[part], handles, cache_index[part], (rows - start).astype(np.int32)
            )
            logits[wanted] = computed[place]
        return logits


def _vector(name: str, value: np.ndarray) -> np.ndarray:
    vector = np.asarray(value)
    if vector.ndim == 1 and vector.dtype == np.int32 and vector.flags.c_contiguous:
        return vector
    if vector.ndim != 1 or (vector.size and vector.dtype.kind not in "iu"):
        raise Invalid(f"{name} must be a vector of whole numbers.")
    if vector.size and (vector.min() < -(1 << 31) or vector.max() >= 1 << 31):
        raise Invalid(f"{name} holds a number outside 32 bits.")
    return np.ascontiguousarray(vector, np.int32)


def _check_range(what: str, values: list[int], end: int) -> None:
    if values and not (0 <= min(values) and max(values) < end):
        wrong = next(value for value in values if not 0 <= value < end)
        raise Invalid(f"The {what} {wrong} is outside 0..{end - 1}.")


def ascends(numbers: list[int]) -> bool:
    return all(each < after for each, after in pairwise(numbers))


def memory_refused(what: str) -> NotYet:
    return NotYet(f"{MEMORY_REFUSED} {what}.", FREE_MEMORY)
