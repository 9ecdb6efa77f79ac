"""The WebAssembly backend: the same C sources in a module without imports, run by wasmtime.

It computes what the native builds compute, on any machine wasmtime knows, in a sandbox. A browser loads the same
file. Weights are copied into linear memory, so a model may have up to 4 GiB; there is one thread.
"""

import ctypes as c
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import wasmtime

from puna.errors import Invalid
from puna.llm.families.llama import LlamaConfig
from puna.llm.gguf import Tensor
from puna.llm.kernel import ROWS_MAX, memory_refused
from puna.llm.kernel.spec import pack_spec

MODULE_PATH = Path(__file__).resolve().parent / "_built" / "puna-kernel.wasm"
ADDRESS_SPACE = 1 << 32


def available() -> tuple[str, ...]:
    return ("wasm",) if MODULE_PATH.exists() else ()


@functools.cache
def _module() -> tuple[wasmtime.Engine, wasmtime.Module]:
    engine = wasmtime.Engine()
    return engine, wasmtime.Module.from_file(engine, str(MODULE_PATH))


class Instance:
    """One instance of the module with its linear memory. All addresses are offsets into it."""

    def __init__(self) -> None:
        engine, module = _module()
        self._store = wasmtime.Store(engine)
        self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        self._memory = self._exports["memory"]
        self.call("_initialize")

    def call(self, name: str, *arguments: int) -> int:
        """Call an export. Addresses are unsigned here and signed in WebAssembly's own eyes."""
        signed = [each - ADDRESS_SPACE if each >= 1 << 31 else each for each in arguments]
        result = self._exports[name](self._store, *signed)
        return 0 if result is None else result % ADDRESS_SPACE

    def allocate(self, size: int, what: str) -> int:
        address = self.call("puna_alloc", size) if size < ADDRESS_SPACE else 0
        if not address:
            raise memory_refused(what)
        return address

    def free(self, address: int) -> None:
        self.call("puna_free", address)

    def put(self, what: str, data: bytes | np.ndarray) -> int:
        """A copy of `data` in linear memory; its address."""
        view = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        address = self.allocate(max(view.nbytes, 1), what)
        self.write(address, view)
        return address

    def write(self, address: int, data: np.ndarray) -> None:
        c.memmove(self._base() + address, data.ctypes.data, data.nbytes)

    def read(self, address: int, out: np.ndarray) -> None:
        c.memmove(out.ctypes.data, self._base() + address, out.nbytes)

    def _base(self) -> int:
        # Asked anew each time: memory may move when it grows.
        return c.addressof(self._memory.data_ptr(self._store).contents)

    def close(self) -> None:
        self._store.close()


class Buffer:
    """Memory in an instance that is kept between calls and grows when more is wanted."""

    def __init__(self, wasm: Instance, what: str):
        self._wasm, self._what = wasm, what
        self._address, self._size = 0, 0

    def at_least(self, size: int) -> int:
        """The address of `size` bytes, whose content is lost."""
        if size > self._size or not self._address:
            self._wasm.free(self._address)
            self._address, self._size = 0, max(size + size // 2, 64)
            self._address = self._wasm.allocate(self._size, self._what)
        return self._address


class WasmModel:
    """A model in linear memory. See Backend in kernel/__init__.py."""

    def __init__(self, config: LlamaConfig, tensors: Sequence[Tensor], panels_bytes_max: int):
        size = sum(tensor.nbytes for tensor in tensors)
        if size >= ADDRESS_SPACE:
            raise Invalid(f"The model has {size} bytes, more than WebAssembly's 4 GiB.", "Use a native backend.")
        self._vocab = config.vocab
        self._wasm = Instance()
        copies: dict[int, int] = {}  # a tied output matrix is the embedding once more
        for tensor in tensors:
            if tensor.offset not in copies:
                copies[tensor.offset] = self._wasm.put("model's weights", tensor.data)
        types, addresses = [tensor.type for tensor in tensors], [copies[tensor.offset] for tensor in tensors]
        spec = self._wasm.put("model", pack_spec(config, 1, ROWS_MAX, panels_bytes_max, types, addresses))
        self._model = self._wasm.call("puna_model_new", spec)
        if not self._model:
            raise memory_refused("model")
        self._wasm.free(spec)
        self._batch, self._logits = Buffer(self._wasm, "batch"), Buffer(self._wasm, "logits")

    def new_cache(self, positions_max: int) -> int:
        cache = self._wasm.call("puna_cache_new", self._model, positions_max)
        if not cache:
            raise memory_refused("sequence's cache")
        return cache

    def free_cache(self, cache: int) -> None:
        self._wasm.call("puna_cache_free", cache)

    def forward(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        caches: Sequence[int],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> np.ndarray:
        logits = np.empty((len(logits_rows), self._vocab), np.float32)
        arrays = (np.array(caches, np.uint64), tokens, positions, cache_index, logits_rows)
        sizes = [array.nbytes for array in arrays]
        start = self._batch.at_least(sum(sizes))
        cache, token, position, index, wanted = (start + sum(sizes[:place]) for place in range(len(sizes)))
        self._wasm.write(start, np.frombuffer(b"".join(array.tobytes() for array in arrays), np.uint8))
        out = self._logits.at_least(logits.nbytes)
        status = self._wasm.call(
            "puna_forward", self._model, len(tokens), token, position, index, cache, len(logits_rows), wanted, out
        )
        if status:
            raise memory_refused("attention of so long a sequence")
        self._wasm.read(out, logits)
        return logits

    def close(self) -> None:
        self._wasm.close()
