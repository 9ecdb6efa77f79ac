"""The compute unit's rules: what a module is told, and what its answer means. Pure; called by `unit.py` and verify.

Source: protocol reference 4.5, 4.7, 4.8.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from puna.arweave.archive import Item
from puna.arweave.ids import b64url_encode

from ..assignment import Assignment
from ..message import (
    ProcessId,
    anchor_text,
    is_assigned,
    lenient_text,
    owner_address,
    strict_text,
    tag,
)
from ..result import Result, number_text
from .port import Evaluation

_HIDDEN_TAGS = frozenset(("From", "Owner"))  # a sender must not speak for another by naming it in a tag


def message_json(item: Item, assignment: Assignment) -> bytes:
    """The message object of a scheduled item, its fields in the order of 4.7, as JSON bytes."""
    return msgspec.json.encode(message_of(item, assignment))


def message_of(item: Item, assignment: Assignment) -> dict[str, Any]:
    """The message object of an entry: a message, the process itself, an assigned item or layer-1 transaction."""
    owner, pushed_by = owner_address(item), tag(item, "From-Process")
    boot = item.id == assignment.process
    assigned = is_assigned(item, assignment.process)
    message: dict[str, Any] = {
        "Id": item.id,
        "Signature": b64url_encode(bytes(item.signature)),
        "Data": None if "Data" in assignment.exclude else _text_of(item, boot),
        "Owner": owner,
        "Target": item.target if assigned else assignment.process,
        "Anchor": _gateway_anchor(item) if assigned else anchor_text(item),
        "From": pushed_by or owner,
    }
    if pushed_by is not None and not assigned:
        message["Forwarded-By"] = owner
    message["Tags"] = [{"name": name, "value": value} for name, value in item.tags if name not in _HIDDEN_TAGS]
    for field in assignment.exclude:
        message.pop(field, None)
    message |= {
        "Epoch": assignment.epoch,
        "Nonce": assignment.nonce,
        "Timestamp": assignment.timestamp_ms,
        "Block-Height": assignment.block_height,
        "Hash-Chain": b64url_encode(assignment.hash_chain),
        "Cron": False,
        "Read-Only": False,
    }
    return message


def preview_json(process: ProcessId, body: Mapping[str, Any], timestamp_ms: int, block_height: int) -> bytes:
    """The message object of a dry-run, as JSON bytes. `timestamp_ms` and `block_height` are the last evaluation's.

    Nobody signed it: owner and sender are whoever the body says. Source: 4.5.
    """
    tags = [tag for tag in body.get("Tags") or [] if tag["name"] not in _HIDDEN_TAGS]
    owner = body.get("Owner", "")
    pushed_by = next((tag["value"] for tag in tags if tag["name"] == "From-Process"), None)
    message: dict[str, Any] = {"Id": body.get("Id", "")}
    if "Signature" in body:
        message["Signature"] = body["Signature"]
    message |= {
        "Data": body.get("Data", ""),
        "Owner": owner,
        "Target": body.get("Target") or process,
        "Anchor": body.get("Anchor"),
        "From": pushed_by or body.get("From") or owner,
        "Tags": tags,
        "Timestamp": _whole(body.get("Timestamp"), timestamp_ms),
        "Block-Height": _whole(body.get("Block-Height"), block_height),
        "Cron": False,
        "Read-Only": True,
    }
    return msgspec.json.encode(message)


def result_of(evaluation: Evaluation) -> Result:
    """What an evaluation means: a number to be shown becomes text, arrays that are missing are empty."""
    output = "" if evaluation.output is None else evaluation.output
    result = Result(
        messages=_array(evaluation.messages),
        spawns=_array(evaluation.spawns),
        assignments=_array(evaluation.assignments),
        output=number_text(output) if isinstance(output, (int, float)) and not isinstance(output, bool) else output,
        error=evaluation.error,
        gas_used=evaluation.gas_used,
    )
    try:
        result.encode()
    except UnicodeEncodeError:
        # A module may write half a surrogate pair; no JSON text can carry it to a client.
        return Result.from_json(_mend(result.to_json()))
    return result


def _mend(value: Any) -> Any:
    """The same JSON value, characters that no encoding has replaced by question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, (list, tuple)):
        return [_mend(element) for element in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(element) for key, element in value.items()}
    return value


def _array(entries: Any) -> tuple[Any, ...]:
    # An empty Lua table may come out as an object; anything else that is no array is no outbox.
    return tuple(entries) if isinstance(entries, (list, tuple)) else ()


def _text_of(item: Item, boot: bool) -> str | None:
    return strict_text(item.data) if boot else lenient_text(item.data)


def _gateway_anchor(item: Item) -> str:
    return b64url_encode(bytes(item.anchor))


def _whole(value: Any, default: int) -> int:
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError):
        return default
