"""`puna verify`: replays a process from the permanent log, or checks one answer by its receipt, and compares."""

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from puna.cli.show import TakesIds, home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid, Missing, NodeError

STANDING = ("token", "herder", "worker")


@click.command("verify", cls=TakesIds)
@click.argument("what", metavar="ID")
@click.option("--quick", is_flag=True, help="Of an answer: repeat the inference, but do not replay the worker.")
@home_option
@json_option
def command(what: str, quick: bool, home: Path | None, as_json: bool) -> None:
    """Replay a process, or check an answer by its receipt, from the permanent log.

    ID is a process (or token, herder, worker): it is replayed from nothing and compared. Or a receipt, or the payment
    or the response it is about: signatures, payment, attestation and fee are checked, the inference is repeated, and
    the worker is replayed up to its answer, from the checkpoint before it (verify the worker to replay it whole).

    Names the first divergence, and then exits with 1. A running node may go on meanwhile.
    """
    with progress(as_json) as line:
        told = asyncio.run(_verify(home_of(home), what, quick, line))
    if as_json:
        print_json(told.to_json())
    else:
        told.print(what)
    if not told.agrees:
        raise SystemExit(1)


async def _verify(home, what: str, quick: bool, line):
    from puna.arweave.store.sqlite import open_store
    from puna.services.network import standing
    from puna.services.receipts import find_receipt

    if not home.exists():
        raise Missing(f"There is no network in {home.folder}.", "Name its folder with --home, or make one: puna up")
    line("opening the log")
    store = open_store(home.weave, read_only=True)
    try:
        receipt = None if what in STANDING else find_receipt(store, what)
        if receipt is not None:
            return await _verify_answer(home, store, receipt, quick, line)
        process = _named(standing(store), what)
        _refuse_other(store, process)
        async with _machines(home) as (evaluators, _):
            return Replayed(await _replay(store, evaluators, process, line))
    finally:
        await store.close()


def _refuse_other(store, id: str) -> None:
    """Raise for an item that is neither a process nor has a receipt, saying what to give."""
    from puna.ao.message import tag

    item = store.view(id)
    if item is not None and tag(item, "Type") != "Process":
        raise Invalid(
            f"{id} is neither a process nor a message that has a receipt.",
            "Give a process, a receipt, the Transfer that paid, or the Inference-Response that came back.",
        )


@asynccontextmanager
async def _machines(home):
    """An engine and an evaluator of our own: nothing that the node remembers can help it here."""
    from puna.node.engine import EngineProcess
    from puna.vm.evaluators import Evaluators

    with tempfile.TemporaryDirectory(prefix="puna-verify-") as folder:
        engine = EngineProcess(Path(folder) / "engine.sock", None)
        evaluators = Evaluators(weave=home.weave, cache=home.cache, engine=engine.address)
        try:
            await asyncio.gather(engine.start(), evaluators.start(1))
            yield evaluators, engine.address
        finally:
            await evaluators.stop()
            await engine.stop()


async def _replay(store, evaluators, process: str, line):
    from puna.ao.compute.verify import verify
    from puna.node.blocks import blocks_of

    def tell(done: int, total: int) -> None:
        line(f"replaying {done} of {total}")

    return await verify(store, evaluators, process, tell, blocks=blocks_of(store))


async def _replay_message(store, evaluators, process: str, message: str, line):
    from puna.ao.compute.verify import verify_message
    from puna.node.blocks import blocks_of

    def tell(done: int, total: int) -> None:
        line(f"replaying the worker: {done} of {total}")

    return await verify_message(store, evaluators, process, message, tell, blocks=blocks_of(store))


async def _verify_answer(home, store, item, quick: bool, line):
    """Everything about one answer: what the log says, what the model says, what the worker's replay says."""
    from puna.ao.compute.testimony import read_attestation
    from puna.llm.client import EngineClient
    from puna.services.network import standing
    from puna.services.receipts import check, read_receipt
    from puna.services.repeat import repeat

    network = standing(store)
    line("checking signatures")
    checks = check(item, store.view, network.operator if network else "")
    try:
        receipt = read_receipt(item)
    except Invalid:
        return Checked(item, None, checks, None)
    report = None
    async with _machines(home) as (evaluators, engine):
        line("repeating the inference")
        checks += await asyncio.to_thread(repeat, receipt, store, EngineClient(engine))
        attested = store.view(receipt.attestation.id) if receipt.attestation and not quick else None
        if attested is not None:
            message = read_attestation(attested).message
            report = await _replay_message(store, evaluators, receipt.processes.worker, message, line)
    return Checked(item, receipt, checks, report)


@dataclass(frozen=True)
class Replayed:
    """What the replay of a process found."""

    report: Any

    @property
    def agrees(self) -> bool:
        return self.report.agrees

    def to_json(self) -> dict[str, Any]:
        return _report_json(self.report)

    def print(self, name: str) -> None:
        _print_report(name, self.report)


@dataclass(frozen=True)
class Checked:
    """What the check of an answer found; `receipt` None when it cannot be read, `report` when nothing was replayed."""

    item: Any
    receipt: Any
    checks: list
    report: Any

    @property
    def agrees(self) -> bool:
        return all(check.agrees for check in self.checks) and (self.report is None or self.report.agrees)

    def first(self) -> str | None:
        """The first thing that does not agree."""
        wrong = next((str(check) for check in self.checks if not check.agrees), None)
        if wrong is None and self.report is not None and not self.report.agrees:
            wrong = f"replay of the worker: {self.report.first}"
        return wrong

    def to_json(self) -> dict[str, Any]:
        receipt = self.receipt
        return {
            "receipt": self.item.id,
            "agrees": self.agrees,
            "signer": self.item.address,
            "payment": receipt and receipt.payment.id,
            "response": receipt and receipt.messages.response,
            "worker": receipt and receipt.processes.worker,
            "checks": [
                {"what": each.what, "agrees": each.agrees}
                | ({} if each.agrees else {"expected": each.expected, "found": each.found})
                for each in self.checks
            ],
            "first_divergence": self.first(),
            "replay": self.report and _report_json(self.report),
        }

    def print(self, name: str) -> None:
        from puna.services.receipts import lines

        click.echo(f"{name} {'verified' if self.agrees else 'DIVERGES'}")
        click.echo(f"receipt  {self.item.id}\nsigner   {self.item.address}")
        for text in lines(self.checks):
            click.echo(text)
        if self.report is not None:
            ok = "ok  " if self.report.agrees else "NOT "
            since = f"its checkpoint after message {self.report.since}" if self.report.since >= 0 else "nothing"
            root = f", state root {self.report.state_root}"
            click.echo(f"{ok} worker replayed from {since} up to its answer: {self.report.replayed} messages{root}")
        if not self.agrees:
            click.echo(f"first divergence: {self.first()}")


def _named(network, process: str) -> str:
    """An id, or the name of a standing program; of several workers, the first."""
    if process not in STANDING:
        return process
    if network is None:
        raise NodeError("This network was never completely raised.", "Start it once with: puna up")
    return network.workers[0] if process == "worker" else getattr(network, process)


def _report_json(report) -> dict:
    return {
        "process": report.process,
        "agrees": report.agrees,
        "assignments": report.assignments,
        "replayed": report.replayed,
        "attestations": report.attestations,
        "gas": report.gas_used,
        "state_root": report.state_root,
        "since": report.since,
        "divergences": [
            {"nonce": each.nonce, "message": each.message, "field": each.field,
             "expected": each.expected, "found": each.found}
            for each in report.divergences
        ],
    }  # fmt: skip


def _print_report(name: str, report) -> None:
    verdict = "verified" if report.agrees else "DIVERGES"
    click.echo(f"{name} {verdict}")
    click.echo(f"process       {report.process}")
    click.echo(f"replayed      {report.replayed} of {report.assignments} messages, {report.gas_used} gas")
    click.echo(f"attestations  {report.attestations} compared")
    click.echo(f"state root    {report.state_root}")
    if not report.agrees:
        click.echo(f"first divergence: {report.first}")
        if len(report.divergences) > 1:
            click.echo(f"and {len(report.divergences) - 1} more")
