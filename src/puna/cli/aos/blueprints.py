"""Where `.load-blueprint` finds its Lua: an item of the weave that bears the blueprint's name."""

from puna.errors import Invalid, Missing

from .net import Net

_SEARCH = """query ($name: String!) { transactions(first: 1, sort: HEIGHT_DESC,
  tags: [{name: "Type", values: ["Blueprint"]}, {name: "Name", values: [$name]}]) { edges { node { id } } } }"""


async def blueprint_source(net: Net, name: str) -> str:
    """The Lua source of a blueprint. Raises Missing when the weave has none of that name."""
    edges = (await net.graphql(_SEARCH, {"name": name}))["transactions"]["edges"]
    if not edges:
        raise Missing(f"There is no blueprint {name} on this network.", "Load a file of yours with .load FILE.lua")
    id = edges[0]["node"]["id"]
    try:
        return (await net.data(id)).decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"The blueprint {name} (item {id}) is not text.") from error
