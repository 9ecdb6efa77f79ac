"""Raises a network: publishes modules and model, spawns token, herder and workers, and introduces them to each other.

Called when a node starts, every time: what is there already is left as it is, but for programs of an earlier version,
which get the present one. It goes in durable steps (steps.py), so a genesis that was killed anywhere goes on where it
was.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec

import puna.vm
from puna.ao.compute.program import ENCODING, MODULE_FORMAT_OURS
from puna.ao.link import Link
from puna.ao.message import VARIANT
from puna.arweave.store.port import Store
from puna.arweave.wallet import Wallet
from puna.errors import Missing
from puna.llm.gguf import open_gguf

from . import programs
from .herder.batch import BATCH
from .network import Model, Network, Worker, standing
from .steps import Steps, named_tags

MODULE_FILE = Path(puna.vm.__file__).parent / "module" / "_built" / "puna-lua.wasm"
SQLITE_MODULE_FILE = MODULE_FILE.with_name("puna-sqlite.wasm")
MODULE_MEMORY = "512-mb"
MODULE_GAS = "100000000000"  # about a minute and a half of an endless loop

WORKERS_DEFAULT = 2  # of a new network
WORKERS_OF_ADDED_MODEL = 1
# A large model takes its time, and rows that are computed beside others cost little: what comes while others are at
# work should find a worker (decision 0027). For a small one more workers only mean more messages.
LARGE_MODEL_BYTES = 32 << 20
WORKERS_OF_LARGE_MODEL = 4
BASE_FEE = 1  # winston, as the published herder asks
TOKEN_FEE = 1
START_WINSTON = 10 * 10**12  # 10 wAR to try things with
MODEL_NAME_MAX = 64

_PLAN = "genesis/plan"
_MODEL = "genesis/model/"


async def genesis(
    link: Link,
    store: Store,
    operator: Wallet,
    *,
    scheduler: str,
    authority: str,
    user: str,
    model: Path,
    workers: int | None = None,
    module: Path = MODULE_FILE,
    sqlite_module: Path = SQLITE_MODULE_FILE,
    progress: Callable[[str], None] = lambda step: None,
) -> Network:
    """The network of this store, raised or completed as needed.

    `scheduler` and `authority` are the addresses of scheduler and messenger; `user` gets the start balance, once.
    `model` is served by `workers` workers at least; with None, by as many as serve it now, or a few for a new one.
    Raises NodeError when a standing program does not come up.
    """
    steps = Steps("genesis/step/", link, store, operator, scheduler=scheduler, authority=authority)
    raising = _Raising(steps, store, progress)
    network = standing(store) or await raising.standing_programs(model, module, user)
    network = await raising.publish_sqlite(network, sqlite_module)
    network = await raising.serve(network, model, workers)
    return await raising.renew(network)


class _Raising:
    """One run of genesis."""

    def __init__(self, steps: Steps, store: Store, progress: Callable[[str], None]):
        self.steps, self.store, self.progress = steps, store, progress
        self.operator = steps.operator

    async def standing_programs(self, path: Path, module: Path, user: str) -> Network:
        """A network without workers; not yet written down as raised."""
        model = await self._planned_model(path)
        self.progress("publishing the module")
        module_id = await self._publish_module(module)
        self.progress("spawning the token")
        token = await self.steps.spawn(
            "token", module_id, programs.TOKEN,
            {"Name": "Wrapped AR", "Ticker": "wAR", "Denomination": "12", "Minter": self.operator.address},
        )  # fmt: skip
        self.progress("spawning the herder")
        herder = await self.steps.spawn(
            "herder", module_id, programs.HERDER,
            {"Name": "Llama Herder", "Token": token, "Model": model.id, "Extension": "Llama",
             "Base-Fee": str(BASE_FEE), "Token-Fee": str(TOKEN_FEE)},
        )  # fmt: skip
        mint = {"Action": "Mint", "Recipient": user, "Quantity": str(START_WINSTON)}
        await self.steps.tell("mint", token, mint, "Mint-Notice")
        return Network(
            self.steps.scheduler, self.steps.authority, module_id, token, herder, (model,),
            operator=self.operator.address,
        )  # fmt: skip

    async def publish_sqlite(self, network: Network, module: Path) -> Network:
        """The network with the module that has SQLite: nothing of it is compiled before a process asks for it."""
        if network.sqlite_module:
            return network
        network = replace(network, sqlite_module=await self._publish_module(module))
        if standing(self.store):
            await self.steps.done(network)
        return network

    async def serve(self, network: Network, path: Path, workers: int | None) -> Network:
        """The network with `path` among its models and enough workers for each, written down."""
        model = await self._publish_model(path)
        models = network.models if model in network.models else (*network.models, model)
        missing: list[Model] = []
        for place, served in enumerate(models):
            there = sum(worker.model == served.id for worker in network.herd)
            wanted = there or self._workers_of_new(served, is_first=place == 0)
            if served == model and workers is not None:
                wanted = workers
            missing += [served] * (wanted - there)
        if models == network.models and not missing:
            return network
        self.progress("spawning workers")
        numbered = enumerate(missing, start=len(network.herd) + 1)
        joined = await asyncio.gather(*(self._spawn_worker(network, served, number) for number, served in numbered))
        network = replace(network, models=models, herd=(*network.herd, *joined))
        await self.steps.done(network)
        return network

    def _workers_of_new(self, model: Model, *, is_first: bool) -> int:
        item = self.store.view(model.id)
        if item is not None and item.data_bytes >= LARGE_MODEL_BYTES:
            return WORKERS_OF_LARGE_MODEL
        return WORKERS_DEFAULT if is_first else WORKERS_OF_ADDED_MODEL

    async def renew(self, network: Network) -> Network:
        """See that every standing program is as it is in this version of Puna: homes outlive versions."""
        herd = ((worker, programs.WORKER) for worker in network.workers)
        # Where there is a bridge, the token's program is loaded with the bridge's (bridge/raising.py).
        token = () if network.vault else ((network.token, programs.TOKEN),)
        standing_programs = (*token, (network.herder, programs.HERDER), *herd)
        renewed = [await self.steps.renew(process, program) for process, program in standing_programs]
        if any(renewed):
            self.progress("brought the programs up to date")
            await self.steps.done(network)
        return network

    async def _spawn_worker(self, network: Network, model: Model, number: int) -> Worker:
        worker = await self.steps.spawn(
            f"worker {number} {model.id}", network.module, programs.WORKER,
            {"Name": f"Llama Worker {number}", "Extension": "Llama", "Herder": network.herder, "Model": model.id},
        )  # fmt: skip
        register = {
            "Action": "Register-Worker", "Worker": worker, "Model": model.id, "Model-Name": model.name,
            "Batch": str(BATCH),
        }  # fmt: skip
        await self.steps.tell(f"register {worker}", network.herder, register, "Worker-Registered")
        return Worker(worker, model.id)

    # Publishing

    async def _publish_module(self, path: Path) -> str:
        if not path.is_file():
            raise Missing(f"The Lua module {path} is not built.", "Install the package again; it is built then.")
        tags = {
            "Data-Protocol": "ao", "Variant": VARIANT.value, "Type": "Module", "Name": path.stem,
            "Module-Format": MODULE_FORMAT_OURS,
            "Input-Encoding": ENCODING, "Output-Encoding": ENCODING, "Memory-Limit": MODULE_MEMORY,
            "Compute-Limit": MODULE_GAS, "Content-Type": "application/wasm",
        }  # fmt: skip
        return (await self.store.append_file(self.operator, path, named_tags(tags))).id

    async def _planned_model(self, path: Path) -> Model:
        """The first model. A genesis that was killed keeps to the one it had begun with."""
        if known := self.store.note(_PLAN):
            return msgspec.json.decode(known, type=Model)
        self.progress("publishing the model")
        model = await self._publish_model(path)
        await self.store.append([], {_PLAN: msgspec.json.encode(model)})
        return model

    async def _publish_model(self, path: Path) -> Model:
        """The model's item; a file that was published is known by place, size and time, and not read again."""
        key = _MODEL + _stamp(path)
        if known := self.store.note(key):
            model = msgspec.json.decode(known, type=Model)
            if self.store.view(model.id) is not None:
                return model
        name = await asyncio.to_thread(_checked_name, path)
        tags = {"Type": "Model", "Format": "GGUF", "Name": name, "Content-Type": "application/octet-stream"}
        item = await self.store.append_file(self.operator, path, named_tags(tags))
        model = Model(item.id, name)
        await self.store.append([], {key: msgspec.json.encode(model)})
        return model


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise Missing(f"There is no model file {path}.", "Name a GGUF file that exists.") from error
    return sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()


def _checked_name(path: Path) -> str:
    """The name a GGUF gives itself, else its file's.

    Reads all weights once, for what is published cannot be taken back. Raises Invalid when the file is no model or
    its weights are no numbers.
    """
    from puna.llm.kernel import validate

    gguf = open_gguf(path)
    validate(gguf)
    return (gguf.text("general.name", "").strip() or path.stem)[:MODEL_NAME_MAX]
