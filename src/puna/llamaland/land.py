"""What stands in Llama Land: the ids that genesis gives out. Read by the node for `GET /network`, and by clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from puna.arweave.store.port import Store
from puna.errors import Invalid

LAND_NOTE = "land/land"


@dataclass(frozen=True)
class Land:
    """`characters` and `worlds` are process ids by key, `assets` data item ids by file name."""

    coin: str
    characters: Mapping[str, str]
    worlds: Mapping[str, str]
    assets: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0  # grows when a newer version of Puna changes worlds or cast
    digest: str = ""  # of what was raised

    def __getattr__(self, name: str) -> str:
        """A character's id by its key: `land.king`."""
        try:
            return self.__dict__["characters"][name]
        except KeyError:
            raise AttributeError(f"Nobody called {name!r} lives in Llama Land.") from None

    def to_json(self) -> dict[str, Any]:
        """The `land` of `GET /network`."""
        return {
            "coin": self.coin, **self.characters, "worlds": dict(self.worlds), "assets": dict(self.assets),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Land":
        """Undo `to_json`. Raises Invalid when it is no land."""
        try:
            rest = {key: each for key, each in value.items() if key not in ("coin", "worlds", "assets", "live")}
            told = {**value, "characters": rest}
            return msgspec.convert({key: told[key] for key in ("coin", "characters", "worlds", "assets")}, cls)
        except (KeyError, msgspec.ValidationError) as error:
            raise Invalid(f"This does not describe a land: {error}.", "Ask a node that has one.") from error


def standing_land(store: Store) -> Land | None:
    """The land that was raised in this store; None before its genesis is through."""
    known = store.note(LAND_NOTE)
    return msgspec.json.decode(known, type=Land) if known else None
