"""How many messages a second a compute unit evaluates: the reference loader, our host on the same module, our module.

    python bench/compute.py [--rounds N] [--messages N]

One process each, warm, with 10,000 balances; every message is a token transfer. In rounds by turns, so that a busy
machine hurts all sides alike:

  reference   @permaweb/ao-loader as the reference compute unit uses it: whole memories in and out
  published   the same module (aos2_0_6.wasm) on our host: evaluated, memory kept, rolled back on error
  ours        the same Lua on our own module

Ours are printed twice: the evaluation alone, and with the state root of the new memory (SHA-256 of every changed
page), which the reference does not have. Needs node and npm; the module and the loader come from npm into
`.npm-cache`. Figures are messages a second, medians over rounds of medians, and the ratio to the reference.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from vm.published import samples  # noqa: E402

from puna.vm.extensions import Host  # noqa: E402
from puna.vm.process import Process  # noqa: E402
from puna.vm.program import Program  # noqa: E402

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


class Ours:
    """One of our processes, warm."""

    def __init__(self, module: Path, format: str):
        program = Program(
            module, "m", samples.MEMORY, samples.GAS, (), samples.compact(samples.ENVIRONMENT), {}, format
        )
        self.process = Process(samples.machine(), program, Host())
        for message in beginning():
            evaluation = self.process.apply(samples.compact(message), message["Id"]).evaluation()
            assert evaluation.error is None, evaluation.error

    def with_root(self, messages: list[dict]) -> float:
        return statistics.median(self._timed(message, self._apply) for message in messages)

    def alone(self, messages: list[dict]) -> float:
        found = statistics.median(self._timed(message, self._handle) for message in messages)
        self.process._accept()
        return found

    def _timed(self, message: dict, evaluate) -> float:
        encoded = samples.compact(message)
        began = time.perf_counter()
        evaluate(encoded)
        return time.perf_counter() - began

    def _apply(self, message: bytes) -> None:
        assert len(self.process.apply(message, "m").evaluation().messages) == 2

    def _handle(self, message: bytes) -> None:
        program = self.process.program
        assert self.process._instance.handle(message, program.environment, program.gas_limit).answer


def reference_seconds(count: int) -> float:
    messages = beginning() + transfers(2, count)
    results = samples.reference(samples.module("aos2_0_6"), samples.WIDE, messages, copies=True)
    assert all(len(result["Messages"]) == 2 for result in results[2:])
    return statistics.median(result["seconds"] for result in results[4:])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--messages", type=int, default=100, help="of ours in a round; the reference gets a fifth")
    chosen = options.parse_args()
    sides = {
        "published": Ours(samples.module("aos2_0_6"), samples.WIDE),
        "ours": Ours(OUR_MODULE, "wasm32-puna-lua-1"),
    }
    seconds: dict[str, list[float]] = {}
    number = 2
    for _ in range(chosen.rounds):
        seconds.setdefault("reference", []).append(reference_seconds(max(8, chosen.messages // 5)))
        for name, side in sides.items():
            for way in ("alone", "with_root"):
                batch = transfers(number, chosen.messages)
                number += chosen.messages
                seconds.setdefault(f"{name} {way}", []).append(getattr(side, way)(batch))
    rates = {name: 1 / statistics.median(found) for name, found in seconds.items()}
    labels = {
        "reference": "reference loader, aos2_0_6, memory in and out",
        "published alone": "our host, aos2_0_6, evaluation",
        "published with_root": "our host, aos2_0_6, with state root",
        "ours alone": "our module, evaluation",
        "ours with_root": "our module, with state root",
    }
    print(f"token transfers, {BALANCES} balances, {chosen.rounds} rounds")
    for name, label in labels.items():
        goal = GOALS.get(name.split()[0])
        ratio = rates[name] / rates["reference"]
        print(f"{label:50} {rates[name]:9.1f} /s {ratio:7.1f} x" + (f"  (goal {goal} x)" if goal else ""))


if __name__ == "__main__":
    main()
