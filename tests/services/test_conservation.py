"""Promise 5 as a law: whatever payers, workers, strangers, the owner and time do, paid = fees + refunds + escrow.

And nobody is forgotten: a request in the herd waits in the queue or is with one worker until its deadline at most, a
worker is idle, at one job or at several, silent or out of service, and at the end of every run time alone brings each
request to an answer or a refund. Ten thousand steps; `PUNA_HERD_STEPS=1000000` takes as many. `PUNA_HERD_SEED` repeats
a run: the seed is printed with every run.
"""

import json
import os
import secrets
from collections import Counter

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from services.herd_story import HERDER, MONEY, TOKEN, HerdStory, answer_to, worker_id
from services.story import ALICE, BOB, MODEL, OPERATOR, named_id

STEPS = int(os.environ.get("PUNA_HERD_STEPS", "10000"))
STEPS_OF_A_RUN = 100
STEPS_OF_A_PORTION = 10_000
SEED = int(os.environ.get("PUNA_HERD_SEED", secrets.randbits(32)))

MALLORY = named_id("MALLORY")
PEOPLE = (ALICE, BOB, MALLORY)
BATCHES = (None, "2", "3", "8", "2")  # what each worker takes at once; the last serves the other model
WORKERS = len(BATCHES)
OTHER_MODEL = "OTHER"

PAYERS = st.sampled_from(PEOPLE)
NUMBERS = st.integers(0, WORKERS - 1)
UNITS = st.one_of(st.integers(1, 60), st.sampled_from([200, 10**9, MONEY, 2 * MONEY]))
TOKENS = st.sampled_from(["1", "4", "10", "10", "512", "0", "-2", "abc", "1e9", "513", None])
PROMPTS = st.sampled_from(["hi there", "hi there", "one two three four five", "x", "", "y" * 3001, None])
OPTIONS = st.sampled_from(
    [{}, {}, {}, {"X-Deadline": "1700000600000"}, {"X-Model": "nobody"}, {"X-Model": OTHER_MODEL}, {"X-Model": "fake"},
     {"X-Reference": "r" * 200}, {"X-Reference": "same"}, {"X-Termination": "STOP"}, {"X-Seed": "x"},
     {"X-Reason": "a refund"}, {"X-System": "be brief"}, {"X-Top-P": "0.5"}, {"X-Prompt-Ref": "ahead"},
     {"X-Stream": "4"}, {"X-Quantity": "9" * 50}, {"Cast": "true"}]
)  # fmt: skip
USED = st.sampled_from(["0", "1", "5", "10", "512", "9" * 40, "-3", "x", None])
CROWD = st.lists(
    st.tuples(
        st.sampled_from(["4", "10", "10", "12", "512"]),
        st.sampled_from([{}, {}, {}, {"X-Stream": "4"}, {"X-Model": "other"}, {"X-System": "be brief"}]),
    ),
    min_size=3, max_size=20,
)  # fmt: skip
ACTIONS = st.sampled_from(["Credit-Notice", "Debit-Notice", "Transfer-Error", "Inference-Response", "Inference-Error",
                           "Inference-Batch-Response", "Inference-Part", "Worker-Heartbeat", "Register-Worker",
                           "Retire-Worker", "Pause", "Resume", "Set-Price", "Set-Limits", "Withdraw", "Cancel",
                           "Eval"])  # fmt: skip

# What a worker says of one job of a batch: what is other than in an answer to it; or that many times the answer; or
# something else.
TOLD = st.sampled_from(
    [{}, {}, {}, {}, {"Tokens-Used": "1"}, {"Tokens-Used": 2}, {"Tokens-Used": None}, {"Tokens-Used": ["9"]},
     {"Tokens-Used": "9" * 40}, {"Data": ""}, {"Data": None}, {"Data": [1, None, 2]}, {"Model": {}, "Token-Ids": "é"},
     {"Job": "job-1"}, {"Job": None}, {"Job": {}}, {"Action": None}, {"Action": "Cancel"},
     {"Action": "Inference-Error", "Code": "worker-failed", "Error": "broken"},
     {"Action": "Inference-Error", "Code": "context-full", "Error": "too long"},
     {"Action": "Inference-Error", "Code": "bad-request", "Error": None},
     {"Action": "Inference-Error", "Code": 7, "Error": {"a": []}}, {"Action": "Inference-Error", "Code": None},
     0, 0, 2, "junk", None, [[[]]]]
)  # fmt: skip
JUNK = st.sampled_from(["", "no JSON", "{", "{}", "7", "null", "[]", "[null]", '[[[{"Job":[]}]]]', '{"Job":"job-1"}',
                        '["job-1"]', '[{"Job":"job-0"}]', "[" * 500])  # fmt: skip

# Everything that must be true of a herd at rest, said by itself: nil, or what is wrong.
CHECK = """
local bint = require(".bint")(256)
local held, queued, waiting, by_payer = bint(0), {}, {}, {}
for place, id in ipairs(Herd.queue) do
  local job = Herd.jobs[id]
  if not job or job.state ~= "queued" then return "the queue has what does not wait: " .. id end
  if queued[id] then return "queued twice: " .. id end
  if job.deadline <= Herd.now then return "waits past its deadline: " .. id end
  queued[id] = true
  waiting[job.model] = (waiting[job.model] or 0) + 1
  by_payer[job.payer] = (by_payer[job.payer] or 0) + 1
end
local runs_at = {}
for id, worker in pairs(Herd.workers) do
  local first, other, number = Herd.jobs[worker.job], worker.state == "busy" and worker.job or nil, 0
  while other do
    local job = Herd.jobs[other]
    if not job or job.state ~= "running" or job.worker ~= id then return "busy with nothing: " .. id end
    if runs_at[other] then return "runs twice: " .. other end
    runs_at[other], number, other = id, number + 1, job.beside
    if job.tokens > first.tokens then return "longer than the first: " .. job.id end
    if job.due ~= first.due then return "not due with the first: " .. job.id end
    local is_apart = job.stream or job.tries ~= 1 or job.model ~= first.model
    if is_apart and first.beside then return "not to be with others: " .. job.id end
  end
  if number > 8 then return "too many at once: " .. id end
end
for id, job in pairs(Herd.jobs) do
  held = held + bint(job.paid)
  if job.state == "running" then
    if runs_at[id] ~= job.worker then return "runs nowhere: " .. id end
    if job.due <= Herd.now then return "overdue: " .. id end
  elseif job.beside then
    return "with others, though it does not run: " .. id
  elseif not queued[id] then
    return "forgotten: " .. id
  end
end
local function serves(worker, model) return model == "" or worker.model == "" or model == worker.model end
--- A few of its model wait for one that usually answers within 100 ms, and has not been at work for longer.
local function has_company_soon(job)
  if job.tries > 0 or job.stream or waiting[job.model] >= 4 then return false end
  for _, worker in pairs(Herd.workers) do
    local takes_some = worker.state == "busy" and (worker.batch or 1) > 1 and serves(worker, job.model)
    local is_quick = takes_some and worker.usual_ms and worker.usual_ms <= 100
    if is_quick and Herd.now - Herd.jobs[worker.job].started <= 100 then return true end
  end
  return false
end
local idle = {}
for _, id in ipairs(Herd.idle) do
  if idle[id] then return "idle twice: " .. id end
  idle[id] = true
end
for id, worker in pairs(Herd.workers) do
  local state = worker.state
  if (state == "idle") ~= (idle[id] == true) then return "neither idle nor not: " .. id end
  if (state == "busy") ~= (worker.job ~= nil) then return "busy with nothing: " .. id end
  if state == "quarantined" and not worker.pinged then return "silent and never asked: " .. id end
  if state == "retired" and not worker.leaving then return "retired by nobody: " .. id end
  if not ({ idle = 1, busy = 1, quarantined = 1, retired = 1 })[state] then return "lost: " .. id end
  if state == "idle" and not Herd.paused then
    for place, waits in ipairs(Herd.queue) do
      local job = Herd.jobs[waits]
      local may_go = serves(worker, job.model) and job.avoid ~= id and not has_company_soon(job)
      if may_go then return "idle though " .. waits .. " waits: " .. id end
    end
  end
end
local function same(a, b)
  for key, value in pairs(a) do if b[key] ~= value then return false end end
  for key, value in pairs(b) do if a[key] ~= value then return false end end
  return true
end
if not same(waiting, Herd.waiting) or not same(by_payer, Herd.queued_by) then return "miscounted the queue" end
local texts, bytes = 0, 0
for _, text in pairs(Herd.prompts) do texts, bytes = texts + 1, bytes + #text.text end
if texts ~= Herd.texts or bytes ~= Herd.text_bytes then return "miscounted the texts" end
if tostring(held) ~= Herd.ledger.held then return "the escrow is not what the jobs paid" end
"""


class Herd(RuleBasedStateMachine):
    given_at_once: Counter = Counter()  # so many jobs -> how often

    def __init__(self):
        super().__init__()
        self.it = HerdStory(workers=0, money=dict.fromkeys(PEOPLE, MONEY))
        for worker, batch in enumerate(BATCHES):
            self.register(worker, batch)
        self.sums = {"credits": 0, "seen": 0}

    def to_herder(self, sender, action, data="", **tags):
        self.it.send(sender, HERDER, action, data, **{name: tag for name, tag in tags.items() if tag is not None})

    # Requests

    @rule(payer=PAYERS, units=UNITS, prompt=PROMPTS, tokens=TOKENS, options=OPTIONS)
    def pay(self, payer, units, prompt, tokens, options):
        tags = {"X-Prompt": prompt, "X-Tokens": tokens} | options
        tags = {name: tag for name, tag in tags.items() if tag is not None}
        self.it.send(payer, TOKEN, "Transfer", Recipient=HERDER, Quantity=str(units), **tags)
        if "Cast" in tags:  # the herder is told nothing: a present that is in no book of its own
            self.sums["gifts"] = self.sums.get("gifts", 0) + self._arrived(payer, units)

    def _arrived(self, payer, units) -> int:
        return units if self.it.log[-1].error is None and not self._refused(payer) else 0

    def _refused(self, payer) -> bool:
        return any(entry.action == "Transfer-Error" for entry in self.it.log[-1].sent)

    @rule(payer=PAYERS, count=st.integers(2, 12), units=st.integers(13, 50))
    def pay_often(self, payer, count, units):
        for _ in range(count):
            self.it.send(payer, TOKEN, "Transfer", Recipient=HERDER, Quantity=str(units), **{"X-Prompt": "hi there",
                         "X-Tokens": "10"})  # fmt: skip

    @rule(payer=PAYERS, crowd=CROWD, units=st.integers(530, 600))
    def pay_in_a_crowd(self, payer, crowd, units):
        for tokens, options in crowd:
            self.pay(payer, units, "hi there", tokens, options)

    @initialize(crowd=CROWD)
    def begin_with_a_crowd(self, crowd):
        self.pay_in_a_crowd(ALICE, [*crowd, *crowd], 600)
        self.everybody_answers()

    @rule(payer=PAYERS, label=st.sampled_from(["ahead", "other", ""]), size=st.sampled_from([1, 20, 40_000]))
    def send_ahead(self, payer, label, size):
        self.to_herder(payer, "Prompt", "t" * size, Label=label)

    @rule(payer=PAYERS, number=st.integers(1, 40), by_reference=st.booleans())
    def cancel(self, payer, number, by_reference):
        self.to_herder(payer, "Cancel", **({"X_Reference": "same"} if by_reference else {"Job": f"job-{number}"}))

    # Workers

    @rule(worker=NUMBERS, name_job=st.booleans(), used=USED)
    def answer(self, worker, name_job, used):
        if self.it.jobs(worker):
            job = self.it.jobs(worker)[-1].tags["Job"] if name_job else None
            self.speak(worker, "Inference-Response", "text", Job=job, Tokens_Used=used)

    @rule(worker=NUMBERS, told=st.lists(TOLD, min_size=8, max_size=8), age=st.sampled_from([1, 1, 1, 2, 3]),
          times=st.sampled_from([1, 1, 2]))  # fmt: skip
    def answer_batch(self, worker, told, age, times):
        batches = self.it.received(worker_id(worker), "Inference-Batch")
        if len(batches) < age:
            return
        said = []
        for job, change in zip(json.loads(batches[-age].data), told, strict=False):
            if isinstance(change, dict):
                said.append(answer_to(job) | change)
            else:
                said += [answer_to(job)] * change if isinstance(change, int) else [change]
        for _ in range(times):
            self.speak(worker, "Inference-Batch-Response", json.dumps(said))

    @rule(worker=NUMBERS, data=JUNK)
    def say_no_batch(self, worker, data):
        self.speak(worker, "Inference-Batch-Response", data)

    @rule(worker=NUMBERS, place=st.integers(0, 7), action=st.sampled_from(
        ["Inference-Response", "Inference-Error", "Inference-Part"]), name_job=st.booleans())  # fmt: skip
    def answer_one_of_a_batch(self, worker, place, action, name_job):
        for batch in self.it.received(worker_id(worker), "Inference-Batch")[-1:]:
            jobs = json.loads(batch.data)
            self.speak(worker, action, "alone", Job=jobs[place % len(jobs)]["Job"] if name_job else None)

    @rule()
    def everybody_answers(self):
        for worker in range(WORKERS):
            self.answer(worker, True, "1")
            self.answer_batch(worker, [{"Tokens-Used": "1"}] * 8, 1, 1)

    @rule(worker=NUMBERS, code=st.sampled_from(["worker-failed", "context-full", None]))
    def fail(self, worker, code):
        if self.it.jobs(worker):
            self.speak(worker, "Inference-Error", Job=self.it.jobs(worker)[-1].tags["Job"], Code=code, Error="broken")

    @rule(worker=NUMBERS, age=st.integers(1, 3), action=st.sampled_from(["Inference-Response", "Inference-Part"]))
    def say_something_old(self, worker, age, action):
        if len(self.it.jobs(worker)) > age:
            self.speak(worker, action, "late", Job=self.it.jobs(worker)[-1 - age].tags["Job"])

    @rule(worker=NUMBERS, action=st.sampled_from(["Inference-Part", "Worker-Heartbeat"]),
          batch=st.sampled_from([None, "8", "9"]))  # fmt: skip
    def say_something(self, worker, action, batch):
        self.speak(worker, action, "piece", Batch=batch)

    def speak(self, worker, action, data="", **tags):
        named = {name: tag for name, tag in tags.items() if tag is not None}
        self.it.speak(worker_id(worker), HERDER, action, data, **named)

    # Strangers

    @rule(who=st.sampled_from([*PEOPLE, named_id("PROGRAM"), worker_id(9)]), action=ACTIONS, number=st.integers(1, 40))
    def forge(self, who, action, number):
        before = self.it.ledger()
        tags = {"Sender": who, "Quantity": "1000000", "X-Prompt": "free", "X-Tokens": "1", "Job": f"job-{number}",
                "Worker": worker_id(0), "Base-Fee": "0", "Token-Fee": "0", "Max-Tokens": "1", "Code": "bad-request",
                "X-Reference": "withdraw-1", "Tokens-Used": "0"}  # fmt: skip
        if action == "Cancel":
            tags = {"Job": "job-0"}
        named = [{"name": name, "value": value} for name, value in ({"Action": action} | tags).items()]
        if who in PEOPLE:
            self.it.send_tags(who, HERDER, named, "Herd = nil")
        else:
            self.it.speak(who, HERDER, action, "Herd = nil", **tags)
        after = self.it.ledger()
        # Time may have passed for others; a forgery itself makes no credit and takes no money out.
        assert (after["credits"], after["withdrawn"]) == (before["credits"], before["withdrawn"])

    # The owner

    @rule(worker=NUMBERS, batch=st.sampled_from([None, None, "1", "2", "8", "0", "9", "x"]))
    def register(self, worker, batch):
        model, name = (OTHER_MODEL, "other") if worker == WORKERS - 1 else (MODEL, "fake")
        self.it.register(worker, model=model, Model_Name=name, **({"Batch": batch} if batch else {}))

    @rule(worker=NUMBERS)
    def retire(self, worker):
        self.to_herder(OPERATOR, "Retire-Worker", Worker=worker_id(worker))

    @rule(action=st.sampled_from(["Pause", "Resume", "Resume"]))
    def pause_or_resume(self, action):
        self.to_herder(OPERATOR, action)

    @rule(base=st.sampled_from(["0", "1", "7", "-1"]), token=st.sampled_from(["0", "1", "3"]))
    def set_price(self, base, token):
        self.to_herder(OPERATOR, "Set-Price", Base_Fee=base, Token_Fee=token)

    @rule(
        queue=st.sampled_from(["2", "500"]), payer=st.sampled_from(["3", "250"]), wait=st.sampled_from(["60000", "x"])
    )
    def set_limits(self, queue, payer, wait):
        self.to_herder(OPERATOR, "Set-Limits", Max_Queue=queue, Max_Queued_Per_Payer=payer, Max_Wait=wait)

    @rule(recipient=st.sampled_from([OPERATOR, BOB, "no address"]))
    def withdraw(self, recipient):
        self.to_herder(OPERATOR, "Withdraw", Recipient=recipient)

    # Time

    @rule(minutes=st.sampled_from([0.1, 0.5, 3, 10, 61]))
    def pass_time(self, minutes):
        self.it.clock.pass_ms(int(minutes * 60_000))
        self.to_herder(OPERATOR, "Cron")

    # Laws

    @invariant()
    def paid_is_fees_and_refunds_and_escrow(self):
        book = self.it.ledger()
        assert book["credits"] == book["earned"] + book["refunded"] + book["held"], book
        owned = book["credits"] - book["refunded"] - book["withdrawn"] + self.sums.get("gifts", 0)
        assert self.it.balance(HERDER) == owned
        assert sum(self.it.balance(who) for who in (*PEOPLE, OPERATOR, HERDER)) == len(PEOPLE) * MONEY
        assert not self.it.dropped

    @invariant()
    def no_request_and_no_worker_is_forgotten(self):
        wrong = self.it.processes[HERDER].lua.execute(CHECK)
        assert wrong is None, wrong

    @invariant()
    def every_request_ends_once(self):
        for entry in self.it.log[self.sums["seen"] :]:
            if entry.process == HERDER:
                assert "failed and changed nothing" not in entry.printed, entry.printed
                for message in entry.sent:
                    self.goes_together(message)
        self.sums["seen"] = len(self.it.log)

    def goes_together(self, message):
        """What a worker is given: no more jobs than it takes, none longer than the first, all within the limits."""
        if message.action not in ("Inference", "Inference-Batch"):
            return
        jobs = json.loads(message.data) if message.action == "Inference-Batch" else [message.tags]
        self.given_at_once[len(jobs)] += 1
        if message.action == "Inference-Batch":
            assert 2 <= len(jobs) <= (self.it.herd(f'herd.workers["{message.target}"].batch') or 1)
            tokens = [int(job["Tokens"]) for job in jobs]
            assert max(tokens) == tokens[0] and sum(tokens) <= 2048, tokens
            assert sum(len(job["Data"]) for job in jobs) <= 32768
            assert not any("Stream" in job for job in jobs)

    def teardown(self):
        self.to_herder(OPERATOR, "Resume")
        for _ in range(4):
            self.pass_time(61)
            self.pass_time(61)
        assert self.it.herd("next(herd.jobs)") is None and self.it.ledger()["held"] == 0
        for who in PEOPLE:
            ends = [entry.tags["Job"] for entry in self.it.answers(who)]
            ends += [entry.tags["Job"] for entry in self.it.errors(who) if "Job" in entry.tags]
            assert len(ends) == len(set(ends)), "a job ended twice"
        self.no_request_and_no_worker_is_forgotten()


def test_64_the_books_agree_whatever_everybody_does_and_no_request_or_worker_is_forgotten():
    for portion in range(0, STEPS, STEPS_OF_A_PORTION):
        # With a seed of its own each: hypothesis remembers all it did, and a million steps would fill the memory.
        steps, number = min(STEPS_OF_A_PORTION, STEPS - portion), SEED + portion // STEPS_OF_A_PORTION
        print(f"{steps} steps, PUNA_HERD_SEED={number}", flush=True)
        run_state_machine_as_test(
            seed(number)(Herd),
            settings=settings(
                max_examples=max(1, steps // STEPS_OF_A_RUN),
                stateful_step_count=STEPS_OF_A_RUN,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(f"jobs at once: {dict(sorted(Herd.given_at_once.items()))}")
    assert STEPS < STEPS_OF_A_PORTION or max(Herd.given_at_once) == 8, "the workers got too few jobs together"


def test_a_state_of_every_kind_is_told_by_the_check():
    """The check above can fail: a herd that is spoilt by hand is found out each time."""
    spoil = {
        "Herd.jobs['job-1'] = nil": "busy with nothing",
        "table.remove(Herd.queue)": "forgotten",
        "table.insert(Herd.idle, Herd.idle[1] or 'x') Herd.idle[2] = Herd.idle[1]": "twice",
        "for _, w in pairs(Herd.workers) do w.state = 'gone' end": "neither idle nor not",
        "Herd.ledger.held = '1'": "escrow",
        "Herd.queued_by = {}": "miscounted the queue",
    }
    for code, wrong in spoil.items():
        it = HerdStory(workers=1)
        for _ in range(2):
            it.pay(ALICE, 20)
        if "w.state" in code:
            it.answer()
            it.answer()
        assert it.processes[HERDER].lua.execute(CHECK) is None
        it.processes[HERDER].lua.execute(code)
        assert wrong in str(it.processes[HERDER].lua.execute(CHECK)), code


def a_batch() -> HerdStory:
    """Worker 0 is at job-2, job-3 and job-4, worker 1 at job-5, and job-6 waits."""
    it = HerdStory(workers=0)
    it.register(0, Batch="8")
    for _ in range(4):
        it.pay(ALICE, 20)
    it.answer()
    it.register(1)
    it.clock.pass_ms(101)  # nobody waits for worker 0 any more
    for _ in range(2):
        it.pay(ALICE, 20)
    assert [len(batch) for batch in it.batches()] == [3]
    return it


@pytest.mark.parametrize(
    "code, wrong",
    [
        ("Herd.jobs['job-2'].beside = nil", "runs nowhere"),
        ("Herd.jobs['job-3'].beside = nil", "runs nowhere: job-4"),
        ("Herd.jobs['job-4'].beside = 'job-2'", "runs twice: job-2"),
        ("Herd.jobs['job-5'].beside = 'job-3'", "busy with nothing"),
        ("Herd.jobs['job-4'].beside = 'job-6'", "busy with nothing"),
        ("Herd.jobs['job-4'] = nil", "busy with nothing"),
        ("Herd.jobs['job-3'].tokens = 11", "longer than the first: job-3"),
        ("Herd.jobs['job-3'].tries = 2", "not to be with others: job-3"),
        ("Herd.jobs['job-2'].stream = '4'", "not to be with others: job-2"),
        ("Herd.jobs['job-4'].due = Herd.now + 1", "not due with the first: job-4"),
        ("Herd.jobs['job-6'].beside = 'job-7'", "though it does not run: job-6"),
    ],
)
def test_a_batch_that_is_spoilt_is_told_by_the_check(code, wrong):
    it = a_batch()
    assert it.processes[HERDER].lua.execute(CHECK) is None
    it.processes[HERDER].lua.execute(code)
    assert wrong in str(it.processes[HERDER].lua.execute(CHECK))


def test_a_rule_that_fails_half_way_leaves_no_trace():
    """Each message of a busy herd is tried with a fault at its end: the herd is then exactly what it was."""
    it = HerdStory(workers=2)
    for n in range(4):
        it.pay(ALICE, 20 + n)
    lua = it.processes[HERDER].lua
    it.send(BOB, HERDER, "Prompt", "some text", Label="p")
    messages = [
        (OPERATOR, "Retire-Worker", {"Worker": worker_id(0)}), (OPERATOR, "Set-Price", {"Base-Fee": "9"}),
        (OPERATOR, "Set-Limits", {"Max-Queue": "9"}), (OPERATOR, "Pause", {}), (ALICE, "Cancel", {"Job": "job-4"}),
        (BOB, "Prompt", {"Label": "p"}), (OPERATOR, "Register-Worker", {"Worker": worker_id(8)}),
        (worker_id(0), "Inference-Response", {"Job": "job-1"}), (worker_id(0), "Inference-Error", {"Job": "job-1"}),
    ]  # fmt: skip
    lua.execute("Herd.ledger.credits = '999'")  # what the ledger's assertion finds at the end of every turn
    before = it.image()
    for sender, action, tags in messages:
        named = [{"name": name, "value": value} for name, value in ({"Action": action} | tags).items()]
        it.clock.pass_ms(1)
        evaluation = it.send_tags(sender, HERDER, named, "text")
        assert not evaluation.sent and "changed nothing" in evaluation.printed
        assert it.image() == before, action
    assert json.loads(it.ask(BOB, TOKEN, "Balances").data)[HERDER] == "86"


def test_a_batch_answer_that_fails_half_way_leaves_no_trace():
    it = a_batch()
    said = [answer_to(job) for job in it.batches()[-1]]
    said[1] |= {"Action": "Inference-Error", "Code": "bad-request"}
    it.processes[HERDER].lua.execute("Herd.ledger.credits = '999'")
    before, told = it.image(), len(it.log)
    it.speak(worker_id(0), HERDER, "Inference-Batch-Response", json.dumps(said))
    assert not it.log[told].sent and "changed nothing" in it.log[told].printed and it.image() == before
