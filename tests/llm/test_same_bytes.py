"""The promise a paid answer rests on: the question people ask first gets the same bytes everywhere.

Every backend of the kernel that this machine can run, one thread and two, twice each; the whole road (`puna ask`) is
held to the same bytes in tests/cli/test_ask.py.
"""

import pytest

from puna.llm.chat import encode_chat
from puna.llm.families import read_config
from puna.llm.generate import Request, generate
from puna.llm.gguf import open_gguf
from puna.llm.kernel import available, open_model
from puna.llm.tokenizer import Tokenizer
from puna.models import DEMO_MODEL

QUESTION = "What is the meaning of life?"


def answer(backend: str, threads: int) -> tuple[tuple[int, ...], bytes]:
    """Tokens and bytes of the greedy answer, computed from nothing."""
    gguf = open_gguf(DEMO_MODEL)
    tokenizer = Tokenizer.from_gguf(gguf)
    model = open_model(DEMO_MODEL, read_config(gguf), backend=backend, threads=threads)
    prompt = encode_chat(tokenizer, [{"role": "user", "content": QUESTION}])
    pieces = list(generate(model, tokenizer, Request(tuple(prompt), 20)))
    model.close()
    return tuple(token for token, _ in pieces), b"".join(piece for _, piece in pieces)


EXPECTED = answer(available()[0], 1)


def test_the_answer_is_a_sentence():
    assert EXPECTED[1].strip().endswith((b".", b"!", b"?")) and len(EXPECTED[0]) >= 3


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", available())
def test_every_backend_and_thread_count_gives_the_same_bytes(backend, threads):
    assert answer(backend, threads) == answer(backend, threads) == EXPECTED


def test_native_and_wasm_kernels_are_among_those_compared():
    assert {"scalar", "wasm", "numpy"} <= set(available()) and len(available()) >= 4
