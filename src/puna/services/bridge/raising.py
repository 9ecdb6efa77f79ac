"""Gives a network its bridge: the rules into the wAR process, AR into the vault for the wAR that is there already.

Called by nodes that stay, after genesis; a network raised by an older version gets its bridge at its next start. It
goes in durable steps (steps.py). From the moment the rules are loaded nobody mints or burns until the vault is set, so
the supply that the vault is endowed for stands still in between.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from puna.ao.link import Link
from puna.arweave.store.port import Store
from puna.arweave.wallet import Wallet
from puna.arweave.weave import Weave
from puna.errors import Invalid

from .. import programs
from ..network import Network
from ..steps import Steps
from ..token.client import info
from .unit import SAFE

CONFIRMATIONS_LOCAL = 3  # nobody reorganises a weave with one miner; what is shown is the way, not the wait
_LOADED = "genesis/bridge"  # digest of the rules that were loaded last


async def raise_bridge(
    link: Link,
    store: Store,
    operator: Wallet,
    network: Network,
    weave: Weave,
    vault: str,
    *,
    confirmations: int = CONFIRMATIONS_LOCAL,
    progress: Callable[[str], None] = lambda step: None,
) -> Network:
    """The network with its bridge; `vault` is the address of the vault's wallet.

    Raises Invalid when the network has another vault, NodeError when the rules do not load.
    """
    if network.vault and network.vault != vault:
        raise Invalid(
            f"This network's vault is {network.vault}, and keys/vault.json in the home is the key of {vault}.",
            "Put the vault's own key back: the AR behind all wAR is there.",
        )
    # The token's own program takes Mint back, so both are loaded together, in one message.
    source = programs.source(programs.TOKEN) + b"\n" + programs.source(programs.BRIDGE)
    digest = sha256(source).hexdigest()
    if network.vault and store.note(_LOADED) == digest.encode():
        return network
    progress("building the bridge")
    steps = Steps(
        "genesis/bridge-step/", link, store, operator, scheduler=network.scheduler, authority=network.authority
    )  # fmt: skip
    await steps.send(f"bridge {digest}", network.token, {"Action": "Eval"}, source)
    notes = {_LOADED: digest.encode()}
    if not network.vault:
        notes[SAFE] = b"%d" % weave.tip.height
        await weave.endow(vault, (await info(link, network.token)).supply)
        tags = {"Action": "Set-Bridge", "Vault": vault, "Confirmations": str(confirmations)}
        await steps.tell("open bridge", network.token, tags, "Bridge-Set")
    network = replace(network, vault=vault)
    await steps.done(network, notes)
    return network
