"""Durable steps: the operator's spawns and messages, each done once, whatever kills the node in between.

A step signs its item, writes the item down, and only then hands it over; handing over twice does nothing. So whoever
was killed goes on where it was, with the same ids, whatever kind of key signs. (With Ed25519 the ids are the same even
if the notes are lost, because every anchor is fixed.) Used by genesis.py and stock.py.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from puna.ao.link import Link
from puna.ao.result import Result
from puna.arweave.dataitem import DataItem, decode_item, encode_item
from puna.arweave.store.port import Store
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet
from puna.errors import NodeError

from . import letters, programs
from .network import NETWORK_NOTE, Network
from .outbox import first

PROGRAM = "genesis/program/"  # + process: digest of the program that it has


class Steps:
    """What an operator does on a network. The name of a step says which it is; it must not be used for another.

    `notes` is the prefix of the keys under which items are written down until `done`.
    """

    def __init__(self, notes: str, link: Link, store: Store, operator: Wallet, *, scheduler: str, authority: str):
        self.operator, self.scheduler, self.authority = operator, scheduler, authority
        self._notes, self._link, self._store = notes, link, store

    async def spawn(self, step: str, module: str, program: Path | bytes, tags: Mapping[str, str]) -> str:
        """Spawn a process and see that its program, a file or its text, loaded; returns its id."""
        source = programs.source(program) if isinstance(program, Path) else program
        named = {"Module": module, "Scheduler": self.scheduler, "Authority": self.authority, "On-Boot": "Data"}
        item = await self._written(
            step,
            lambda: letters.process(self.operator, named | tags, source, anchor_of(step)),
            lambda item: {PROGRAM + item.id: digest_of(source)},
        )
        await self._link.submit(item)
        result = await self._link.result(item.id, item.id)
        if result.error is not None:
            raise NodeError(f"The program of the {step} did not load: {result.error}", "This is a fault of Puna's.")
        return item.id

    async def renew(self, process: str, program: Path) -> bool:
        """See that a process of ours has the program as it is now; whether it had an older one.

        The program is loaded into the running process, as its owner may: programs of ours keep what they know then.
        """
        source = programs.source(program)
        digest = digest_of(source)
        if self._store.note(PROGRAM + process) == digest:
            return False
        await self.send(f"renew {digest.hex()} {process}", process, {"Action": "Eval"}, source)
        await self._store.append([], {PROGRAM + process: digest})
        return True

    async def tell(self, step: str, process: str, tags: Mapping[str, str], answer: str) -> None:
        """Send a message as the operator and see that it was answered with that action."""
        result = await self.send(step, process, tags)
        if first(result.messages, answer) is None:
            raise NodeError(f"The step {step} failed: {result.output}", "This is a fault of Puna's.")

    async def send(self, step: str, process: str, tags: Mapping[str, str], data: bytes = b"") -> Result:
        """Send a message as the operator; its result, which is no error."""
        anchor = anchor_of(f"{step} {process}")
        item = await self._written(step, lambda: letters.message(self.operator, process, tags, data, anchor=anchor))
        await self._link.submit(item)
        result = await self._link.result(process, item.id)
        if result.error is not None:
            raise NodeError(f"The step {step} failed: {result.error}", "This is a fault of Puna's.")
        return result

    async def _written(
        self,
        step: str,
        make: Callable[[], DataItem],
        notes: Callable[[DataItem], Mapping[str, bytes]] = lambda item: {},
    ) -> DataItem:
        """The item of a step: the one written down earlier, or a new one, written down along with `notes` of it."""
        key = self._notes + step
        if known := self._store.note(key):
            return decode_item(known)
        item = make()
        await self._store.append([], {key: encode_item(item), **notes(item)})
        return item

    async def done(self, network: Network, notes: Mapping[str, bytes] = {}) -> None:
        """Write down that the network stands like this; the written steps have done their work."""
        steps = {key: None for key, _ in self._store.notes(self._notes)}
        await self._store.append([], {NETWORK_NOTE: msgspec.json.encode(network), **notes, **steps})


def digest_of(source: bytes) -> bytes:
    return sha256(source).digest()


def named_tags(named: Mapping[str, str]) -> Sequence[Tag]:
    return tuple(Tag(name, value) for name, value in named.items())


def anchor_of(step: str) -> bytes:
    """The anchor of a step's item: the same each time, another for each step."""
    return sha256(f"puna genesis {step}".encode()).hexdigest()[:32].encode()
