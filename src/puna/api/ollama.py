"""Ollama's API: chat, generate, and what there is, streamed as lines of JSON. Source: Ollama's API reference.

Every last line has one field more, `puna`: its receipt. Unlike Ollama's own it takes a key, for somebody pays.
"""

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna import __version__
from puna.arweave.ids import b64url_decode
from puna.errors import NodeError
from puna.services.herder.desk import Case
from puna.services.network import Model

from . import bodies
from .bodies import Asked, Fields
from .counter import Counter, Reply
from .keys import Keys
from .refusals import Refusal, refusal_of
from .replies import account_of, answering, body_of, json_of, line, shown_key, stream_of

LINES = "application/x-ndjson"
Piece = Callable[[str], dict[str, Any]]  # the field that holds text


def _error(refusal: Refusal) -> dict[str, Any]:
    return {"error": str(refusal)}


def _message(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _response(text: str) -> dict[str, Any]:
    return {"response": text}


def ollama_routes(counter: Counter, keys: Keys) -> list[Route]:
    def look(request: Request) -> None:
        """What there is anybody may ask, but a wrong key is told at once."""
        if shown_key(request):
            account_of(request, keys)

    async def tags(request: Request) -> Response:
        look(request)
        return json_of({"models": [await _listed(counter, model) for model in counter.network().models]})

    async def version(request: Request) -> Response:
        look(request)
        return json_of({"version": __version__})

    async def show(request: Request) -> Response:
        look(request)
        fields = Fields(bodies.object_of(await body_of(request)))
        model = counter.model(fields.text("model") or fields.text("name", required=True))
        info = await counter.info(model)
        told = {"general.name": model.name}
        if info is not None:
            told |= {"general.architecture": info.architecture, "general.parameter_count": info.parameters}
            told |= {f"{info.architecture}.context_length": info.context}
        listed = await _listed(counter, model)
        return json_of({
            "modelfile": "", "parameters": "", "template": "", "details": listed["details"], "model_info": told,
            "capabilities": ["completion"], "modified_at": listed["modified_at"],
        })  # fmt: skip

    def talking(read: Callable[[dict[str, Any]], Asked | None], piece: Piece):
        async def talk(request: Request) -> Response:
            account = account_of(request, keys)
            body = bodies.object_of(await body_of(request))
            asked = read(body)
            if asked is None:  # Ollama's way of asking for a model to be loaded
                model = counter.model(body["model"]).name
                return json_of({**_head(model), **piece(""), "done": True, "done_reason": "load"})
            began = time.monotonic_ns()
            case = await counter.begin(account, asked)
            model = counter.model(asked.model).name
            headers = {"X-Puna-Payment": case.inquiry.transfer, "X-Puna-Reference": case.inquiry.reference}
            if asked.stream:
                return stream_of(_stream(counter, case, model, piece, began), LINES, headers)
            text = "".join([part async for part in counter.texts(case)])
            reply = await counter.reply(case)
            return json_of(_last(model, piece(text), reply, began), headers=headers | reply.headers())

        return talk

    chat, generate = talking(bodies.ollama_chat, _message), talking(bodies.ollama_generate, _response)
    return [
        Route("/api/chat", answering(chat, _error), methods=["POST"]),
        Route("/api/generate", answering(generate, _error), methods=["POST"]),
        Route("/api/tags", answering(tags, _error)),
        Route("/api/version", answering(version, _error)),
        Route("/api/show", answering(show, _error), methods=["POST"]),
    ]


async def _listed(counter: Counter, model: Model) -> dict[str, Any]:
    info = await counter.info(model)
    details: dict[str, Any] = {"parent_model": "", "format": "gguf", "family": "", "families": None}
    details |= {"parameter_size": "", "quantization_level": ""}
    if info is not None:
        details |= {"family": info.architecture, "families": [info.architecture]}
        details |= {"parameter_size": _millions(info.parameters), "quantization_level": info.file_type}
    return {
        "name": model.name, "model": model.name, "modified_at": _time(0), "size": info.file_bytes if info else 0,
        "digest": b64url_decode(model.id).hex(), "details": details, "puna": {"model": model.id},
    }  # fmt: skip


def _millions(parameters: int) -> str:
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.1f}M"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _head(model: str) -> dict[str, Any]:
    return {"model": model, "created_at": _time(time.time())}


def _last(model: str, piece: dict[str, Any], reply: Reply, began: int) -> dict[str, Any]:
    """The last line. Durations are nanoseconds; what a part of it took is not known apart."""
    took, receipt = time.monotonic_ns() - began, reply.receipt
    counts = {"prompt_eval_count": receipt.prompt_tokens, "eval_count": receipt.tokens}
    times = {"total_duration": took, "load_duration": 0, "prompt_eval_duration": 0, "eval_duration": took}
    done = {"done": True, "done_reason": reply.finish}
    return {**_head(model), **piece, **done, **times, **counts, "puna": reply.proof()}


async def _stream(counter: Counter, case: Case, model: str, piece: Piece, began: int) -> AsyncIterator[bytes]:
    try:
        async for text in counter.texts(case):
            yield line({**_head(model), **piece(text), "done": False})
        reply = await counter.reply(case)
    except NodeError as error:
        yield line(_error(refusal_of(error)))
        return
    yield line(_last(model, piece(""), reply, began))
