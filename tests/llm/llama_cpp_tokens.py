"""llama.cpp's own tokenizer as an oracle, reached by ctypes in the shared library that `xllamacpp` brings."""

import ctypes
import importlib.util
from pathlib import Path

LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
SILENT = LOG_CALLBACK(lambda level, text, data: None)


class ModelParams(ctypes.Structure):
    """llama_model_params, passed on as it comes: room enough for whatever is in it."""

    _fields_ = [("bytes", ctypes.c_byte * 256)]


def load_library() -> ctypes.CDLL:
    folder = Path(importlib.util.find_spec("xllamacpp").origin).parent
    library = ctypes.CDLL(str(next(each for each in folder.iterdir() if each.suffix in (".so", ".pyd", ".dylib"))))
    library.llama_model_default_params.restype = ModelParams
    library.llama_model_load_from_file.restype = ctypes.c_void_p
    library.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
    library.llama_model_get_vocab.restype = ctypes.c_void_p
    library.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
    library.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p]
    library.llama_tokenize.argtypes += [ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]
    library.llama_token_to_piece.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int32]
    library.llama_token_to_piece.argtypes += [ctypes.c_int32, ctypes.c_bool]
    library.llama_vocab_is_eog.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.llama_vocab_is_eog.restype = ctypes.c_bool
    library.llama_log_set(SILENT, None)
    library.llama_backend_init()
    return library


class Oracle:
    """The vocabulary of one GGUF file in llama.cpp."""

    library: ctypes.CDLL | None = None

    def __init__(self, path: Path):
        Oracle.library = Oracle.library or load_library()
        params = self.library.llama_model_default_params()
        self.model = self.library.llama_model_load_from_file(str(path).encode(), params)
        assert self.model, f"llama.cpp cannot load {path}"
        self.vocab = self.library.llama_model_get_vocab(self.model)

    def encode(self, text: str, *, bos: bool = True, special: bool = False) -> list[int]:
        data = text.encode("utf-8")
        room = (ctypes.c_int32 * (len(data) + 16))()
        count = self.library.llama_tokenize(self.vocab, data, len(data), room, len(room), bos, special)
        assert count >= 0
        return list(room[:count])

    def piece(self, token: int) -> bytes:
        room = ctypes.create_string_buffer(512)
        count = self.library.llama_token_to_piece(self.vocab, token, room, len(room), 0, False)
        assert count >= 0
        return room.raw[:count]

    def ends(self, token: int) -> bool:
        return self.library.llama_vocab_is_eog(self.vocab, token)
