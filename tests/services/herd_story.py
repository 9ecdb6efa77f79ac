"""A story with a token, a herder, workers that the test plays, and payers with money. Checks the books as it goes."""

import json
from dataclasses import dataclass, field

from services.story import ALICE, BOB, MODEL, OPERATOR, Story, named_id

from puna.services import programs
from puna.services.outbox import Sent

TOKEN = named_id("TOKEN")
HERDER = named_id("HERDER")
MONEY = 10**12


IMAGE = """
local function image(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for key, inner in next, value do table.insert(parts, tostring(key) .. "=" .. image(inner)) end
  table.sort(parts)
  return "{" .. table.concat(parts, ";") .. "}"
end
return image(Herd)
"""


def worker_id(number: int) -> str:
    return named_id(f"WORKER{number}")


def answer_to(job: dict[str, str]) -> dict[str, str]:
    """An element of an Inference-Batch-Response: all tokens that a job of the batch asked for."""
    return {
        "Action": "Inference-Response", "Job": job["Job"], "Tokens-Used": job["Tokens"], "Finish": "length",
        "Data": f"an answer to {job['Data']}",
    }  # fmt: skip


@dataclass
class HerdStory(Story):
    """`workers` are played by the test: their Inference messages lie in `wallets` until `answer` or `fail`."""

    workers: int = 1
    base_fee: int = 1
    token_fee: int = 1
    extension: str = ""  # "Llama": the herder counts with the model's tokenizer
    limits: dict[str, str] = field(default_factory=dict)  # spawn tags
    money: dict[str, int] = field(default_factory=lambda: {ALICE: MONEY, BOB: MONEY})

    def __post_init__(self):
        self.spawn("TOKEN", programs.source(programs.TOKEN), Minter=OPERATOR)
        tags = {"Base_Fee": str(self.base_fee), "Token_Fee": str(self.token_fee)}
        tags |= self.limits | ({"Extension": self.extension} if self.extension else {})
        self.spawn("HERDER", programs.source(programs.HERDER), Token=TOKEN, Model=MODEL, **tags)
        for address, units in self.money.items():
            self.send(OPERATOR, TOKEN, "Mint", Recipient=address, Quantity=str(units))
        for number in range(self.workers):
            self.register(number)

    def register(self, number: int, model: str = MODEL, **tags: str) -> None:
        named = {"Worker": worker_id(number), "Model": model, "Model_Name": "fake"} | tags
        self.send(OPERATOR, HERDER, "Register-Worker", **named)

    def pay(self, sender: str, units: int | str, prompt: str | None = "hi there", tokens="10", **tags: str) -> None:
        """A paid request; tags with the value None are left out."""
        named = {"X_Prompt": prompt, "X_Tokens": None if tokens is None else str(tokens)} | tags
        named = {name: value for name, value in named.items() if value is not None}
        self.send(sender, TOKEN, "Transfer", Recipient=HERDER, Quantity=str(units), **named)
        self.check_books()

    def jobs(self, number: int = 0) -> list[Sent]:
        """Every Inference that a worker was ever given."""
        return self.received(worker_id(number), "Inference")

    def batches(self, number: int = 0) -> list[list[dict[str, str]]]:
        """Every Inference-Batch that a worker was ever given, as its jobs."""
        return [json.loads(batch.data) for batch in self.received(worker_id(number), "Inference-Batch")]

    def given(self) -> list[str | list[str]]:
        """The prompts that were given to any worker, in order; a list of those that were given together."""
        sends = [entry for e in self.log if e.process == HERDER for entry in e.sent]
        return [
            entry.data if entry.action == "Inference" else [job["Data"] for job in json.loads(entry.data)]
            for entry in sends
            if entry.action in ("Inference", "Inference-Batch")
        ]

    def answer(self, number: int = 0, text: str = "an answer", **tags: str) -> None:
        """The worker answers the last job it was given; with all tokens, unless told otherwise."""
        job = self.jobs(number)[-1].tags
        named = {"Job": job["Job"], "Tokens_Used": job["Tokens"], "Finish": "length"} | tags
        self.speak(worker_id(number), HERDER, "Inference-Response", text, **named)
        self.check_books()

    def fail(self, number: int = 0, code: str = "worker-failed", error: str = "it broke") -> None:
        job = self.jobs(number)[-1].tags["Job"]
        self.speak(worker_id(number), HERDER, "Inference-Error", Job=job, Code=code, Error=error)
        self.check_books()

    def answer_batch(self, number: int = 0, **spoilt: dict | None) -> None:
        """The worker answers the last batch it was given. `job_3={...}` changes what it says of that job, and
        `job_3=None` leaves it out.
        """
        said = []
        for job in self.batches(number)[-1]:
            change = spoilt.get(job["Job"].replace("-", "_"), {})
            if change is not None:
                said.append(answer_to(job) | change)
        self.say_batch(number, json.dumps(said))

    def say_batch(self, number: int, data: str, **tags: str) -> None:
        self.speak(worker_id(number), HERDER, "Inference-Batch-Response", data, **tags)
        self.check_books()

    def later(self, minutes: float) -> None:
        """Time passes, and the herder notices."""
        self.clock.pass_ms(int(minutes * 60_000))
        self.send(OPERATOR, HERDER, "Cron")
        self.check_books()

    def balance(self, address: str) -> int:
        return int(self.processes[TOKEN].eval(f'Balances["{address}"]') or 0)

    def ledger(self) -> dict[str, int]:
        names = ("credits", "earned", "refunded", "held", "withdrawn")
        return {name: int(self.processes[HERDER].eval(f"Herd.ledger.{name}")) for name in names}

    def herd(self, code: str):
        return self.processes[HERDER].eval(code.replace("herd.", "Herd."))

    def image(self) -> str:
        """All the herder knows, as text that is equal when it is equal."""
        return self.processes[HERDER].lua.execute(IMAGE)

    def worker_state(self, number: int = 0) -> str:
        return self.herd(f'herd.workers["{worker_id(number)}"].state')

    def errors(self, address: str = ALICE) -> list[Sent]:
        return self.received(address, "Inference-Error")

    def answers(self, address: str = ALICE) -> list[Sent]:
        return self.received(address, "Inference-Response")

    def check_books(self) -> None:
        """Promise 5: paid = fees + refunds + escrow, in the herder's ledger and in the token's own."""
        book = self.ledger()
        assert book["credits"] == book["earned"] + book["refunded"] + book["held"]
        jobs = self.processes[HERDER].lua.execute(
            "local sum = require('.bint')(256)(0) "
            "for _, job in pairs(Herd.jobs) do sum = sum + require('.bint')(256)(job.paid) end return tostring(sum)"
        )
        assert int(jobs) == book["held"]
        assert self.balance(HERDER) == book["credits"] - book["refunded"] - book["withdrawn"]
        assert not self.dropped
