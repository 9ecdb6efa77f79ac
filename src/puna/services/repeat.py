"""Repeating an inference: the model is asked again what a receipt says it was asked, and must say the same.

Called by `puna verify`. An answer in canonical arithmetic is a pure function of model, prompt tokens and sampling
parameters, so a fresh engine on any machine gives the same tokens.
"""

from pathlib import Path

import msgspec

from puna.arweave.dataitem import verify_item
from puna.arweave.store.port import Store
from puna.errors import Invalid, NodeError
from puna.llm.client import EngineClient
from puna.llm.generate import Completion
from puna.llm.sampler import Sampling

from .receipts import Check, Receipt, compared

ROLE_MARKERS = ("<|system|>", "<|user|>", "<|assistant|>")


def repeat(receipt: Receipt, store: Store, engine: EngineClient) -> list[Check]:
    """Lay the prompt out again, generate again, and compare both with the receipt. Blocks while the model runs."""
    path, item = store.payload_path(receipt.model.id), store.view(receipt.model.id)
    if path is None or item is None:
        return [Check("model", False, "in the store", "not here: fetch the item with its weights first")]
    try:
        verify_item(item)
    except Invalid:
        return [Check("signature of the model's weights", False, "valid", "not valid")]
    try:
        return [Check("signature of the model's weights", True), *_repeated(receipt, path, engine)]
    except NodeError as error:
        return [Check("repeating the inference", False, "an answer", str(error))]


def _repeated(receipt: Receipt, path: Path, engine: EngineClient) -> list[Check]:
    info = engine.open_model(path)
    checks = [compared("arithmetic", receipt.arithmetic, info.arithmetic)]
    prompt = tuple(lay_out(receipt, path, engine, bool(info.chat_template)))
    if receipt.prompt_ids is not None:
        checks.append(compared("token ids of the prompt", receipt.prompt_ids, prompt))
    asked = receipt.parameters
    if asked.piece and asked.temperature:
        return checks  # each piece drew a seed of its own: the worker's replay repeats those
    sampling = Sampling(asked.temperature, asked.seed, asked.top_p)
    again = engine.generate(path, prompt, asked.tokens, sampling, asked.stop)
    if receipt.output_ids is not None:
        checks.append(compared("token ids of the answer", receipt.output_ids, tuple(again.tokens)))
    checks.append(compared("number of tokens", receipt.tokens, len(again.tokens)))
    checks.append(compared("text of the answer", receipt.text, committed(again)))
    checks.append(compared("finish", receipt.finish, again.finish))
    return checks


def lay_out(receipt: Receipt, path: Path, engine: EngineClient, has_template: bool) -> list[int]:
    """The tokens a worker puts before the model. The rule is `lay_out` in prompt.lua."""
    prompt, system, format = receipt.prompt, receipt.system, receipt.parameters.format
    if format == "chat":
        messages = msgspec.json.decode(prompt.encode())
        if has_template:
            return list(engine.encode_chat(path, messages))
        prompt = "\n\n".join(message["content"] for message in messages)
    elif format != "text" and has_template and not prompt.startswith(ROLE_MARKERS):
        said = [{"role": "system", "content": system}] * bool(system) + [{"role": "user", "content": prompt}]
        return list(engine.encode_chat(path, said))
    else:
        prompt = f"{system}\n\n{prompt}" if system else prompt
    return list(engine.tokenize(path, prompt, bos=True, special=prompt.startswith(ROLE_MARKERS)))


def committed(again: Completion) -> str:
    """What of a text a worker commits: half a character at the end of an answer that ran out of tokens stays unsaid.

    Nothing at all is one blank where there were tokens, for an item cannot be without data.
    """
    text = again.text.removesuffix("\ufffd") if again.finish != "stop" else again.text
    return text or " " * bool(again.tokens)
