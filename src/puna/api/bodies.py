"""Reading the bodies of requests: from JSON that anybody may have sent to one clean record, or a refusal by name.

Called by the two doors. Nothing that would change the answer is silently left aside: what is not supported here is
taken only with the value that means "off".
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from .refusals import Refusal, bad, unsupported

BODY_MAX = 1 << 20
MESSAGES_MAX = 1000
STOPS_MAX, STOP_BYTES_MAX = 4, 64
SEED_END = 1 << 32
TOKENS_ASKED_MAX = 1 << 31  # more is not meant; what the herd takes is told by its quote

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True)
class Asked:
    """What a caller wants. `format` is "chat" (`prompt` is the conversation as JSON) or "text".

    `tokens` None leaves the length to us. `temperature` 0 takes the likeliest text, and then `seed` and `top_p` are
    None; with any other there is a seed, the caller's or one that was drawn here.
    """

    model: str
    prompt: str
    format: str
    tokens: int | None
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int | None = None
    top_p: float | None = None
    stream: bool = False
    usage: bool = False  # tell it at the end of a stream


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises Refusal."""
    if not body.strip():
        raise Refusal(400, "The request has no body.", "Send a JSON object.")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"The body is not JSON: {error}.", "Send a JSON object.") from None
    if not isinstance(value, dict):
        raise Refusal(400, "The body is JSON, but no object.", "Send a JSON object.")
    return value


class Fields:
    """The fields of one JSON object, read one by one; `within` is the name of the object in errors."""

    def __init__(self, body: Mapping[str, Any], within: str = ""):
        self._body, self._within = body, within

    def name(self, field: str) -> str:
        return f"{self._within}.{field}" if self._within else field

    def get(self, field: str) -> Any:
        return self._body.get(field)

    def text(self, field: str, *, required: bool = False) -> str:
        value = self._body.get(field)
        if value is None and not required:
            return ""
        if value is None:
            raise bad(self.name(field), f"{self.name(field)} is missing.", code="missing_required_parameter")
        if not isinstance(value, str) or (required and not value):
            raise bad(self.name(field), f"{self.name(field)} must be text and not empty.", code="invalid_type")
        return value

    def flag(self, field: str, default: bool) -> bool:
        value = self._body.get(field)
        if value is not None and not isinstance(value, bool):
            raise bad(self.name(field), f"{self.name(field)} must be true or false.", code="invalid_type")
        return default if value is None else value

    def whole(self, field: str, least: int, most: int) -> int | None:
        value = self._body.get(field)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad(self.name(field), f"{self.name(field)} must be a whole number.", code="invalid_type")
        if not least <= value <= most:
            raise bad(self.name(field), f"{self.name(field)} is {value}, not from {least} to {most}.")
        return value

    def number(self, field: str, least: float, most: float) -> float | None:
        value = self._body.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad(self.name(field), f"{self.name(field)} must be a number.", code="invalid_type")
        if not least <= value <= most:
            raise bad(self.name(field), f"{self.name(field)} is {value}, not from {least:g} to {most:g}.")
        return float(value)

    def stops(self, field: str) -> tuple[str, ...]:
        value = self._body.get(field)
        stops = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
            raise bad(self.name(field), f"{self.name(field)} must be a text or a list of texts.", code="invalid_type")
        if len(stops) > STOPS_MAX or any(
            not 0 < len(stop.encode("utf-8", "replace")) <= STOP_BYTES_MAX for stop in stops
        ):
            raise bad(self.name(field), f"At most {STOPS_MAX} stop texts of 1 to {STOP_BYTES_MAX} bytes are taken.")
        return tuple(stops)

    def off(self, neutral: Mapping[str, tuple[Any, ...]], why: str = "") -> None:
        """Raise for a field that asks for something that is not here. None and the values given mean "off"."""
        for field, values in neutral.items():
            value = self._body.get(field)
            if value is not None and not any(value == each and type(value) in _KIND[type(each)] for each in values):
                raise unsupported(self.name(field), why and f"{self.name(field)}: {why}")

    def only(self, *known: Any) -> None:
        """Raise for a field of another name: its sender expects something of it."""
        names = {name for each in known for name in ([each] if isinstance(each, str) else each)}
        for field in self._body:
            if field not in names:
                raise bad(
                    self.name(field), f"Unknown field {self.name(field)!r:.80}.", "Leave it out.", "unknown_parameter"
                )

    def sampling(self, seed_field: str = "seed") -> dict[str, Any]:
        """Temperature, seed and top_p. Without a seed one is drawn, and told in the receipt."""
        temperature = self.number("temperature", 0, 2) or 0.0
        seed, top_p = self.whole(seed_field, 0, SEED_END - 1), self.number("top_p", 0, 1)
        if top_p == 0:
            raise bad(self.name("top_p"), f"{self.name('top_p')} must be above 0.", "Use temperature 0 instead.")
        if temperature < 0.0001:
            return {"temperature": 0.0}
        seed = secrets.randbelow(SEED_END) if seed is None else seed
        return {"temperature": temperature, "seed": seed, "top_p": max(top_p, 0.0001) if top_p else None}


_KIND: dict[type, tuple[type, ...]] = {
    bool: (bool,), int: (int, float), float: (int, float), str: (str,), list: (list,), dict: (dict,),
}  # fmt: skip


def conversation(value: Any, param: str = "messages") -> str:
    """Messages as the herd takes them: a JSON array of role and content. Raises Refusal."""
    if value is None:
        raise bad(param, f"{param} is missing.", code="missing_required_parameter")
    if not isinstance(value, list) or not 0 < len(value) <= MESSAGES_MAX:
        raise bad(param, f"{param} must be a list of 1 to {MESSAGES_MAX} messages.", code="invalid_type")
    messages = [_message(message, f"{param}[{number}]") for number, message in enumerate(value)]
    if not any(message["content"].strip() for message in messages):
        raise bad(param, "All messages are empty.", "Say something.")
    return msgspec.json.encode(messages).decode()


def _message(value: Any, param: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise bad(param, f"{param} must be an object with role and content.", code="invalid_type")
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise bad(f"{param}.role", f"{param}.role is {role!r:.40}.", f"Roles are {', '.join(ROLES)}.")
    if value.get("tool_calls") or value.get("function_call"):
        raise unsupported(f"{param}.tool_calls", "Tools are not supported here.")
    if value.get("images") or value.get("audio"):
        raise unsupported(f"{param}.images", "Only text is taken here.", "Send text.")
    return {"role": ROLES[role], "content": _content(value.get("content"), f"{param}.content")}


def _content(value: Any, param: str) -> str:
    """A content: text, or a list of parts that are text."""
    if isinstance(value, list):
        for part in value:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                raise unsupported(param, f"{param} has a part of type {kind!r:.40}.", "Only text is taken here.")
        value = "".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise bad(param, f"{param} must be text.", code="invalid_type")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad(param, f"{param} holds half of a surrogate pair, which is no text.") from None
    return value


# OpenAI --------------------------------------------------------------------------------------------------------------

# Only one value of each does not ask for something that is not here.
_OFF: dict[str, tuple[Any, ...]] = {
    "n": (1,), "logprobs": (False,), "top_logprobs": (0,), "presence_penalty": (0,), "frequency_penalty": (0,),
    "logit_bias": ({},), "tools": ([],), "functions": ([],), "function_call": ("none",),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},), "modalities": (["text"],), "audio": (), "prediction": (),
    "web_search_options": (),
}  # fmt: skip
_OFF_COMPLETIONS: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logprobs": (0, False), "presence_penalty": (0,),
    "frequency_penalty": (0,), "logit_bias": ({},),
}  # fmt: skip
# These say nothing about the answer.
_ASIDE = (
    "user", "metadata", "store", "service_tier", "stream_options", "parallel_tool_calls", "safety_identifier",
    "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "verbosity",
)  # fmt: skip
_TAKEN = ("model", "stop", "temperature", "seed", "top_p", "max_tokens", "max_completion_tokens", "stream")


def chat_completion(body: Mapping[str, Any]) -> Asked:
    """The body of /v1/chat/completions."""
    fields = Fields(body)
    fields.only(_TAKEN, "messages", _OFF, _ASIDE)
    fields.off(_OFF)
    tokens = fields.whole("max_completion_tokens", 1, TOKENS_ASKED_MAX)
    most = fields.whole("max_tokens", 1, TOKENS_ASKED_MAX)
    prompt = conversation(fields.get("messages"))
    return _openai(fields, prompt, "chat", most if tokens is None else tokens)


def completion(body: Mapping[str, Any]) -> Asked:
    """The body of /v1/completions: one text to be continued."""
    fields = Fields(body)
    fields.only(_TAKEN[:6], "stream", "prompt", _OFF_COMPLETIONS, _ASIDE)
    fields.off(_OFF_COMPLETIONS)
    prompt = fields.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, list):
        raise unsupported("prompt", "prompt is a list.", "Send one text per request.")
    if prompt is None:
        raise bad("prompt", "prompt is missing.", code="missing_required_parameter")
    text = _content(prompt, "prompt")
    if not text.strip():
        raise bad("prompt", "prompt is empty.", "Say something.")
    return _openai(fields, text, "text", fields.whole("max_tokens", 1, TOKENS_ASKED_MAX))


def _openai(fields: Fields, prompt: str, format: str, tokens: int | None) -> Asked:
    stream, options = fields.flag("stream", False), fields.get("stream_options")
    usage = False
    if options is not None:
        if not isinstance(options, dict):
            raise bad("stream_options", "stream_options must be an object.", code="invalid_type")
        usage = Fields(options, "stream_options").flag("include_usage", False)
    return Asked(
        fields.text("model", required=True), prompt, format, tokens, fields.stops("stop"), stream=stream, usage=usage,
        **fields.sampling(),
    )  # fmt: skip


# Ollama --------------------------------------------------------------------------------------------------------------

_OLLAMA_OFF: dict[str, tuple[Any, ...]] = {
    "tools": ([],), "format": ("",), "suffix": ("",), "images": ([],), "context": ([],), "logprobs": (False,),
    "think": (False,), "template": ("",),
}  # fmt: skip
_OPTIONS_OFF: dict[str, tuple[Any, ...]] = {
    "top_k": (0,), "min_p": (0,), "typical_p": (1,), "tfs_z": (1,), "repeat_penalty": (1,), "presence_penalty": (0,),
    "frequency_penalty": (0,), "mirostat": (0,),
}  # fmt: skip


def ollama_chat(body: Mapping[str, Any]) -> Asked | None:
    """The body of /api/chat; None when it only asks whether the model is there."""
    fields = Fields(body)
    fields.off(_OLLAMA_OFF)
    messages = fields.get("messages")
    prompt = conversation(messages) if messages or not isinstance(messages, list | None) else ""
    return _ollama(fields, prompt, "chat")


def ollama_generate(body: Mapping[str, Any]) -> Asked | None:
    """The body of /api/generate; None when it only asks whether the model is there."""
    fields = Fields(body)
    fields.off(_OLLAMA_OFF)
    prompt, system = _content(fields.get("prompt") or "", "prompt"), fields.text("system")
    if fields.flag("raw", False):
        return _ollama(fields, prompt, "text")
    said = [("system", system)] * bool(system) + [("user", prompt)]
    laid_out = conversation([{"role": role, "content": text} for role, text in said]) if prompt.strip() else ""
    return _ollama(fields, laid_out, "chat")


def _ollama(fields: Fields, prompt: str, format: str) -> Asked | None:
    model, stream, given = fields.text("model", required=True), fields.flag("stream", True), fields.get("options")
    if given is not None and not isinstance(given, dict):
        raise bad("options", "options must be an object.", code="invalid_type")
    # A negative number means "no bound" or "any" to these clients.
    given = {name: value for name, value in (given or {}).items() if name not in ("seed", "num_predict") or not (
        isinstance(value, int) and value < 0)}  # fmt: skip
    options = Fields(given, "options")
    options.off(_OPTIONS_OFF)
    tokens = options.whole("num_predict", 1, TOKENS_ASKED_MAX)
    asked = Asked(model, prompt, format, tokens, options.stops("stop"), stream=stream, **options.sampling())
    return asked if prompt.strip() else None
