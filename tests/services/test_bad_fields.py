"""Every field of every message of the herd, missing, empty, doubled, huge, negative, no number, of another type.

Whatever it is, nothing fails, the books agree, whoever paid gets an answer or the money, and the herd goes on serving.
"""

import json

import pytest
from services.herd_story import HERDER, MONEY, TOKEN, HerdStory, answer_to, worker_id
from services.story import ALICE, BOB, MODEL, OPERATOR, FakeEngine, Story, named_id

from puna.services import programs

BAD = {
    "missing": lambda value: [],
    "empty": lambda value: [""],
    "doubled": lambda value: [value, value + "x"],
    "doubled the other way": lambda value: ["-1", value],
    "huge": lambda value: ["9" * 1500],
    "huge in characters of two bytes": lambda value: ["x" + "ä" * 700],
    "negative": lambda value: ["-7"],
    "no number": lambda value: ["abc"],
    "no whole number": lambda value: ["1.5"],
    "hexadecimal": lambda value: ["0x10"],
    "of another type": lambda value: ['{"a":[1,null]}'],
    "a list": lambda value: ["[]"],
    "control characters": lambda value: ["\x00\x1b\n\x7f"],
}

# The same for a field in JSON, which has values that no tag has. A name may be there twice, too.
BAD_IN_JSON = BAD | {
    "nothing": lambda value: [None],
    "a number": lambda value: [7],
    "a negative number": lambda value: [-1],
    "no whole number": lambda value: [0.5],
    "a huge number": lambda value: [10**300],
    "true": lambda value: [True],
    "an array": lambda value: [[value]],
    "an array with a hole": lambda value: [[1, None, 2]],
    "an object": lambda value: [{"a": {"b": []}}],
    "doubled in another type": lambda value: [value, {}],
}

PAYMENT = {
    "X-Prompt": "hi there", "X-Tokens": "10", "X-Reference": "mine", "X-Termination": "END", "X-Temperature": "0.5",
    "X-Seed": "7", "X-Top-P": "0.5", "X-Deadline": "1800000000000", "X-Model": MODEL, "X-System": "be brief",
    "X-Stream": "4", "X-Prompt-Ref": "ahead", "X-System-Ref": "ahead", "Quantity": "20", "Recipient": HERDER,
}  # fmt: skip
TO_HERDER = {
    "Prompt": (BOB, {"Label": "p"}, "a text"),
    "Quote": (
        BOB,
        {"Tokens": "10", "X-Model": MODEL, "Model": MODEL, "X-System": "be brief", "System-Bytes": "3"},
        "a b",
    ),
    "Status": (BOB, {"Job": "job-1", "X-Reference": "mine"}, ""),
    "Cancel": (ALICE, {"Job": "job-2", "X-Reference": "waits"}, ""),
    "Info": (BOB, {"Reference": "7", "Reply-To": BOB}, ""),
    "Queue": (BOB, {"Reference": "7", "Reply-To": BOB}, ""),
    "Inference-Response": (
        worker_id(0),
        {"Job": "job-1", "Tokens-Used": "4", "Prompt-Tokens": "3", "Finish": "stop", "Model": MODEL,
         "Model-Name": "fake", "Arithmetic": "canonical-1", "Inference": "m" * 43, "Prompt-Ids": "AQID",
         "Token-Ids": "BAU"},
        "an answer",
    ),
    "Inference-Error": (worker_id(0), {"Job": "job-1", "Code": "worker-failed", "Error": "it broke"}, "it broke"),
    "Inference-Batch-Response": (worker_id(0), {"Inference": "m" * 43}, '[{"Job":"job-1"}]'),
    "Inference-Part": (worker_id(0), {"Job": "job-1", "Index": "1"}, "a piece"),
    "Worker-Heartbeat": (worker_id(0), {"Model": MODEL, "Batch": "8"}, ""),
    "Register-Worker": (OPERATOR, {"Worker": worker_id(5), "Model": MODEL, "Model-Name": "fake", "Batch": "2"}, ""),
    "Retire-Worker": (OPERATOR, {"Worker": worker_id(1)}, ""),
    "Pause": (OPERATOR, {"Reference": "7"}, ""),
    "Resume": (OPERATOR, {"Reference": "7"}, ""),
    "Set-Price": (OPERATOR, {"Base-Fee": "1", "Token-Fee": "1"}, ""),
    "Set-Limits": (OPERATOR, {"Max-Queue": "500", "Max-Wait": "3600000"}, ""),
    "Withdraw": (OPERATOR, {"Quantity": "1", "Recipient": OPERATOR}, ""),
    "Debit-Notice": (TOKEN, {"X-Reference": "withdraw-1", "Quantity": "5"}, ""),
    "Transfer-Error": (TOKEN, {"X-Reference": "withdraw-1", "Error": "no"}, ""),
}  # fmt: skip


NUMBERS = """
local numbers = {}
for _, job in pairs(Herd.jobs) do table.insert(numbers, job.number) end
return table.concat(numbers, " ")
"""


def tags_with(valid: dict[str, str], field: str, values: list[str]) -> list[dict[str, str]]:
    """The tags of a valid message with one field spoilt."""
    named = [(name, value) for name, value in valid.items() if name != field]
    return [{"name": name, "value": value} for name, value in [*named, *((field, value) for value in values)]]


def cases(messages: dict[str, dict[str, str]]):
    rows = [(message, field) for message, fields in messages.items() for field in fields]
    return pytest.mark.parametrize("message, field", rows)


def deliver(it: Story, sender: str, to: str, tags: list, data: str = "") -> None:
    """A message from anybody: a wallet signs it, a process sends it."""
    if sender in (ALICE, BOB, OPERATOR):
        it.send_tags(sender, to, tags, data)
    else:
        it.waiting.append((sender, {"Target": to, "Tags": tags, "Data": data}))
        it.settle()


def is_unharmed(it: HerdStory, why: str) -> None:
    """The herder failed at nothing, its books agree, and after all is done it serves the next one."""
    assert not any("failed and changed nothing" in e.printed for e in it.log), why
    it.check_books()
    it.send(OPERATOR, HERDER, "Resume")
    it.send(OPERATOR, HERDER, "Set-Price", Base_Fee="1", Token_Fee="1")
    for _ in range(2):
        it.later(61)
    assert it.herd("next(herd.jobs)") is None and it.ledger()["held"] == 0, why
    it.register(0)
    it.register(1)
    it.pay(BOB, 100, prompt="still there", X_Reference=why)
    assert it.given()[-1] == "still there", why
    it.answer(0, "yes", Tokens_Used="1") if it.worker_state(0) == "busy" else it.answer(1, "yes", Tokens_Used="1")
    assert it.answers(BOB)[-1].tags["X-Reference"] == why
    it.log.clear()


@cases({"Transfer": PAYMENT})
def test_a_payment_with_a_bad_field_is_answered_or_refunded(message, field):
    it = HerdStory(workers=2)
    valid = {"Action": message, "Recipient": HERDER, "Quantity": "40", "X-Prompt": "hi there", "X-Tokens": "10"}
    for how, spoil in BAD.items():
        it.wallets.clear()
        before = it.balance(ALICE)
        it.send(ALICE, HERDER, "Prompt", "a text sent ahead", Label="ahead")
        deliver(it, ALICE, TOKEN, tags_with(valid | {field: PAYMENT[field]}, field, spoil(PAYMENT[field])))
        errors, taken = it.errors(), [n for n in range(2) if it.worker_state(n) == "busy"]
        assert errors or taken or it.received(ALICE, "Transfer-Error") or it.balance(HERDER) == 0, how
        if errors:
            assert it.balance(ALICE) == before and errors[0].tags["Error"], how
            assert errors[0].tags["Code"] in ("bad-request", "deadline"), how
        elif taken:
            it.answer(taken[0], Tokens_Used="10")
            assert it.answers()[-1].tags["Paid"] in ("40", "20"), how
        is_unharmed(it, how)
        it.send(OPERATOR, HERDER, "Withdraw")


@cases({action: fields | {"Action": action} for action, (_, fields, _) in TO_HERDER.items()})
def test_a_message_with_a_bad_field_harms_nobody(message, field):
    it = HerdStory(workers=2)
    sender, fields, data = TO_HERDER[message]
    for how, spoil in BAD.items():
        it.wallets.clear()
        it.send(OPERATOR, HERDER, "Set-Limits", **{"Max-Queue": "500", "Max-Wait": "3600000"})
        for reference in ("mine", "second", "waits"):
            it.pay(ALICE, 20, X_Reference=reference)
        numbers = sorted(int(job) for job in it.processes[HERDER].lua.execute(NUMBERS).split())
        valid = {"Action": message} | fields | {name: f"job-{numbers[0]}" for name in ("Job",) if name in fields}
        if message == "Cancel":
            valid["Job"] = f"job-{numbers[2]}"
        deliver(it, sender, HERDER, tags_with(valid, field, spoil(valid[field])), data)
        is_unharmed(it, how)
        # Whoever had paid has heard of each job once.
        ends = [e.tags["Job"] for e in (*it.answers(ALICE), *it.errors(ALICE))]
        assert sorted(ends) == sorted(f"job-{number}" for number in numbers), how


def in_json(valid: dict[str, str], field: str, values: list) -> str:
    """A valid object with one field spoilt."""
    named = [(name, value) for name, value in valid.items() if name != field]
    named += [(field, value) for value in values]
    return "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in named) + "}"


def given_a_batch(it: HerdStory) -> list[dict[str, str]]:
    """Three jobs of Alice that worker 0, the only one, has got together."""
    it.send(OPERATOR, HERDER, "Retire-Worker", Worker=worker_id(1))
    it.register(0, Batch="8")
    it.pay(BOB, 20, prompt="busy now")
    for prompt in ("one", "two", "three"):
        it.pay(ALICE, 20, prompt=prompt, X_Reference=prompt)
    it.answer()
    batch = it.batches()[-1]
    assert [job["Data"] for job in batch] == ["one", "two", "three"]
    return batch


def ends_of(it: HerdStory) -> list[str]:
    """The jobs of whose end Alice has heard."""
    return sorted(e.tags["Job"] for e in (*it.answers(ALICE), *it.errors(ALICE)))


IN_A_BATCH = {
    action: TO_HERDER[action][1] | {"Action": action, "Data": TO_HERDER[action][2]}
    for action in ("Inference-Response", "Inference-Error")
}


@cases(IN_A_BATCH)
@pytest.mark.parametrize("place", [0, 1])
def test_an_answer_in_a_batch_with_a_bad_field_harms_nobody_and_no_other_answer(message, field, place):
    it = HerdStory(workers=2)
    for how, spoil in BAD_IN_JSON.items():
        it.wallets.clear()
        batch = given_a_batch(it)
        said = [json.dumps(answer_to(job)) for job in batch]
        valid = IN_A_BATCH[message] | {"Job": batch[place]["Job"]}
        said[place] = in_json(valid, field, spoil(valid[field]))
        it.say_batch(0, f"[{','.join(said)}]")
        others = {job["Job"] for job in batch} - {batch[place]["Job"]}
        assert others <= {answer.tags["Job"] for answer in it.answers()}, how
        is_unharmed(it, how)
        assert ends_of(it) == sorted(job["Job"] for job in batch), how


@pytest.mark.parametrize("field", ["Action", "Inference", "Data-Protocol", "X-Reference"])
def test_a_batch_answer_with_a_bad_tag_harms_nobody(field):
    it = HerdStory(workers=2)
    for how, spoil in BAD.items():
        it.wallets.clear()
        batch = given_a_batch(it)
        valid = {"Action": "Inference-Batch-Response", "Inference": "m" * 43, "Data-Protocol": "ao", "X-Reference": "7"}
        said = json.dumps([answer_to(job) for job in batch])
        deliver(it, worker_id(0), HERDER, tags_with(valid, field, spoil(valid[field])), said)
        is_unharmed(it, how)
        assert ends_of(it) == sorted(job["Job"] for job in batch), how


DATA = {"empty": "", "blank": " \n", "huge": "x" * 100_000, "control characters": "\x00\x1b[31m", "a table": '{"a":1}',
        "a list": "[1,2]", "no JSON": "{"}  # fmt: skip


@pytest.mark.parametrize("action", [action for action, (_, _, data) in TO_HERDER.items() if data])
@pytest.mark.parametrize("how", DATA)
@pytest.mark.parametrize("as_json", [False, True])
def test_data_of_any_kind_harms_nobody(action, how, as_json):
    if as_json and how not in ("a table", "a list"):
        return  # the environment refuses what says it is JSON and is not
    it = HerdStory(workers=2)
    if action == "Inference-Batch-Response":
        given_a_batch(it)
    else:
        it.pay(ALICE, 20, X_Reference="mine")
    sender, fields, _ = TO_HERDER[action]
    content = {"Content-Type": "application/json"} if as_json else {}
    deliver(it, sender, HERDER, tags_with({"Action": action} | fields | content, "", []), DATA[how])
    is_unharmed(it, how)


@pytest.mark.parametrize("field", ["Sender", "Quantity"])
@pytest.mark.parametrize("how", BAD)
def test_a_credit_notice_of_the_token_with_a_bad_field_makes_no_money(field, how):
    it = HerdStory()
    valid = {"Action": "Credit-Notice", "Sender": ALICE, "Quantity": "20", "X-Prompt": "hi", "X-Tokens": "3"}
    it.send(OPERATOR, TOKEN, "Mint", Recipient=HERDER, Quantity=str(MONEY))
    before = it.ledger()
    deliver(it, TOKEN, HERDER, tags_with(valid, field, BAD[how](valid[field])))
    after = it.ledger()
    taken = after["credits"] - before["credits"]
    assert after["credits"] == after["earned"] + after["refunded"] + after["held"]
    assert taken in (0, 7, 20) and not any("failed and changed nothing" in e.printed for e in it.log)
    if field == "Sender" and how == "missing":
        assert after["earned"] == taken  # nobody to give it back to


INFERENCE = {"Tokens": "10", "Job": "job-1", "Termination": "END", "Temperature": "0.5", "Seed": "7", "Top-P": "0.5",
             "Stream": "4", "System-Bytes": "3", "Client": ALICE, "X-Reference": "mine"}  # fmt: skip


@cases({"Inference": INFERENCE})
def test_a_worker_answers_every_inference_once_whatever_is_in_it(message, field):
    it = Story(engine=FakeEngine(text="one two three four five six"))
    herder, worker = named_id("HERDER"), worker_id(0)
    it.spawn("WORKER0", programs.source(programs.WORKER), Herder=herder, Model=MODEL, Extension="Llama")
    for how, spoil in BAD.items():
        it.wallets.clear()
        tags = tags_with({"Action": message} | INFERENCE, field, spoil(INFERENCE[field]))
        deliver(it, herder, worker, tags, "to be or")
        ends = [e for e in it.wallets[herder] if e.action in ("Inference-Response", "Inference-Error")]
        assert len(ends) == 1 and not it.dropped, how
    deliver(it, herder, worker, tags_with({"Action": message, "Tokens": "2", "Job": "next"}, "", []), "to be")
    assert it.wallets[herder][-1].tags["Job"] == "next"


@cases({"Inference-Batch": {name: value for name, value in INFERENCE.items() if name != "Stream"} | {"Data": "to be"}})
def test_a_worker_answers_every_job_of_a_batch_once_whatever_is_in_it(message, field):
    it = Story(engine=FakeEngine(text="one two three four five six"))
    herder, worker = named_id("HERDER"), worker_id(0)
    it.spawn("WORKER0", programs.source(programs.WORKER), Herder=herder, Model=MODEL, Extension="Llama")
    valid = {name: value for name, value in INFERENCE.items() if name != "Stream"} | {"Data": "to be or"}
    for how, spoil in BAD_IN_JSON.items():
        it.wallets.clear()
        spoilt = in_json(valid, field, spoil(valid[field]))
        data = f"[{json.dumps(valid | {'Job': 'before'})},{spoilt},{json.dumps(valid | {'Job': 'after'})}]"
        deliver(it, herder, worker, tags_with({"Action": message}, "", []), data)
        (answer,) = it.wallets[herder]
        said = json.loads(answer.data)
        assert (answer.action, len(said), it.dropped) == ("Inference-Batch-Response", 3, []), how
        assert [(each["Action"], each["Job"]) for each in (said[0], said[2])] == [
            ("Inference-Response", "before"), ("Inference-Response", "after"),
        ], how  # fmt: skip


TO_CLIENT = {
    "Info-Response": {"Base-Fee": "1", "Token-Fee": "1", "Last-Multiplier": "1", "Queue-Length": "0",
                      "Max-Prompt-Data": "32768", "Counted-With-Model": "tokens"},
    "Inference-Response": {"X-Reference": "herder-0", "Fee": "3", "Refund": "4"},
    "Inference-Error": {"X-Reference": "herder-0", "Error": "it broke", "Code": "worker-failed"},
    "Inference-Part": {"X-Reference": "herder-0", "Index": "1"},
    "Quote-Response": {"X-Reference": "herder-0", "Price": "5"},
    "Prompt-Stored": {"X-Reference": "herder-0", "Label": "x"},
    "Prompt-Error": {"X-Reference": "herder-0", "Error": "no"},
}  # fmt: skip


@cases(TO_CLIENT)
def test_the_client_package_survives_whatever_a_herder_says(message, field):
    it = HerdStory()
    package = programs.source(programs.LLAMA_HERDER).decode()
    app = named_id("APP")
    it.spawn(
        "APP", f'Llama = (function() {package}\nend)() Llama.herder, Llama.token = "{HERDER}", "{TOKEN}" HEARD = 0'
    )
    it.send(OPERATOR, TOKEN, "Mint", Recipient=app, Quantity=str(MONEY))
    count = "function() HEARD = HEARD + 1 end"
    fields = TO_CLIENT[message]
    for how, spoil in BAD.items():
        it.send(OPERATOR, app, "Eval", f'HEARD = 0 Llama.run("a b", 3, {count}, nil, "r", {{ Model = "fake" }})')
        valid = {"Action": message} | fields | ({"X-Reference": "r"} if "X-Reference" in fields else {})
        deliver(it, HERDER, app, tags_with(valid, field, spoil(valid[field])), "text")
        assert it.processes[app].eval("HEARD") <= 1, how
        it.answer()
        assert it.processes[app].eval("HEARD") == 1, how
        it.send(OPERATOR, app, "Eval", f'Llama.getPrices(function() Llama.run("c", 1, {count}) end)')
        assert it.given()[-1] == "c", how
        it.answer()


@pytest.mark.parametrize("action", ["Transfer", "Mint", "Balance"])
@pytest.mark.parametrize("field", ["Recipient", "Quantity", "Cast", "X-Anything", "Target", "Action"])
def test_the_token_survives_whatever_it_is_sent(action, field):
    it = HerdStory()
    sender = OPERATOR if action == "Mint" else ALICE
    valid = {"Action": action, "Recipient": BOB, "Quantity": "5"} | ({} if field == "Quantity" else {field: BOB})
    for spoil in BAD.values():
        deliver(it, sender, TOKEN, tags_with(valid, field, spoil(valid[field])))
    everybody = it.processes[TOKEN].lua.execute(
        "local sum = require('.bint')(256)(0) for _, units in pairs(Balances) do "
        "assert(units:match('^[1-9]%d*$')) sum = sum + require('.bint')(256)(units) end return tostring(sum)"
    )
    assert everybody == it.processes[TOKEN].eval("TotalSupply")
