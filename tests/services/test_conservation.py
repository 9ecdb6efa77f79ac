"""Promise 5 as a law: whatever payers, workers and time do, every unit paid is earned, refunded, or held for a job.

And nobody waits for ever: at the end of every run, time alone brings each request to an answer or a refund.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from services.herd_story import HERDER, MONEY, HerdStory, worker_id
from services.story import ALICE, BOB, OPERATOR

PAYERS = st.sampled_from([ALICE, BOB])
WORKERS = st.integers(0, 2)
UNITS = st.one_of(st.integers(1, 60), st.sampled_from([10**9, MONEY, 2 * MONEY]))
TOKENS = st.sampled_from(["1", "10", "512", "0", "-2", "abc", "1e9", "513"])
PROMPTS = st.sampled_from(["hi there", "one two three four five", "x", "", "y" * 3001])
EXTRA = st.sampled_from([{}, {"X_Deadline": "1700000600000"}, {"X_Model": "nobody"}, {"X_Reference": "r" * 200},
                         {"X_Termination": "STOP"}, {"X_Seed": "x"}, {"X_Reason": "a refund"}])  # fmt: skip


class Herd(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.it = HerdStory(workers=3)
        self.requests = 0

    @rule(payer=PAYERS, units=UNITS, prompt=PROMPTS, tokens=TOKENS, extra=EXTRA)
    def pay(self, payer, units, prompt, tokens, extra):
        self.requests += 1
        self.it.pay(payer, units, prompt, tokens, **({"X_Reference": f"r{self.requests}"} | extra))

    @rule(worker=WORKERS, name_job=st.booleans())
    def answer(self, worker, name_job):
        if self.it.jobs(worker):
            tags = {"Job": self.it.jobs(worker)[-1].tags["Job"]} if name_job else {}
            self.it.speak(worker_id(worker), HERDER, "Inference-Response", "text", **tags)

    @rule(worker=WORKERS, code=st.sampled_from(["worker-failed", "context-full"]))
    def fail(self, worker, code):
        if self.it.jobs(worker):
            self.it.fail(worker, code)

    @rule(worker=WORKERS, age=st.integers(0, 3))
    def answer_late(self, worker, age):
        if len(self.it.jobs(worker)) > age:
            job = self.it.jobs(worker)[-1 - age].tags["Job"]
            self.it.speak(worker_id(worker), HERDER, "Inference-Response", "late", Job=job)

    @rule(minutes=st.sampled_from([0.5, 3, 10, 61]))
    def pass_time(self, minutes):
        self.it.later(minutes)

    @rule(worker=WORKERS)
    def register(self, worker):
        self.it.register(worker)

    @rule(worker=WORKERS)
    def retire(self, worker):
        self.it.send(OPERATOR, HERDER, "Retire-Worker", Worker=worker_id(worker))

    @rule(payer=PAYERS, number=st.integers(1, 30))
    def cancel(self, payer, number):
        self.it.send(payer, HERDER, "Cancel", Job=f"job-{number}")

    @rule()
    def withdraw(self):
        self.it.send(OPERATOR, HERDER, "Withdraw")

    @invariant()
    def the_books_agree(self):
        self.it.check_books()
        everybody = sum(self.it.balance(who) for who in (ALICE, BOB, OPERATOR, HERDER))
        assert everybody == 2 * MONEY

    @invariant()
    def nobody_is_idle_while_a_job_could_run(self):
        waiting = self.it.herd("#herd.queue")
        assert waiting == 0 or self.it.herd("#herd.idle") == 0

    def teardown(self):
        for _ in range(3):
            self.it.later(61)
        assert self.it.herd("next(herd.jobs)") is None
        assert self.it.ledger()["held"] == 0


TestHerd = Herd.TestCase
TestHerd.settings = settings(
    # PUNA_HERD_RUNS=400 with 25 steps each is the ten thousand events of conformance 64.
    max_examples=int(os.environ.get("PUNA_HERD_RUNS", "12")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
