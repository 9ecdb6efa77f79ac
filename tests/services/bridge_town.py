"""A bridge between a real weave and a wAR process in one hand: what is durable stays when the bridge is killed."""

import json
from pathlib import Path

from services.story import AUTHORITY, Story, named_id
from services.story_link import StoryLink

from puna.arweave.ids import b64url_decode, id_bytes
from puna.arweave.store.sqlite import open_store
from puna.arweave.transaction import sign_transaction
from puna.arweave.wallet import Wallet, load_wallet, new_ed25519_wallet
from puna.arweave.weave import Weave
from puna.clock import Tip
from puna.services import programs
from puna.services.bridge.chain import Chain
from puna.services.bridge.ledger import Ledger
from puna.services.bridge.raising import raise_bridge
from puna.services.bridge.rules import BURN_TX
from puna.services.bridge.unit import Bridge
from puna.services.network import NETWORK_NOTE, Network

OPERATOR = new_ed25519_wallet()
# One real RSA key is enough: to the bridge, the vault's wallet and a depositor are only addresses and signatures.
VAULT = load_wallet(Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json")
WAR = 10**12
START = 10 * WAR
CONFIRMATIONS = 3


class Killed(BaseException):
    """The power went off."""


class Power:
    """Fails after a given number of durable steps: appends to the store and messages handed over."""

    def __init__(self, steps: int | None = None):
        self.left, self.used = steps, 0

    def step(self) -> None:
        if self.left is not None and self.used >= self.left:
            raise Killed
        self.used += 1


class Fragile:
    """A link or a store on that power: it may fail before a step, and after it was done and before anybody knew."""

    def __init__(self, inner, power: Power):
        self._inner, self._power = inner, power

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def submit(self, item):
        self._power.step()
        await self._inner.submit(item)
        self._power.step()

    async def append(self, items, notes={}):  # noqa: B006
        self._power.step()
        await self._inner.append(items, notes)
        self._power.step()


class Town:
    """Make with `founded`. `start` gives a new life to weave and bridge; `end` takes it, in whatever state."""

    def __init__(self, folder: Path, start: int = START):
        self.folder = folder / "weave"
        self.weave: Weave | None = None
        self.now_ms = 1_700_000_000_000
        self.story = Story(clock=self)
        self.token = self.story.spawn(
            "TOKEN", programs.source(programs.TOKEN), owner=OPERATOR.address, Minter=OPERATOR.address
        )
        self.link = StoryLink(self.story)
        self.holder = named_id("HOLDER")
        if start:
            self.story.send(OPERATOR.address, self.token, "Mint", Recipient=self.holder, Quantity=str(start))
        self.network = Network("S" * 43, AUTHORITY, "M" * 43, self.token, named_id("HERDER"))

    def tip(self) -> Tip:
        """The clock of the processes: the weave's height, as in a node."""
        return Tip(self.now_ms, self.weave.tip.height if self.weave else 0)

    async def start(self, power: Power | None = None, chain=Chain) -> Bridge:
        self.store = open_store(self.folder)
        store, link = self.store, self.link
        if power is not None:
            store, link = Fragile(store, power), Fragile(link, power)
        self.weave = await Weave.open(store, OPERATOR, lambda: VAULT)
        self.link.root = ""
        known = store.note(NETWORK_NOTE)
        network = Network.from_json(json.loads(known)) if known else self.network
        self.network = await raise_bridge(
            link, store, OPERATOR, network, self.weave, VAULT.address, confirmations=CONFIRMATIONS
        )
        self.bridge = Bridge(Ledger(link, self.token, OPERATOR), chain(self.weave, VAULT), store, lambda: self.now_ms)
        return self.bridge

    async def end(self) -> None:
        await self.store.close()

    async def restart(self, chain=Chain) -> Bridge:
        await self.end()
        return await self.start(chain=chain)

    async def rest(self) -> None:
        """The bridge does all that can be done without another block."""
        while await self.bridge.step():
            pass

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.weave.mine(even_empty=True)
            self.now_ms += 2000
            await self.rest()

    async def deposit(self, wallet: Wallet, winston: int, tags=(), target: str = VAULT.address):
        """A real transfer, waiting for its block."""
        reward = self.weave.price(0, target)
        await self.weave.grant(wallet.address, winston + reward)
        tx = sign_transaction(
            wallet, last_tx=b64url_decode(self.weave.tip.indep_hash), reward=reward, tags=(("Type", "Transfer"), *tags),
            target=id_bytes(target), quantity=winston,
        )  # fmt: skip
        await self.weave.post(tx)
        return tx

    def burn(self, winston: int, recipient: str, sender: str = "") -> str:
        return self.story.send(
            sender or self.holder, self.token, "Burn", Quantity=str(winston), Recipient=recipient
        ).message

    def balance(self, address: str) -> int:
        answer = self.story.ask(named_id("ANYONE"), self.token, "Balance", Recipient=address)
        return int(answer.data)

    def supply(self) -> int:
        return int(self.story.ask(named_id("ANYONE"), self.token, "Total-Supply").data)

    def payouts(self, burn: str) -> list:
        """The vault's mined transactions that pay this burn."""
        found = []
        for height in range(self.weave.tip.height + 1):
            for id in self.weave.block(height).txs:
                tx = self.weave.transaction(id)
                if tx.address == VAULT.address and (BURN_TX, burn) in tx.tags:
                    found.append(tx)
        return found

    def books(self):
        return self.bridge.status()


async def founded(folder: Path, **options) -> Town:
    town = Town(folder, **options)
    await town.start()
    return town
