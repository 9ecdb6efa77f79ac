"""`puna verify`: replays a process from the permanent log and compares every result and state root."""

import asyncio
import tempfile
from pathlib import Path

import click

from puna.cli.show import TakesIds, home_of, home_option, json_option, print_json, progress
from puna.errors import Missing, NodeError

STANDING = ("token", "herder", "worker")


@click.command("verify", cls=TakesIds)
@click.argument("process")
@home_option
@json_option
def command(process: str, home: Path | None, as_json: bool) -> None:
    """Replay PROCESS (an id, or token, herder, worker) from the log, from nothing, and compare.

    Names the first divergence, and then exits with 1. A running node may go on meanwhile.
    """
    with progress(as_json) as line:
        report = asyncio.run(_verify(home_of(home), process, line))
    if as_json:
        print_json(_report_json(report))
    else:
        _print_report(process, report)
    if not report.agrees:
        raise SystemExit(1)


async def _verify(home, process: str, line):
    from puna.ao.compute.verify import verify
    from puna.arweave.store.sqlite import open_store
    from puna.node.blocks import blocks_of
    from puna.node.engine import EngineProcess
    from puna.services.network import standing
    from puna.vm.evaluators import Evaluators

    if not home.exists():
        raise Missing(f"There is no network in {home.folder}.", "Name its folder with --home, or make one: puna up")
    line("opening the log")
    store = open_store(home.weave, read_only=True)
    try:
        process_id = _named(standing(store), process)
        # An engine and an evaluator of our own: nothing that the node remembers can help it here.
        with tempfile.TemporaryDirectory(prefix="puna-verify-") as folder:
            engine = EngineProcess(Path(folder) / "engine.sock", None)
            evaluators = Evaluators(weave=home.weave, cache=home.cache, engine=engine.address)
            try:
                await asyncio.gather(engine.start(), evaluators.start(1))
                report = await verify(
                    store, evaluators, process_id,
                    lambda done, total: line(f"replaying {done} of {total}"),
                    blocks=blocks_of(store),
                )  # fmt: skip
            finally:
                await evaluators.stop()
                await engine.stop()
    finally:
        await store.close()
    return report


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
