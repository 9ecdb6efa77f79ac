"""Receipts of answers as the doors of a node write them, made here with the model and the native kernel."""

from typing import Any

from puna.llm.chat import encode_chat
from puna.llm.engine import Engine
from puna.llm.generate import Request
from puna.llm.sampler import Sampling
from puna.models import DEMO_MODEL


def receipt(model: str, prompt: str, tokens: int, sampling: Sampling, stop: tuple[str, ...] = ()) -> dict[str, Any]:
    """The true receipt of what the demo model, published as `model`, answers to `prompt`."""
    engine = Engine(threads=1)
    try:
        ids = tuple(encode_chat(engine.open_model(DEMO_MODEL).tokenizer, [{"role": "user", "content": prompt}]))
        completion = engine.generate(DEMO_MODEL, Request(ids, tokens, sampling, stop))
    finally:
        engine.close()
    parameters = {
        "tokens": tokens, "temperature": sampling.temperature, "seed": sampling.seed, "stop": list(stop),
        "top_p": sampling.top_p, "top_k": sampling.top_k,
    }  # fmt: skip
    return {
        "version": 1,
        "prompt": prompt,
        "parameters": parameters,
        "model": {"id": model, "name": "puna-demo"},
        "arithmetic": "canonical-1",
        "prompt_ids": list(ids),
        "output_ids": list(completion.tokens),
        "text": completion.text,
        "finish": completion.finish,
    }
