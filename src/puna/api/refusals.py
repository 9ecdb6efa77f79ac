"""What the doors say when they do not answer: one error with the fields of OpenAI's error objects.

Raised all over this room; written out by `openai.py` and `ollama.py`, each in the shape its clients read.
"""

from typing import Any

from puna.errors import Invalid, Missing, NodeError, NotYet

INVALID = "invalid_request_error"
QUOTA = "insufficient_quota"
AGAIN_S = 5


class Refusal(NodeError):
    """`status` is HTTP's; `type`, `code` and `param` as OpenAI's clients know them."""

    def __init__(self, status: int, what: str, todo: str = "", *, type: str = INVALID, code: str = "", param: str = ""):
        super().__init__(what, todo)
        self.status, self.type, self.code, self.param = status, type, code, param

    def to_json(self) -> dict[str, Any]:
        told = {"message": str(self), "type": self.type, "param": self.param or None, "code": self.code or None}
        return {"error": told}

    @property
    def headers(self) -> dict[str, str]:
        # Clients repeat a 429 by themselves; a budget does not grow by being asked again.
        if self.code == QUOTA:
            return {"x-should-retry": "false"}
        return {"Retry-After": str(AGAIN_S)} if self.status in (429, 503) else {}


def bad(param: str, what: str, todo: str = "", code: str = "invalid_value") -> Refusal:
    """A field of the body that is not as it must be."""
    return Refusal(400, what, todo, param=param, code=code)


def unsupported(param: str, what: str = "", todo: str = "") -> Refusal:
    return bad(param, what or f"{param} is not supported here.", todo or "Leave it out.", "unsupported_parameter")


def budget_spent(what: str) -> Refusal:
    todo = "Ask for fewer tokens (max_tokens), or make a key with a larger budget: puna key create --budget 0.1wAR"
    return Refusal(429, what, todo, type=QUOTA, code=QUOTA)


def refusal_of(error: NodeError) -> Refusal:
    """An expected error from below, as its status. What the herd refunded says in its text what came back."""
    if isinstance(error, Refusal):
        return error
    if "Insufficient Balance!" in error.what:
        return budget_spent("The budget of this key is spent; nothing was paid.")
    if "context full" in error.what:
        return Refusal(400, error.what, error.todo, code="context_length_exceeded", param="messages")
    match error:
        case Invalid():
            return Refusal(400, error.what, error.todo)
        case Missing():
            return Refusal(404, error.what, error.todo)
        case NotYet():
            return Refusal(503, error.what, error.todo, type="server_error", code="overloaded")
        case _:
            return Refusal(500, error.what, error.todo, type="server_error")
