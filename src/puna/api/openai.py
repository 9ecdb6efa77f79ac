"""OpenAI's API: models, chat completions and completions, streamed or not. Source: OpenAI's API reference.

Every reply has one field more, `puna`: its receipt. When streaming it is in the last chunk.
"""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.errors import NodeError
from puna.services.herder.desk import Case
from puna.services.network import Model

from . import bodies
from .bodies import Asked
from .counter import Counter, Reply
from .keys import Keys
from .refusals import Refusal, refusal_of
from .replies import account_of, answering, body_of, json_of, sse, stream_of

DONE = b"data: [DONE]\n\n"


def openai_routes(counter: Counter, keys: Keys) -> list[Route]:
    async def models(request: Request) -> Response:
        account_of(request, keys)
        return json_of({"object": "list", "data": [_model(each) for each in counter.network().models]})

    async def model(request: Request) -> Response:
        account_of(request, keys)
        return json_of(_model(counter.model(request.path_params["model"])))

    def completions(read: Callable[[dict[str, Any]], Asked], shape: type[_Shape]):
        async def complete(request: Request) -> Response:
            account = account_of(request, keys)
            asked = read(bodies.object_of(await body_of(request)))
            case = await counter.begin(account, asked)
            said = shape(case, counter.model(asked.model).name)
            headers = {"X-Puna-Payment": case.inquiry.transfer, "X-Puna-Reference": case.inquiry.reference}
            if asked.stream:
                return stream_of(_stream(counter, case, said, asked.usage), "text/event-stream", headers)
            text = "".join([piece async for piece in counter.texts(case)])
            reply = await counter.reply(case)
            return json_of(said.whole(text, reply), headers=headers | reply.headers())

        return complete

    chat, plain = completions(bodies.chat_completion, _Chat), completions(bodies.completion, _Plain)
    return [
        Route("/v1/models", answering(models, Refusal.to_json)),
        Route("/v1/models/{model:path}", answering(model, Refusal.to_json)),
        Route("/v1/chat/completions", answering(chat, Refusal.to_json), methods=["POST"]),
        Route("/v1/completions", answering(plain, Refusal.to_json), methods=["POST"]),
    ]


def _model(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": 0, "owned_by": "puna", "puna": {"model": model.id}}


def usage_of(reply: Reply) -> dict[str, int]:
    prompt, made = reply.receipt.prompt_tokens, reply.receipt.tokens
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


class _Shape:
    """How one endpoint writes its objects: whole, or in chunks."""

    prefix = whole_object = chunk_object = ""

    def __init__(self, case: Case, model: str):
        self._head = {"id": f"{self.prefix}-{case.inquiry.transfer}", "created": int(time.time()), "model": model}

    def _choice(self, text: str, finish: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def _part(self, text: str | None, finish: str | None, first: bool) -> dict[str, Any]:
        raise NotImplementedError

    def whole(self, text: str, reply: Reply) -> dict[str, Any]:
        head = {**self._head, "object": self.whole_object, "system_fingerprint": reply.receipt.arithmetic or None}
        return {**head, "choices": [self._choice(text, reply.finish)], "usage": usage_of(reply), "puna": reply.proof()}

    def chunk(self, text: str | None, finish: str | None = None, *, first: bool = False) -> dict[str, Any]:
        return {**self._head, "object": self.chunk_object, "choices": [self._part(text, finish, first)]}

    def closing(self, reply: Reply) -> dict[str, Any]:
        usage = {"usage": usage_of(reply), "puna": reply.proof()}
        return {**self._head, "object": self.chunk_object, "choices": [], **usage}


class _Chat(_Shape):
    prefix, whole_object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def _choice(self, text: str, finish: str | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}

    def _part(self, text: str | None, finish: str | None, first: bool) -> dict[str, Any]:
        delta = {"role": "assistant"} if first else {}
        delta |= {} if text is None else {"content": text}
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


class _Plain(_Shape):
    prefix, whole_object, chunk_object = "cmpl", "text_completion", "text_completion"

    def _choice(self, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    def _part(self, text: str | None, finish: str | None, first: bool) -> dict[str, Any]:
        return self._choice(text or "", finish)


async def _stream(counter: Counter, case: Case, said: _Shape, usage: bool) -> AsyncIterator[bytes]:
    """Chunks as tokens come, then the finish, the usage where it is wanted, and the end."""
    none = {"usage": None} if usage else {}
    yield sse(said.chunk("", first=True) | none)
    try:
        async for text in counter.texts(case):
            yield sse(said.chunk(text) | none)
        reply = await counter.reply(case)
    except NodeError as error:
        yield sse(refusal_of(error).to_json())
        return
    yield sse(said.chunk(None, reply.finish) | none | {"puna": reply.proof()})
    if usage:
        yield sse(said.closing(reply))
    yield DONE
