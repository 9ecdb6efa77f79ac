"""Puts the package registry, packages and blueprints of this version of Puna on a network.

Called by nodes after genesis, but by none that only asks one question. What is published already is left as it is, and
when nothing is new it costs the reading of a few files. It goes in durable steps (steps.py), as genesis does.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256

import msgspec

from puna.ao.link import Link
from puna.arweave.store.port import Query, Store
from puna.arweave.wallet import Wallet
from puna.errors import NodeError

from . import programs
from .apm.packages import PACKAGES, VENDORS, Package
from .blueprints.client import HASH, NAME, TYPE, blueprint_item, digest
from .blueprints.index import BLUEPRINTS, blueprint_source
from .network import Network
from .outbox import sent
from .steps import Steps, anchor_of

_PACKAGE = "genesis/package/"  # + @vendor/name@version: it was published
_SHELF = "genesis/shelf"  # digest of what was published last


async def stock(
    link: Link,
    store: Store,
    operator: Wallet,
    network: Network,
    *,
    progress: Callable[[str], None] = lambda step: None,
) -> Network:
    """The network with a registry, and with every package and blueprint published that is not yet.

    Raises NodeError when the registry does not come up or refuses a package.
    """
    if network.registry and store.note(_SHELF) == _digest(network, operator.address):
        return network
    progress("stocking the package registry")
    steps = Steps(
        "genesis/stock/", link, store, operator, scheduler=network.scheduler, authority=network.authority
    )  # fmt: skip
    registry = network.registry or await steps.spawn(
        "registry", network.module, programs.REGISTRY, {"Name": "Packages", "Vendors": ",".join(VENDORS)}
    )
    network = replace(network, registry=registry, operator=operator.address)
    ids = _ids(network)
    await _publish_blueprints(store, operator, ids)
    published = [await _publish(steps, registry, package, ids) for package in PACKAGES if not _known(store, package)]
    notes = {_PACKAGE + full: b"" for full in published}
    await steps.done(network, {_SHELF: _digest(network, operator.address), **notes})
    return network


def _ids(network: Network) -> dict[str, str]:
    """The standing processes that blueprints and packages may know."""
    return {"registry": network.registry, "token": network.token, "herder": network.herder}


def _digest(network: Network, operator: str) -> bytes:
    """Equal when there is nothing to publish that was not published last time."""
    ids = _ids(network)
    whole = sha256(operator.encode())
    for row in BLUEPRINTS:
        whole.update(row.name.encode() + blueprint_source(row, ids))
    for package in PACKAGES:
        whole.update(package.full.encode())
    return whole.digest()


async def _publish_blueprints(store: Store, operator: Wallet, ids: Mapping[str, str]) -> None:
    """One append for all whose text is not that of the newest item of their name."""
    items = []
    for row in BLUEPRINTS:
        source = blueprint_source(row, ids)
        tags = (("Type", (TYPE,)), (NAME, (row.name,)))
        newest = store.find(Query(owners=(operator.address,), tags=tags, limit=1, newest_first=True))
        if newest and (HASH, digest(source)) in newest[0].item.tags:
            continue
        # A text that is wanted again after another one needs another anchor, or it would be the old item.
        before = newest[0].item.id if newest else ""
        items.append(blueprint_item(operator, row.name, source, anchor_of(f"blueprint {row.name} {before}")))
    if items:
        await store.append(items)


def _known(store: Store, package: Package) -> bool:
    return store.note(_PACKAGE + package.full) is not None


async def _publish(steps: Steps, registry: str, package: Package, ids: Mapping[str, str]) -> str:
    """Publish one package; returns its full name."""
    data = {"source": package.stamped_source(ids), "readme": package.description}
    tags = {
        "Action": "APM.Publish", "Vendor": package.vendor, "Name": package.name, "Version": package.version,
        "Description": package.description, "Keywords": msgspec.json.encode(package.keywords).decode(),
        "Warnings": msgspec.json.encode(package.warnings).decode(),
    }  # fmt: skip
    result = await steps.send(f"publish {package.full}", registry, tags, msgspec.json.encode(data))
    answer = next(iter(sent(result.messages)), None)
    if answer is None or answer.tags.get("Result") != "success":
        why = answer.data if answer else result.output
        raise NodeError(f"The registry refused {package.full}: {why}", "This is a fault of Puna's.")
    return package.full
