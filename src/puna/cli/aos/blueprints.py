"""Where `.load-blueprint` finds its Lua: on the weave, by name, from somebody whom the person has reason to believe."""

from collections.abc import Sequence

from puna.errors import Invalid, Missing

from .net import Net


async def blueprint_source(net: Net, owners: Sequence[str], name: str) -> str:
    """The Lua source of a blueprint by the first of `owners` who published one of that name.

    Raises Missing with the names there are when none has, Invalid when it is not what its item says.
    """
    client = _client(net)
    async with client.GatewayShelf(net.doors.gateway) as shelf:
        return await client.find_blueprint(shelf, [owner for owner in owners if owner], name)


async def blueprint_names(net: Net, owners: Sequence[str]) -> list[str]:
    """The names that `blueprint_source` would find. Raises as it does."""
    client = _client(net)
    async with client.GatewayShelf(net.doors.gateway) as shelf:
        return [found.name for found in await client.list_blueprints(shelf, [owner for owner in owners if owner])]


def _client(net: Net):
    try:
        from puna.services.blueprints import client
    except ModuleNotFoundError:
        raise Missing("There is no blueprint here.", "Load a file of yours with .load FILE.lua") from None
    if not net.doors.gateway:
        raise Invalid("No gateway was named, so nothing can be looked up.", "Name it with --gateway-url.")
    return client
