"""What stands in a network: the ids that genesis gives out and every client begins with.

Written by `genesis.py`; read by the node, by commands, and by whoever asks a gateway for `/network`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from puna.arweave.store.port import Store
from puna.errors import Invalid, Missing

NETWORK_NOTE = "genesis/network"


@dataclass(frozen=True)
class Model:
    """A published model: the id of the item with its weights, and the name the file gives itself."""

    id: str
    name: str


@dataclass(frozen=True)
class Worker:
    """A standing worker and the model it runs."""

    id: str
    model: str


@dataclass(frozen=True)
class Network:
    """The ids of everything that stands. The first of `models` is the one that runs when none is named."""

    scheduler: str
    authority: str
    module: str
    token: str
    herder: str
    models: tuple[Model, ...] = ()
    herd: tuple[Worker, ...] = ()
    sqlite_module: str = ""  # `module` with SQLite; a network raised before there was one gets it at its next start
    registry: str = ""  # of packages; empty on a network raised before there was one, until genesis runs again
    vault: str = ""  # the bridge's layer-1 address; empty on a network without a bridge, until its next start
    operator: str = ""  # the address that owns the programs and publishes their blueprints; empty likewise

    @property
    def model(self) -> str:
        return self.models[0].id

    @property
    def workers(self) -> tuple[str, ...]:
        return tuple(worker.id for worker in self.herd)

    def model_id(self, wanted: str) -> str:
        """The id of a model given by id or by name. Raises Missing with what there is."""
        for model in self.models:
            if wanted in (model.id, model.name):
                return model.id
        names = ", ".join(f"{model.name} ({model.id})" for model in self.models)
        raise Missing(f"This network has no model {wanted}.", f"It has {names}.")

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready values, for notes and for those who ask a gateway."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Network":
        """Undo `to_json`. Raises Invalid when it is no network."""
        try:
            return msgspec.convert(value, cls)
        except msgspec.ValidationError as error:
            raise Invalid(f"This does not describe a network: {error}.", "Ask a node of Puna.") from error


def standing(store: Store) -> Network | None:
    """The network that was raised in this store; None before its first genesis is through."""
    known = store.note(NETWORK_NOTE)
    return Network.from_json(msgspec.json.decode(known)) if known else None
