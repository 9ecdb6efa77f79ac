"""Where `.load-blueprint` finds its Lua: on the weave, by name, from somebody whom the person has reason to believe."""

from collections.abc import Sequence

from puna.errors import Invalid, Missing

from .net import Net


async def blueprint_source(net: Net, owners: Sequence[str], name: str) -> str:
    """The Lua source of a blueprint by the first of `owners` who published one of that name.

    Raises Missing with the names there are when none has, Invalid when it is not what its item says.
    """
    try:
        from puna.services.blueprints.client import GatewayShelf, find_blueprint
    except ModuleNotFoundError:
        raise Missing(f"There is no blueprint {name} here.", "Load a file of yours with .load FILE.lua") from None
    if not net.doors.gateway:
        raise Invalid("No gateway was named, so nothing can be looked up.", "Name it with --gateway-url.")
    async with GatewayShelf(net.doors.gateway) as shelf:
        return await find_blueprint(shelf, [owner for owner in owners if owner], name)
