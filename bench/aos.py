"""How many messages a second our aos handles and the published one (`aos2_0_6.wasm`, reports 2.0.4), in one host.

    python bench/aos.py [--rounds N] [--messages N]

One process of each, warm, with the same programs; three kinds of message:

  evals      small Evals by the owner, one after the other: a sum, a table shown, a function defined, a global read
  handlers   messages of strangers along a list of 20 handlers, the last of which fits and replies
  transfers  a token with 10,000 balances in `.bint` numbers; each message moves some and tells both sides

Each is measured alone, and as the compute unit applies it: with the state root of the new memory, which the published
module makes dear by collecting all garbage after each message. By turns in rounds, so that a busy machine hurts both
alike. Figures are messages a second, medians over rounds of the median message, and the ratio, whose goal is 3. The
module comes from npm into `.npm-cache`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from vm.published import samples  # noqa: E402

from puna.vm.extensions import Host  # noqa: E402
from puna.vm.process import Process  # noqa: E402
from puna.vm.program import Program  # noqa: E402
from puna.vm.result import read_answer  # noqa: E402

GOAL = 3
BALANCES = 10_000
OURS = ROOT / "src/puna/vm/module/_built/puna-lua.wasm"
STRANGER = "s" * 43

PROGRAM = """
for i = 1, 20 do
  Handlers.add('Ask-' .. i, { Action = 'Ask-' .. i }, function(msg)
    Asked = (Asked or 0) + 1
    msg.reply({ Action = 'Answer', Data = msg.Data .. ' ' .. Asked })
  end)
end

local bint = require('.bint')(256)
Balances = {}
for i = 1, COUNT do Balances[('holder%037d'):format(i)] = '1000000000000' end
Handlers.add('Transfer', Handlers.utils.hasMatchingTag('Action', 'Transfer'), function(msg)
  local quantity, balance = bint(msg.Quantity), bint(Balances[msg.From] or '0')
  assert(bint.__lt(0, quantity), 'Quantity must be greater than 0')
  if not bint.__le(quantity, balance) then
    return msg.reply({ Action = 'Transfer-Error', Error = 'Insufficient Balance!' })
  end
  Balances[msg.From] = tostring(balance - quantity)
  Balances[msg.Recipient] = tostring(bint(Balances[msg.Recipient] or '0') + quantity)
  Send({ Target = msg.From, Action = 'Debit-Notice', Recipient = msg.Recipient, Quantity = msg.Quantity })
  Send({ Target = msg.Recipient, Action = 'Credit-Notice', Sender = msg.From, Quantity = msg.Quantity })
end)
return 'ready'
""".replace("COUNT", str(BALANCES))

EVALS = [
    "1 + 1",
    "return {name = Name, owner = Owner, list = {1, 2, 3}}",
    "function double(x) return 2 * x end return double(21)",
    "Counter = (Counter or 0) + 1 return Counter",
]


def holder(number: int) -> str:
    return f"holder{number % BALANCES + 1:037d}"


def evals(number: int) -> dict:
    return samples.message(number, EVALS[number % len(EVALS)], Action="Eval")


def handlers(number: int) -> dict:
    return samples.message(number, "question", sender=STRANGER, Action="Ask-20", Reference=str(number))


def transfers(number: int) -> dict:
    tags = {"Action": "Transfer", "Recipient": holder(number * 7), "Quantity": "1000", "Reference": str(number)}
    return samples.message(number, "", sender=holder(number), **tags)


KINDS: dict[str, tuple[Callable[[int], dict], int]] = {
    "evals": (evals, 0),
    "handlers": (handlers, 1),
    "transfers": (transfers, 2),
}


class Side:
    """One process, warm, with the program in it."""

    def __init__(self, module: Path, module_format: str):
        environment = samples.compact(samples.ENVIRONMENT)
        limits = (samples.MEMORY, samples.GAS)
        program = Program(module, "m", *limits, (), environment, {}, module_format)
        self.process = Process(samples.machine(), program, Host())
        for message in (samples.boot(), samples.message(1, PROGRAM, Action="Eval")):
            self.apply(message, 0)

    def evaluate(self, message: dict, sent: int) -> float:
        """Seconds of the evaluation alone; the memory it leaves is taken into account afterwards."""
        encoded, program = samples.compact(message), self.process.program
        began = time.perf_counter()
        outcome = self.process._instance.handle(encoded, program.environment, program.gas_limit)
        seconds = time.perf_counter() - began
        assert len(read_answer(outcome.answer, outcome.stopped).messages) == sent
        self.process._accept()
        return seconds

    def apply(self, message: dict, sent: int) -> float:
        """Seconds of one message, which must lead to that many others."""
        encoded = samples.compact(message)
        began = time.perf_counter()
        step = self.process.apply(encoded, message["Id"])
        seconds = time.perf_counter() - began
        evaluation = step.evaluation()
        assert evaluation.error is None and len(evaluation.messages) == sent, evaluation
        return seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--messages", type=int, default=60, help="of each kind and side in a round")
    chosen = options.parse_args()
    sides = {"published": Side(samples.module("aos2_0_6"), samples.WIDE), "ours": Side(OURS, "wasm32-puna-lua-1")}
    ways = {"alone": Side.evaluate, "with the root": Side.apply}
    numbers, seconds = count(2), {}
    for _ in range(chosen.rounds):
        for kind, (make, sent) in KINDS.items():
            for way, measure in ways.items():
                batch = [make(next(numbers)) for _ in range(chosen.messages)]
                for name, side in sides.items():
                    median = statistics.median(measure(side, message, sent) for message in batch)
                    seconds.setdefault((kind, way, name), []).append(median)
    print(f"{chosen.rounds} rounds of {chosen.messages} messages, messages a second")
    print(f"{'':28}{'aos2_0_6':>10}{'our module':>12}{'ratio':>9}  (goal {GOAL} x)")
    for kind in KINDS:
        for way in ways:
            theirs, ours = (1 / statistics.median(seconds[kind, way, name]) for name in ("published", "ours"))
            print(f"{kind + ', ' + way:28}{theirs:10.0f}{ours:12.0f}{ours / theirs:8.1f}x")


if __name__ == "__main__":
    main()
