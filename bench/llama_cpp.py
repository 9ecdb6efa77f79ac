"""llama.cpp through the shared library inside the `xllamacpp` wheel: the other side of bench/inference.py.

The wheel's Python classes give no raw logits, so this calls the library's exported llama_* functions by ctypes.
The parameter structs belong to one version of llama.cpp; `_check_layout` refuses loudly when they moved.
"""

from __future__ import annotations

import ctypes as c
import importlib.util
from pathlib import Path

import numpy as np


class _ModelParams(c.Structure):
    _fields_ = [
        ("devices", c.c_void_p),
        ("tensor_buft_overrides", c.c_void_p),
        ("n_gpu_layers", c.c_int32),
        ("split_mode", c.c_int32),
        ("main_gpu", c.c_int32),
        ("rest", c.c_byte * 244),
    ]


class _ContextParams(c.Structure):
    _fields_ = [
        ("n_ctx", c.c_uint32),
        ("n_batch", c.c_uint32),
        ("n_ubatch", c.c_uint32),
        ("n_seq_max", c.c_uint32),
        ("rest", c.c_byte * 496),
    ]


class _Batch(c.Structure):
    _fields_ = [
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.c_void_p),
        ("pos", c.POINTER(c.c_int32)),
        ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))),
        ("logits", c.POINTER(c.c_int8)),
    ]


def _library() -> c.CDLL:
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None:
        raise SystemExit("xllamacpp is not installed: pip install xllamacpp")
    path = next(Path(spec.origin).parent.glob("xllamacpp*.so"))
    library = c.CDLL(str(path))
    for name, result, arguments in (
        ("llama_model_default_params", _ModelParams, []),
        ("llama_context_default_params", _ContextParams, []),
        ("llama_model_load_from_file", c.c_void_p, [c.c_char_p, _ModelParams]),
        ("llama_init_from_model", c.c_void_p, [c.c_void_p, _ContextParams]),
        ("llama_model_get_vocab", c.c_void_p, [c.c_void_p]),
        ("llama_vocab_n_tokens", c.c_int32, [c.c_void_p]),
        ("llama_get_memory", c.c_void_p, [c.c_void_p]),
        ("llama_memory_clear", None, [c.c_void_p, c.c_bool]),
        ("llama_batch_init", _Batch, [c.c_int32, c.c_int32, c.c_int32]),
        ("llama_batch_free", None, [_Batch]),
        ("llama_decode", c.c_int32, [c.c_void_p, _Batch]),
        ("llama_get_logits_ith", c.POINTER(c.c_float), [c.c_void_p, c.c_int32]),
        ("llama_print_system_info", c.c_char_p, []),
        ("llama_set_n_threads", None, [c.c_void_p, c.c_int32, c.c_int32]),
        ("llama_n_threads", c.c_int32, [c.c_void_p]),
        ("llama_n_threads_batch", c.c_int32, [c.c_void_p]),
        ("llama_free", None, [c.c_void_p]),
        ("llama_model_free", None, [c.c_void_p]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_SILENT = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda level, text, data: None)


class LlamaCpp:
    """One model in one llama.cpp context, `threads` for prompt and generation alike."""

    def __init__(self, path: Path, threads: int, context: int = 1024, batch: int = 512):
        self._library = library = _library()
        library.llama_log_set(_SILENT, None)
        library.llama_backend_init()
        model_params = library.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self._model = library.llama_model_load_from_file(str(path).encode(), model_params)
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        params = library.llama_context_default_params()
        _check_layout(params)
        params.n_ctx, params.n_batch, params.n_ubatch = context, batch, batch
        self._context = library.llama_init_from_model(self._model, params)
        # By call and not by field: fields move between releases, and a prompt on more threads would be no fair match.
        library.llama_set_n_threads(self._context, threads, threads)
        assert library.llama_n_threads(self._context) == library.llama_n_threads_batch(self._context) == threads
        self.vocab = library.llama_vocab_n_tokens(library.llama_model_get_vocab(self._model))
        self.system_info = library.llama_print_system_info().decode()

    def forget(self) -> None:
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)

    def forward(self, tokens: list[int], position: int) -> np.ndarray:
        """Append `tokens` from `position`; the last one's logits, float32 (vocab,), valid until the next call."""
        count = len(tokens)
        batch = self._library.llama_batch_init(count, 0, 1)
        batch.n_tokens = count
        for row, token in enumerate(tokens):
            batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, position + row, 1
            batch.seq_id[row][0], batch.logits[row] = 0, row == count - 1
        status = self._library.llama_decode(self._context, batch)
        self._library.llama_batch_free(batch)
        if status != 0:
            raise RuntimeError(f"llama_decode failed: {status}")
        return np.ctypeslib.as_array(self._library.llama_get_logits_ith(self._context, -1), shape=(self.vocab,))

    def close(self) -> None:
        self._library.llama_free(self._context)
        self._library.llama_model_free(self._model)


def _check_layout(params: _ContextParams) -> None:
    known = (params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max)
    if known != (512, 2048, 512, 1):
        raise SystemExit(f"this xllamacpp has other parameter structs than bench/llama_cpp.py knows: {known}")
