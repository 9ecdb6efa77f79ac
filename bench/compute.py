"""How many messages a second a compute unit evaluates: the reference loader, our host on the same module, our module.

    python bench/compute.py [--rounds N] [--messages N]

One process each, warm, with 10,000 balances; every message is a token transfer. In rounds by turns, so that a busy
machine hurts all sides alike:

  reference   @permaweb/ao-loader as the reference compute unit uses it: whole memories in and out
  published   the same module (aos2_0_6.wasm) on our host: evaluated, memory kept, rolled back on error
  ours        the same Lua on our own module

Ours are printed three times. *In a row*: messages that wait for one process, as a lane of an evaluator works them off,
each answered with the state root of its new memory (what attestations carry, and the reference does not have); where
the machine has a core to spare, the root of one is computed while the next is evaluated. *One by one*: the same, where
each message is sent after the answer to the one before. *Evaluation*: the module alone, no memory kept and no root.
Needs node and npm; the module and the loader come from npm into `.npm-cache`. Figures are messages a second, medians
over rounds, and the ratio to the reference; beside them milliseconds of processor time a message, of all threads, which
tell more on a busy machine. The goals are for messages in a row.

Then where the time of one message goes, one by one, in microseconds.
"""

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from vm.published import samples  # noqa: E402

from puna.vm import evaluator, frames  # noqa: E402
from puna.vm.process import Process  # noqa: E402
from puna.vm.result import read_answer  # noqa: E402

OUR_MODULE = ROOT / "src/puna/vm/module/_built/puna-lua.wasm"
GOALS = {"published": 40, "ours": 120}
BALANCES = 10_000

TOKEN = """
Balances = {}
for i = 1, COUNT do Balances[('holder%037d'):format(i)] = '1000000' end
Handlers.add('Transfer', Handlers.utils.hasMatchingTag('Action', 'Transfer'), function(msg)
  local from, to, quantity = msg.From, msg.Tags.Recipient, tonumber(msg.Tags.Quantity)
  local balance = tonumber(Balances[from] or '0')
  if balance < quantity then
    ao.send({Target = from, Action = 'Transfer-Error', Error = 'Insufficient Balance!'})
    return
  end
  Balances[from] = tostring(balance - quantity)
  Balances[to] = tostring(tonumber(Balances[to] or '0') + quantity)
  ao.send({Target = from, Action = 'Debit-Notice', Recipient = to, Quantity = tostring(quantity)})
  ao.send({Target = to, Action = 'Credit-Notice', Sender = from, Quantity = tostring(quantity)})
end)
return 'ready'
""".replace("COUNT", str(BALANCES))


def holder(number: int) -> str:
    return f"holder{number % BALANCES + 1:037d}"


def transfers(first: int, count: int) -> list[dict]:
    return [
        samples.message(
            number, "", sender=holder(number), Action="Transfer", Recipient=holder(number * 7), Quantity="1"
        )
        for number in range(first, first + count)
    ]


def beginning() -> list[dict]:
    return [samples.boot(), samples.message(1, TOKEN, Action="Eval")]


class Taken(NamedTuple):
    """Seconds a message."""

    time: float
    processor: float


class Ours:
    """One of our processes, warm, in a lane as evaluators have it."""

    def __init__(self, module: Path, format: str):
        self._replies: list[frames.Reply] = []
        self._times: list[float] = []
        self._awaited = 0
        self._all_here = threading.Event()
        node = evaluator.Node(frames.Setup(None, str(samples.CACHE), None), self._receive)
        node.machine = samples.machine()
        self._lane = evaluator.Lane(node, samples.PROCESS)
        environment = samples.compact(samples.ENVIRONMENT)
        self._ask(
            "attach",
            frames.Attach(str(module), "m", samples.MEMORY, samples.GAS, (), environment, {}, format, None),
        )
        self.process: Process = self._lane._attached()
        for message in beginning():
            (step,) = self._ask("apply", frames.Message(samples.compact(message), message["Id"]))
            assert step.evaluation().error is None, step

    def in_a_row(self, messages: list[dict]) -> Taken:
        sent = [frames.Message(samples.compact(message), message["Id"]) for message in messages]
        used = time.process_time()
        steps = self._ask("apply", *sent)
        used = (time.process_time() - used) / len(messages)
        assert len({step.state_root for step in steps}) == len(messages)
        return Taken(statistics.median(later - sooner for sooner, later in itertools.pairwise(self._times)), used)

    def one_by_one(self, messages: list[dict]) -> Taken:
        sent = [frames.Message(samples.compact(message), message["Id"]) for message in messages]
        return taken_by(lambda message: self._ask("apply", message), sent)

    def alone(self, messages: list[dict]) -> Taken:
        found = taken_by(self._handle, [samples.compact(message) for message in messages])
        self.process._roll_back()
        return found

    def parts(self, messages: list[dict]) -> dict[str, float]:
        """Medians by part of a message, in seconds: the steps of `Process.apply`, one after the other."""
        process = self.process
        rows: list[list[float]] = []
        for message in messages:
            at = [time.perf_counter()]
            mark = lambda at=at: at.append(time.perf_counter())  # noqa: E731
            outcome = process._run(samples.compact(message), "m")
            mark()
            reading = read_answer(outcome.answer, outcome.stopped)
            assert reading.keeps
            mark()
            live = process._instance.view()
            written = process._written(live)
            mark()
            process._shadow.accept(live, written)
            mark()
            process._moved.add(written)
            process._watch_all()
            mark()
            process._root(written)
            mark()
            rows.append([after - before for before, after in itertools.pairwise(at)])
        names = ("evaluation", "reading the answer", "asking what was written", "copying it", "books", "hashing it")
        return dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))

    def _handle(self, message: bytes) -> None:
        program = self.process.program
        assert self.process._instance.handle(message, program.environment, program.gas_limit).answer

    def _ask(self, operation: str, *arguments: Any) -> list[Any]:
        """What a lane answers to calls that it gets all at once. As in an evaluator, nobody reads answers meanwhile."""
        self._replies, self._times, self._awaited = [], [], len(arguments)
        self._all_here.clear()
        for argument in arguments:
            told = msgspec.to_builtins(argument, builtin_types=(bytes,))
            self._lane.put(frames.Call(1, operation, samples.PROCESS, told))
        self._all_here.wait()
        assert all(reply.error is None for reply in self._replies), self._replies
        return [reply.value for reply in self._replies]

    def _receive(self, reply: frames.Reply) -> None:
        self._times.append(time.perf_counter())
        self._replies.append(reply)
        if len(self._replies) == self._awaited:
            self._all_here.set()


def taken_by(call: Callable[[Any], object], arguments: list[Any]) -> Taken:
    taken: list[float] = []
    used = time.process_time()
    for argument in arguments:
        began = time.perf_counter()
        call(argument)
        taken.append(time.perf_counter() - began)
    return Taken(statistics.median(taken), (time.process_time() - used) / len(arguments))


def reference_taken(count: int) -> Taken:
    messages = beginning() + transfers(2, count)
    results = samples.reference(samples.module("aos2_0_6"), samples.WIDE, messages, copies=True)
    assert all(len(result["Messages"]) == 2 for result in results[2:])
    warm = results[4:]
    return Taken(*(statistics.median(each[name] for each in warm) for name in ("seconds", "processor_seconds")))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--messages", type=int, default=100, help="of ours in a round; the reference gets a fifth")
    chosen = options.parse_args()
    sides = {
        "published": Ours(samples.module("aos2_0_6"), samples.WIDE),
        "ours": Ours(OUR_MODULE, "wasm32-puna-lua-1"),
    }
    taken: dict[str, list[Taken]] = {}
    number = 2
    for _ in range(chosen.rounds):
        taken.setdefault("reference", []).append(reference_taken(max(8, chosen.messages // 5)))
        for name, side in sides.items():
            for way in ("in_a_row", "one_by_one", "alone"):
                batch = transfers(number, chosen.messages)
                number += chosen.messages
                taken.setdefault(f"{name} {way}", []).append(getattr(side, way)(batch))
    medians = {name: Taken(*map(statistics.median, zip(*found, strict=True))) for name, found in taken.items()}
    labels = {
        "reference": "reference loader, aos2_0_6, memory in and out",
        "published in_a_row": "our host, aos2_0_6, with state roots, in a row",
        "published one_by_one": "our host, aos2_0_6, with state roots, one by one",
        "published alone": "our host, aos2_0_6, evaluation",
        "ours in_a_row": "our module, with state roots, in a row",
        "ours one_by_one": "our module, with state roots, one by one",
        "ours alone": "our module, evaluation",
    }
    print(f"token transfers, {BALANCES} balances, {chosen.rounds} rounds")
    base = medians["reference"]
    for name, label in labels.items():
        side, _, way = name.partition(" ")
        found = medians[name]
        ratio = base.time / found.time
        goal = f"  (goal {GOALS[side]} x: {'yes' if ratio >= GOALS[side] else 'NO'})" if way == "in_a_row" else ""
        processor = f"{found.processor * 1e3:7.2f} ms {base.processor / found.processor:6.1f} x"
        print(f"{label:50} {1 / found.time:8.1f} /s {ratio:6.1f} x {processor}{goal}")
    for name, side in sides.items():
        parts = side.parts(transfers(number, chosen.messages))
        print(f"one message, {name}: " + ", ".join(f"{part} {taken * 1e6:.0f}" for part, taken in parts.items()))


if __name__ == "__main__":
    main()
