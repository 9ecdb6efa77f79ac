"""`Llama`: language models for processes, computed by the node's engine in canonical arithmetic.

The Lua side is `module/lua/llama.lua`. A model is named by the id of the data item that holds its GGUF file, so an
answer is a function of ids, tokens and sampling parameters alone, and so is its price in gas.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from puna.errors import Invalid, Missing

from .host import Host

if TYPE_CHECKING:
    from puna.llm.generate import Completion, Request

GAS_REQUEST = 100_000
GAS_REQUEST_BYTE = 100
GAS_PROMPT_TOKEN = 1_000_000
GAS_TOKEN = 10_000_000

TOGETHER_MAX = 16  # answers; as many as the engine computes in one batch
LIMIT_MAX = 1 << 20  # tokens; the context of every model is smaller
ITEM_ID_CHARACTERS = 43
DESCRIBED_MAX = 16  # models, whose descriptions a process need not ask the engine for again


class Say(msgspec.Struct):
    role: str
    content: str


class Ask(msgspec.Struct, tag_field="op", forbid_unknown_fields=True):
    model: str


class Info(Ask, tag="info"):
    pass


class Tokenize(Ask, tag="tokenize"):
    text: str
    bos: bool = True
    special: bool = False


class Chat(Ask, tag="chat"):
    messages: list[Say]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """An answer: what it goes on from, how long it may be, how its tokens are chosen."""

    tokens: list[int]
    limit: int
    temperature: float = 0.0
    seed: int = 0
    top_p: float = 1.0
    top_k: int = 0
    stop: list[str] = []


class Generate(Wanted, tag_field="op", tag="generate", kw_only=True):
    model: str


class GenerateAll(Ask, tag="generate_all"):
    """Several answers, computed together: each is what Generate would answer, or `{"error": text}` where it would
    refuse. Too little gas for all of them ends the message, as it does for one.
    """

    wanted: list[Wanted]


_decoder = msgspec.json.Decoder(Info | Tokenize | Chat | Generate | GenerateAll)


def bind(host: Host) -> Callable[[bytes], bytes]:
    """The function that answers this process's requests: JSON to JSON, shapes as the classes above."""
    described: dict[str, dict[str, Any]] = {}  # what was said of a model: an id names the same file for ever

    def info(path: str, model: str) -> dict[str, Any]:
        if model not in described:
            if len(described) >= DESCRIBED_MAX:
                described.clear()
            described[model] = _info(host, path)
        return described[model]

    def answer(request: bytes) -> bytes:
        host.charge(GAS_REQUEST + GAS_REQUEST_BYTE * len(request))
        try:
            ask = _decoder.decode(request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"request not understood: {error}") from None
        path = _model_path(host, ask.model)
        try:
            said = info(path, ask.model) if isinstance(ask, Info) else _OPERATIONS[type(ask)](host, path, ask)
            return msgspec.json.encode(said)
        except (Invalid, Missing) as refusal:
            # The process sees this text, and it must not depend on where this node keeps its files.
            raise type(refusal)(_refusal(refusal, path, ask.model)) from None

    return answer


def _refusal(error: Exception, path: str, model: str) -> str:
    return str(error).replace(path, f"model {model}")


def _model_path(host: Host, model: str) -> str:
    path: Path | None = host.weave(model) if len(model) == ITEM_ID_CHARACTERS else None
    if path is None:
        raise Missing(f"model {model} is not on this node.", "Fetch it with `puna model pull`.")
    return str(path)


def _info(host: Host, path: str) -> dict[str, Any]:
    info = host.engine().open_model(path)
    return {
        "name": info.name,
        "context": info.context,
        "vocab": info.vocab,
        "arithmetic": info.arithmetic,
        "eos": info.eos,
        "template": info.chat_template,
    }


def _tokenize(host: Host, path: str, ask: Tokenize) -> dict[str, Any]:
    return {"tokens": list(host.engine().tokenize(path, ask.text, ask.bos, ask.special))}


def _chat(host: Host, path: str, ask: Chat) -> dict[str, Any]:
    messages = [{"role": say.role, "content": say.content} for say in ask.messages]
    return {"tokens": list(host.engine().encode_chat(path, messages))}


def _generate(host: Host, path: str, ask: Generate) -> dict[str, Any]:
    request = _request(host, ask)
    completion = host.engine().generate(
        path, request.tokens, request.limit, request.sampling, request.stop, _teller(host)
    )
    host.charge(GAS_TOKEN * len(completion.tokens))
    return _said(completion)


def _generate_all(host: Host, path: str, ask: GenerateAll) -> dict[str, Any]:
    if len(ask.wanted) > TOGETHER_MAX:
        raise Invalid(f"{len(ask.wanted)} answers at once are more than {TOGETHER_MAX}")
    asked = [_request_or_refusal(host, each) for each in ask.wanted]
    places = [place for place, each in enumerate(asked) if not isinstance(each, Invalid)]
    tellers = [_teller(host, place) for place in places]

    # Paid for as they come: the gas that is left would let each of them run as far as one alone. Their sum is the same
    # in whatever order they come, and so is whether there is enough for it.
    def on_tokens(number: int, tokens: list[tuple[int, bytes]]) -> None:
        host.charge(GAS_TOKEN * len(tokens))
        tellers[number](tokens)

    made = host.engine().generate_all(path, [asked[place] for place in places], on_tokens)
    ended = dict(enumerate(asked)) | dict(zip(places, made, strict=True))
    return {
        "answers": [
            {"error": _refusal(each, path, ask.model)} if isinstance(each, Invalid) else _said(each)
            for each in ended.values()
        ]
    }


def _request_or_refusal(host: Host, wanted: Wanted) -> "Request | Invalid":
    try:
        return _request(host, wanted)
    except Invalid as refusal:
        return refusal


def _request(host: Host, ask: Wanted) -> "Request":
    """What the engine is asked for. Its prompt is paid for here."""
    from puna.llm.generate import Request
    from puna.llm.sampler import Sampling

    if not 0 <= ask.limit <= LIMIT_MAX:
        raise Invalid(f"limit {ask.limit} is not between 0 and {LIMIT_MAX}")
    sampling = Sampling(temperature=ask.temperature, seed=ask.seed, top_p=ask.top_p, top_k=ask.top_k)
    host.charge(GAS_PROMPT_TOKEN * len(ask.tokens))
    # One token more than can be paid for: the answer then ends in `out of gas`, and not in a long wait for it.
    limit = min(ask.limit, host.gas_left() // GAS_TOKEN + 1)
    return Request(tuple(ask.tokens), limit, sampling, tuple(ask.stop))


def _said(completion: "Completion") -> dict[str, Any]:
    return {"tokens": list(completion.tokens), "text": completion.text, "finish": completion.finish}


def _teller(host: Host, place: int | None = None) -> Callable[[list[tuple[int, bytes]]], None]:
    """Tells tokens to those who watch, as text, those together that come together: each event wakes everybody on its
    way. A character cut in two waits for its other half. `place` is that among the answers made together.
    """
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")("replace")
    index = 0

    def on_tokens(tokens: list[tuple[int, bytes]]) -> None:
        nonlocal index
        if not host.message_id:  # nobody watches a preview
            return
        about = {"process": host.process_id, "message": host.message_id, "extension": "Llama", "event": "token"}
        if place is not None:
            about["place"] = place
        text = decoder.decode(b"".join(piece for _, piece in tokens))
        host.emit([{**about, "index": index, "tokens": len(tokens), "text": text}])
        index += len(tokens)

    return on_tokens


_OPERATIONS = {Tokenize: _tokenize, Chat: _chat, Generate: _generate, GenerateAll: _generate_all}
