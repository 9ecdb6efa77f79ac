"""Where `.load-blueprint` finds its Lua: on the weave, by name, from somebody whom the person has reason to believe."""

from collections.abc import Sequence

from puna.errors import Invalid
from puna.services.blueprints.client import GatewayShelf, find_blueprint, list_blueprints

from .net import Net


async def blueprint_source(net: Net, owners: Sequence[str], name: str) -> str:
    """The Lua source of a blueprint by the first of `owners` who published one of that name.

    Raises Missing with the names there are when none has, Invalid when it is not what its item says.
    """
    async with _shelf(net) as shelf:
        return await find_blueprint(shelf, [owner for owner in owners if owner], name)


async def blueprint_names(net: Net, owners: Sequence[str]) -> list[str]:
    """The names that `blueprint_source` would find. Raises as it does."""
    async with _shelf(net) as shelf:
        return [found.name for found in await list_blueprints(shelf, [owner for owner in owners if owner])]


def _shelf(net: Net) -> GatewayShelf:
    if not net.doors.gateway:
        raise Invalid("No gateway was named, so nothing can be looked up.", "Name it with --gateway-url.")
    return GatewayShelf(net.doors.gateway)
