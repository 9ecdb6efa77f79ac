"""Several jobs in one message: what the herder gives a worker at once, and what the worker answers.

Both are JSON arrays in the data of a message. Each element has the tags and, under `Data`, the data of the message that
there would be for the job by itself. Read by the herder's clients and by receipts, so that for them it makes no
difference with how many others a job was run.
"""

from collections.abc import Iterable

import msgspec

from ..outbox import Sent

BATCH = 8  # jobs that our worker takes at once
ORDERS = "Inference-Batch"
ANSWERS = "Inference-Batch-Response"
PLACE = "Place"  # the tag under which a reader finds the place of a job among those of its message


def unfolded(entries: Iterable[Sent]) -> list[Sent]:
    """The messages of an outbox; in the place of one that holds several jobs, one for each of them."""
    found: list[Sent] = []
    for entry in entries:
        found += parts(entry) if entry.action in (ORDERS, ANSWERS) else [entry]
    return found


def parts(entry: Sent) -> list[Sent]:
    """What one message says of each of several jobs. An element that is none is left out."""
    try:
        elements = msgspec.json.decode(entry.data)
    except msgspec.MsgspecError:
        return []
    each_is = {"Action": "Inference"} if entry.action == ORDERS else {}
    return [
        Sent(entry.target, _told(element) | each_is | {PLACE: str(place)}, _text(element.get("Data")))
        for place, element in enumerate(elements if isinstance(elements, list) else ())
        if isinstance(element, dict)
    ]


def _told(element: dict) -> dict[str, str]:
    return {name: value for name, value in element.items() if isinstance(value, str) and name != "Data"}


def _text(data: object) -> str:
    return data if isinstance(data, str) else ""
