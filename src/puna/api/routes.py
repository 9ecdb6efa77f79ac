"""All doors of this room, as routes that the node puts before the gateway's."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from .counter import Counter
from .inference import inference_routes
from .keys import Keys
from .ollama import ollama_routes
from .openai import openai_routes
from .quote import quote_routes
from .refusals import Refusal
from .replies import json_of

# What a page in a browser may read of a reply's headers.
PROOF_HEADERS = (
    "X-Puna-Receipt", "X-Puna-Payment", "X-Puna-Reference", "X-Puna-Fee", "X-Puna-Refund", "X-Puna-Model",
    "X-Puna-Signer",
)  # fmt: skip


def api_routes(counter: Counter, keys: Keys) -> Sequence[BaseRoute]:
    """OpenAI's and Ollama's paths; the same below `/key/<API key>`, for tools that can send no header; and the
    requests themselves."""
    doors = [
        *openai_routes(counter, keys), *ollama_routes(counter, keys), *quote_routes(counter, keys), *_nothing_else(),
    ]  # fmt: skip
    # Ollama's tools look at the root of their host first.
    below = [Route("/", lambda request: PlainTextResponse("Puna is running")), *doors]
    return [*doors, Mount("/key/{key}", routes=below), *inference_routes(counter)]


def _nothing_else() -> list[Route]:
    """What else these APIs have is not here, and is said so in their own shapes."""

    async def absent(request: Request) -> Response:
        path = request.url.path
        refusal = Refusal(404, f"{request.method} {path:.80} is not here.", "docs/openai.md lists what is.")
        return json_of(refusal.to_json() if "/v1" in path else {"error": str(refusal)}, 404)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [Route(path, absent, methods=methods) for path in ("/v1", "/v1/{rest:path}", "/api/{rest:path}")]
