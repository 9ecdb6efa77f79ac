"""From the JSON a module answers with to a result: the rules of one evaluation, without the machine.

Called by `process.py`, which must know whether to keep the memory, and by `evaluators.py`, which hands the result on.
Source: protocol reference 4.8.
"""

import json
from typing import Any

import msgspec

from .program import Evaluation

# A process may set `Output` to this to have its memory taken back without an error.
NO_BUFFER = "not enough memory for buffer allocation"


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One evaluation as evaluators tell it: the module's own words, and the state after them.

    `answer` is the module's JSON; None when `stopped` says why there is none.
    """

    answer: bytes | None
    stopped: str | None
    gas_used: int
    state_root: bytes
    memory_bytes: int
    held_bytes: int = 0

    def evaluation(self) -> Evaluation:
        reading = read_answer(self.answer, self.stopped)
        return Evaluation(
            reading.output,
            reading.messages,
            reading.spawns,
            reading.assignments,
            reading.error,
            self.gas_used,
            self.state_root,
            self.memory_bytes,
            self.held_bytes,
        )


class Reading(msgspec.Struct, frozen=True):
    """A module's answer, understood. `keeps` tells whether the memory behind it is kept."""

    output: Any
    messages: list[Any]
    spawns: list[Any]
    assignments: list[Any]
    error: str | None
    keeps: bool


def read_answer(answer: bytes | None, stopped: str | None) -> Reading:
    """What `handle` answered, or why it did not (`stopped`)."""
    if answer is None:
        return failure(stopped or "the module gave no answer")
    try:
        told = decode(answer)
    except (ValueError, RecursionError) as error:
        return failure(f"the module's answer is not JSON: {error}")
    if not isinstance(told, dict):
        return failure("the module's answer is not an object")
    response = told.get("response")
    if told.get("ok") is not True:
        return failure(text_of(response) or "the module failed without a reason")
    return read_response(response if isinstance(response, dict) else {})


def read_response(response: dict[str, Any]) -> Reading:
    output = response.get("Output", "")
    error = response.get("Error")
    return Reading(
        output=output,
        messages=list_of(response.get("Messages")),
        spawns=list_of(response.get("Spawns")),
        assignments=list_of(response.get("Assignments")),
        error=text_of(error) if error else None,
        keeps=not error and not wants_memory_back(output),
    )


def failure(text: str) -> Reading:
    return Reading("", [], [], [], text, keeps=False)


def wants_memory_back(output: Any) -> bool:
    if isinstance(output, dict) and isinstance(output.get("data"), dict):
        output = output["data"].get("output")
    return isinstance(output, str) and output.endswith(NO_BUFFER)


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def decode(answer: bytes) -> Any:
    """JSON as modules write it: Lua strings are bytes, and need be neither UTF-8 nor well paired surrogates."""
    try:
        return msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        lenient = json.loads(answer.decode("utf-8", "replace"), strict=False, parse_constant=lambda name: None)
        clean = json.dumps(lenient, ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.json.decode(clean)
