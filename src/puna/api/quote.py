"""The quote of both doors: what a body would cost, how long it would take and what memory, before it is paid.

Takes the very bodies of the doors beside it. Nothing is paid or reserved, so no key is needed; a wrong one is told.
"""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import bodies
from .bodies import Asked
from .counter import Counter
from .keys import Keys
from .refusals import Refusal, bad
from .replies import account_of, answering, body_of, json_of, shown_key

Reader = Callable[[Mapping[str, Any]], Asked | None]


def quote_routes(counter: Counter, keys: Keys) -> list[Route]:
    def quoting(chat: Reader, plain: Reader):
        async def quote(request: Request) -> Response:
            if shown_key(request):
                account_of(request, keys)
            body = bodies.object_of(await body_of(request))
            asked = chat(body) if "messages" in body else plain(body)
            if asked is None:
                raise bad("prompt", "There is nothing to quote.", "Send the body that you would pay for.")
            return json_of((await counter.offer(asked)).to_json())

        return quote

    def spoken(refusal: Refusal) -> dict[str, Any]:
        return {"error": str(refusal)}

    openai = quoting(bodies.chat_completion, bodies.completion)
    ollama = quoting(bodies.ollama_chat, bodies.ollama_generate)
    return [
        Route("/v1/quote", answering(openai, Refusal.to_json), methods=["POST"]),
        Route("/api/quote", answering(ollama, spoken), methods=["POST"]),
    ]
