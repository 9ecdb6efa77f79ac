"""What a request would cost before it is paid: price, place, time, memory. Called by `puna quote` and the doors."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from puna.ao.link import Link

from ..network import Network
from .client import Prices, Quote, Request, check_request, prices, quote

if TYPE_CHECKING:
    from puna.llm.models import ModelInfo


@dataclass(frozen=True)
class Memory:
    """Bytes: `weights` are mapped once for all workers of a machine, `context` is this request's while it runs."""

    weights: int
    context: int


@dataclass(frozen=True)
class Offer:
    """A quote with all that stands around it. `memory` is None where the model's file is not on this machine."""

    quote: Quote
    prices: Prices
    model_name: str
    memory: Memory | None

    def to_json(self) -> dict[str, Any]:
        """Field names are part of the interface."""
        asked, memory = self.quote, self.memory
        return {
            "price_winston": asked.price,
            "needed_winston": asked.needed,
            "base_fee_winston": self.prices.base_fee,
            "token_fee_winston": self.prices.token_fee,
            "multiplier": self.prices.multiplier,
            "prompt": {"count": asked.prompt_count, "counted": asked.counted},
            "tokens": asked.tokens,
            "model": self.model_name,
            "model_id": asked.model,
            "queue": {"length": asked.queue_length, "ahead": asked.ahead},
            "workers": {"idle": self.prices.workers_idle, "in_service": self.prices.workers_in_service},
            "seconds": {
                "wait": asked.wait_ms / 1000,
                "generate": asked.duration_ms / 1000,
                "total": (asked.wait_ms + asked.duration_ms) / 1000,
            },
            "memory_bytes": memory and {"weights": memory.weights, "context": memory.context},
        }


async def offer(
    link: Link,
    network: Network,
    prompt: str,
    tokens: int,
    *,
    model: str | None = None,
    system: str | None = None,
    model_file: Callable[[str], Path | None] = lambda id: None,
) -> Offer:
    """What the herd would take for `tokens` tokens after `prompt`, now; nothing is paid and nothing reserved.

    `model` is a name or an id; `model_file` finds a model's file by its id. Raises Invalid for what cannot be run.
    """
    check_request(Request(prompt, tokens, model, system=system))
    asked = await quote(link, network.herder, prompt, tokens, model=model, system=system)
    known = {each.id: each.name for each in network.models}
    file = model_file(asked.model)
    memory = None
    if file is not None:
        from puna.llm.models import read_info

        memory = memory_of(await asyncio.to_thread(read_info, file), asked)
    return Offer(asked, await prices(link, network.herder), known.get(asked.model, asked.model), memory)


def memory_of(info: "ModelInfo", asked: Quote) -> Memory:
    positions = min(asked.prompt_count + asked.tokens, info.context)
    return Memory(info.file_bytes, positions * info.kv_bytes)
