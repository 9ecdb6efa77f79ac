"""The native backends: shared libraries built from the C sources here, called by ctypes (which drops the GIL)."""

import ctypes as c
import functools
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from puna.llm.families.llama import LlamaConfig
from puna.llm.gguf import Tensor
from puna.llm.kernel import ROWS_MAX, memory_refused
from puna.llm.kernel.spec import pack_spec

BUILT = Path(__file__).resolve().parent / "_built"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
# Fastest first: name of the build, the bit of puna_cpu_features it needs (0: none).
VARIANTS = {
    "x86_64": (("avx512", 2), ("avx2", 1), ("scalar", 0)),
    "aarch64": (("dotprod", 4), ("neon", 0), ("scalar", 0)),
}


def library_path(variant: str) -> Path:
    return BUILT / f"puna-kernel-{variant}{SUFFIX}"


@functools.cache
def available() -> tuple[str, ...]:
    """The builds that are there and that this processor can run, fastest first."""
    machine = platform.machine().lower()
    variants = VARIANTS.get({"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine), ())
    if not variants or not library_path("scalar").exists():
        return ()
    features = library("scalar").puna_cpu_features()
    return tuple(name for name, bit in variants if features & bit == bit and library_path(name).exists())


@functools.cache
def library(variant: str) -> c.CDLL:
    loaded = c.CDLL(str(library_path(variant)))
    i32, address = c.c_int32, c.c_void_p
    for name, result, arguments in (
        ("puna_cpu_features", i32, ()),
        ("puna_model_new", address, (c.c_char_p,)),
        ("puna_model_free", None, (address,)),
        ("puna_cache_new", address, (address, i32)),
        ("puna_cache_free", None, (address,)),
        ("puna_forward", i32, (address, i32, address, address, address, address, i32, address, address)),
        ("puna_test_exp", None, (address, address, i32)),
        ("puna_test_half", None, (address, address, i32)),
        ("puna_test_quantise", None, (address, address, address, i32)),
        ("puna_test_sin_cos", None, (address, address, address, i32)),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


class NativeModel:
    """A model on a native build. See Backend in kernel/__init__.py."""

    def __init__(
        self, variant: str, config: LlamaConfig, tensors: Sequence[Tensor], threads: int, panels_bytes_max: int
    ):
        self._library = library(variant)
        self._vocab = config.vocab
        # C computes on the mapped file: the views keep the map alive as long as the model.
        self._views = [tensor.data for tensor in tensors]
        types, addresses = [tensor.type for tensor in tensors], [view.ctypes.data for view in self._views]
        spec = pack_spec(config, threads, ROWS_MAX, panels_bytes_max, types, addresses)
        self._model = self._library.puna_model_new(spec)
        if not self._model:
            raise memory_refused("model")
        self._caches: set[int] = set()

    def new_cache(self, positions_max: int) -> int:
        cache = self._library.puna_cache_new(self._model, positions_max)
        if not cache:
            raise memory_refused("sequence's cache")
        self._caches.add(cache)
        return cache

    def free_cache(self, cache: int) -> None:
        self._caches.discard(cache)
        self._library.puna_cache_free(cache)

    def forward(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        caches: Sequence[int],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> np.ndarray:
        logits = np.empty((len(logits_rows), self._vocab), np.float32)
        status = self._library.puna_forward(
            self._model,
            len(tokens),
            # A few numbers are copied in a fraction of the time that NumPy takes to tell where they lie.
            tokens.tobytes(),
            positions.tobytes(),
            cache_index.tobytes(),
            np.array(caches, np.uint64).tobytes(),
            len(logits_rows),
            logits_rows.tobytes(),
            logits.ctypes.data,
        )
        if status:
            raise memory_refused("attention of so long a sequence")
        return logits

    def close(self) -> None:
        for cache in self._caches:
            self._library.puna_cache_free(cache)
        self._caches.clear()
        self._library.puna_model_free(self._model)
        self._views.clear()
