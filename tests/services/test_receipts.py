"""Receipts: put together from the log alone, written once whatever happens, and wrong in no line unnoticed."""

import asyncio
import threading
from contextlib import asynccontextmanager

import msgspec
import pytest
from services.whole import OPERATOR, USER, PlayedEngine, dying, whole

from puna.arweave.dataitem import sign_item
from puna.arweave.store.port import Query
from puna.arweave.tags import Tag
from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid
from puna.node.receipts import Receipts
from puna.services.herder.client import Request, ask, fitted, label_of, payment, quote, send_ahead
from puna.services.letters import message
from puna.services.receipts import Receipt, check, find_receipt, gather, read_receipt, receipt_item

QUESTION = "What is the meaning of life?"


@asynccontextmanager
async def writing(it):
    receipts = Receipts(it.store, OPERATOR, it.units.hub, lambda: it.network)
    await receipts.start()
    try:
        yield receipts
    finally:
        await receipts.stop()


def receipts_in(store):
    return [entry.item for entry in store.find(Query(tags=(("Type", ("Inference-Receipt",)),)))]


async def receipt_of(it, name):
    """The receipt of a payment or response, once it is written."""
    async with it.link.events() as events:
        while (item := find_receipt(it.store, name)) is None:
            await anext(events)
    return item


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A log with one receipt in it, and the receipt; nothing runs any more."""
    folder = tmp_path_factory.mktemp("answered")

    async def once():
        async with whole(folder) as it, writing(it):
            answer = await ask(it.link, USER, it.network, QUESTION, 20, stop=["END"], temperature=0.5, seed=3)
            item = await receipt_of(it, answer.response)
            views = {entry.item.id: entry.item for entry in it.store.find(Query(limit=10**6))}
            return it.network, answer, item, views

    return asyncio.run(once())


def test_a_receipt_says_what_was_asked_and_answered_and_paid(answered):
    network, answer, item, _ = answered
    receipt = read_receipt(item)
    assert (receipt.payer, receipt.prompt, receipt.text) == (USER.address, QUESTION, "to eat grass")
    assert (receipt.paid, receipt.fee, receipt.refund) == ("27", "10", "17")
    asked = receipt.parameters
    assert (asked.tokens, asked.temperature, asked.seed, asked.stop) == (20, 0.5, 3, ("END",))
    assert (receipt.model.id, receipt.model.name, receipt.arithmetic) == (network.model, "Played", "canonical-1")
    assert (receipt.tokens, receipt.prompt_tokens, receipt.finish) == (3, 7, "stop")
    assert len(receipt.prompt_ids) == 7 and receipt.output_ids == (0, 1, 2)
    told = receipt.messages
    assert (told.payment, told.inference, told.response) == (answer.transfer, answer.inference, answer.response)
    assert receipt.processes.worker == answer.worker and item.address == OPERATOR.address


def test_it_is_found_by_its_own_id_and_by_those_of_its_messages_and_made_again_it_is_the_same(answered):
    network, _, item, views = answered

    class Store:
        def view(self, id):
            return views.get(id)

        def find(self, query):
            found = [item for item in views.values() if query.matches(item)]
            entries = [type("Entry", (), {"item": each, "sequence": at}) for at, each in enumerate(found, 1)]
            return (entries[::-1] if query.newest_first else entries)[: query.limit]

    receipt = read_receipt(item)
    told = receipt.messages
    for name in (item.id, told.payment, told.credit, told.response):
        assert find_receipt(Store(), name).id == item.id
    assert find_receipt(Store(), told.inference) is None
    again = gather(Store(), network.token, network.herder, network.authority, views[told.response])
    assert receipt_item(OPERATOR, again).id == item.id


def test_a_true_receipt_agrees_in_every_line(answered):
    _, _, item, views = answered
    checks = check(item, views.get, OPERATOR.address)
    assert [str(each) for each in checks if not each.agrees] == [] and len(checks) > 25


def forged(receipt: Receipt, path: str, value):
    """The receipt with one field changed, signed by the operator all the same."""
    plain = msgspec.to_builtins(receipt)
    *outer, last = path.split(".")
    place = plain
    for name in outer:
        place = place[name]
    assert place[last] != value
    place[last] = value
    return receipt_item(OPERATOR, msgspec.convert(plain, Receipt))


STRANGE = "x" * 43


@pytest.mark.parametrize(
    "path, value, what",
    [
        ("version", 2, "receipt is"),
        ("payer", STRANGE, "payer is"),
        ("reference", "other", "response (from, to, reference, text)"),
        ("payment.id", STRANGE, "signature of the payment is not in the log"),
        ("payment.owner", "AA", "payment's signature"),
        ("payment.signature", "AA", "payment's signature"),
        ("payment.signature_type", 1, "payment's signature"),
        ("prompt", "What is the price?", "prompt is"),
        ("system", "Lie.", "system text is"),
        ("parameters.tokens", 21, "tokens asked for"),
        ("parameters.temperature", 0.0, "parameters is"),
        ("parameters.seed", 4, "parameters is"),
        ("parameters.stop", [], "parameters is"),
        ("parameters.top_p", 0.5, "parameters is"),
        ("parameters.format", "chat", "parameters is"),
        ("model.id", STRANGE, "response (model, arithmetic, finish, fee)"),
        ("arithmetic", "canonical-2", "response (model, arithmetic, finish, fee)"),
        ("prompt_ids", [1, 2], "Prompt-Ids of the response"),
        ("output_ids", [1, 2], "attested token ids"),
        ("output_ids", None, "Token-Ids of the response"),
        ("text", "to pay taxes", "attested answer"),
        ("finish", "length", "worker's answer"),
        ("tokens", 4, "worker's answer"),
        ("paid", "28", "paid is 28"),
        ("fee", "11", "response (model, arithmetic, finish, fee)"),
        ("fee", "-1", "response (model, arithmetic, finish, fee)"),
        ("refund", "16", "paid = fee + refund"),
        ("processes.token", STRANGE, "payment's token"),
        ("processes.herder", STRANGE, "payment's recipient"),
        ("processes.worker", STRANGE, "Inference (from, to, client)"),
        ("messages.credit", STRANGE, "signature of the Credit-Notice"),
        ("messages.inference", STRANGE, "signature of the Inference"),
        ("messages.completion", STRANGE, "signature of the worker's answer"),
        ("messages.response", STRANGE, "signature of the response"),
        ("messages.prompt", STRANGE, "signature of the prompt"),
        ("attestation", None, "attestation of the worker's evaluation is absent"),
        ("attestation.id", STRANGE, "signature of the attestation"),
        ("attestation.state_root", "AA", "attestation in the receipt"),
    ],
)
def test_a_receipt_that_lies_in_one_field_is_found_out_by_name(answered, path, value, what):
    _, _, item, views = answered
    checks = check(forged(read_receipt(item), path, value), views.get, OPERATOR.address)
    wrong = [str(each) for each in checks if not each.agrees]
    assert wrong and what in wrong[0]


class Patient(PlayedEngine):
    """Begins its first answer when it is told to; then says as many words as the prompt has."""

    def __init__(self):
        super().__init__()
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def generate(self, path, tokens, limit, sampling, stop, on_tokens):
        self.begun.set()
        self.may_go_on.wait()
        self.text = " ".join(["grass"] * len(tokens))
        return super().generate(path, tokens, limit, sampling, stop, on_tokens)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """As `answered`, but of three requests that a worker got at once; and the receipts made again out of the log."""
    folder = tmp_path_factory.mktemp("together")

    async def once():
        async with whole(folder, Patient(), workers=1) as it, writing(it):
            first = asyncio.create_task(ask(it.link, USER, it.network, QUESTION, 9))
            await asyncio.to_thread(it.engine.begun.wait)
            async with it.link.events() as events:
                others = [
                    asyncio.create_task(ask(it.link, USER, it.network, prompt, 9, system=system, seed=seed))
                    for prompt, system, seed in (
                        ("Why?", None, None), ("What is two?", "Be brief.", 4), ("Who are you?", None, None)
                    )
                ]  # fmt: skip
                waiting = 0
                while waiting < len(others):
                    event = await anext(events)
                    waiting += event["kind"] == "evaluated" and event["process"] == it.network.herder
            it.engine.may_go_on.set()
            await first
            answers = await asyncio.gather(*others)
            items = [await receipt_of(it, answer.response) for answer in answers]
            views = {entry.item.id: entry.item for entry in it.store.find(Query(limit=10**6))}
            again = [
                gather(it.store, it.network.token, it.network.herder, it.network.authority, views[answer.response])
                for answer in answers
            ]
            return answers, items, views, again

    return asyncio.run(once())


def test_jobs_that_a_worker_got_at_once_have_a_true_receipt_each(together):
    answers, items, views, again = together
    receipts = [read_receipt(item) for item in items]
    assert len({(each.messages.inference, each.messages.completion) for each in receipts}) == 1
    assert [each.prompt for each in receipts] == ["Why?", "What is two?", "Who are you?"]
    assert [each.system for each in receipts] == ["", "Be brief.", ""]
    assert [each.text for each in receipts] == [answer.text for answer in answers]
    assert [len(each.text.split()) for each in receipts] == [each.tokens for each in receipts] == [2, 6, 4]
    assert [each.parameters.seed for each in receipts] == [0, 4, 0]
    for item, made_again in zip(items, again, strict=True):
        assert [str(each) for each in check(item, views.get, OPERATOR.address) if not each.agrees] == []
        assert receipt_item(OPERATOR, made_again).id == item.id


@pytest.mark.parametrize(
    "path, value, what",
    [
        ("prompt", "Why?", "prompt is"),
        ("system", "", "system text is"),
        ("parameters.tokens", 10, "tokens asked for"),
        ("parameters.seed", 0, "parameters is"),
        ("text", "grass grass", "attested answer"),
        ("output_ids", [0, 1], "attested token ids"),
        ("tokens", 2, "worker's answer"),
    ],
)
def test_a_receipt_that_tells_of_its_neighbour_in_the_batch_is_found_out(together, path, value, what):
    _, items, views, _ = together
    checks = check(forged(read_receipt(items[1]), path, value), views.get, OPERATOR.address)
    wrong = [str(each) for each in checks if not each.agrees]
    assert wrong and what in wrong[0]


def test_a_batch_that_was_altered_or_holds_nothing_is_found_out(together):
    _, items, views, _ = together
    told = read_receipt(items[1]).messages
    for name in ("inference", "completion"):
        real = views[getattr(told, name)]
        for data in (b"[]", b"no JSON", b"[1]", b'[{"Job": 1}]'):
            other = sign_item(OPERATOR, data=data, tags=real.tags, target=real.target, anchor=real.anchor)
            checks = check(items[1], {**views, real.id: other}.get)
            assert [each.what for each in checks if not each.agrees]


def test_a_stranger_may_not_write_receipts(answered):
    _, _, item, views = answered
    stranger = new_ed25519_wallet()
    checks = check(receipt_item(stranger, read_receipt(item)), views.get, OPERATOR.address)
    assert [each.what for each in checks if not each.agrees] == ["signer of the receipt"]
    spoilt = sign_item(OPERATOR, data=b"{}", tags=item.tags)
    assert "readable" in str(next(each for each in check(spoilt, views.get) if not each.agrees))
    with pytest.raises(Invalid):
        read_receipt(sign_item(OPERATOR, data=bytes(item.data), tags=[Tag("Type", "Other")]))


def test_an_item_of_the_log_that_was_altered_is_found_out(answered):
    _, _, item, views = answered
    told = read_receipt(item).messages
    for name in ("payment", "credit", "inference", "completion", "response"):
        real = views[getattr(told, name)]
        other = type(real)(real.signature_type, real.signature, real.owner, real.target, real.anchor, real.tags, b"!")
        checks = check(item, {**views, real.id: other}.get)
        assert "not valid" in str(next(each for each in checks if not each.agrees))


async def test_every_answer_has_one_receipt_also_of_before_a_restart(tmp_path):
    async with whole(tmp_path) as it:  # nobody writes receipts here
        before = [await ask(it.link, USER, it.network, QUESTION, 20) for _ in range(2)]
    async with whole(tmp_path) as it:
        async with writing(it):
            for answer in before:
                await receipt_of(it, answer.response)
            answer = await ask(it.link, USER, it.network, QUESTION, 20)
            await receipt_of(it, answer.transfer)
        async with writing(it):
            pass
        assert len({read_receipt(item).messages.response for item in receipts_in(it.store)}) == 3
        assert len(receipts_in(it.store)) == 3


@pytest.mark.parametrize("appends", range(6, 13, 2))
async def test_killed_at_any_moment_each_answer_ends_with_exactly_one_receipt(tmp_path, appends):
    async with whole(tmp_path) as it:
        network = it.network
    async with dying(tmp_path, appends) as it:
        receipts = Receipts(it.store, OPERATOR, it.units.hub, lambda: network)
        await receipts.start()
        asking = asyncio.create_task(ask(it.link, USER, network, QUESTION, 5))
        dead = asyncio.create_task(it.dead.wait())
        await asyncio.wait([asking, dead], return_when=asyncio.FIRST_COMPLETED)
    async with whole(tmp_path) as it, writing(it):
        async with it.link.events() as events:
            while it.store.notes("ao/journey/"):
                await asyncio.wait_for(anext(events), 30)
        answers = it.store.find(Query(recipients=(USER.address,), tags=(("Action", ("Inference-Response",)),)))
        for answer in answers:
            await receipt_of(it, answer.item.id)
        assert [read_receipt(item).messages.response for item in receipts_in(it.store)] == [a.item.id for a in answers]


async def test_a_long_prompt_and_a_system_text_are_in_the_receipt_whole(tmp_path):
    async with whole(tmp_path) as it, writing(it):
        network, prompt, system = it.network, "grass " * 550, "Be brief. " * 20
        request = Request(prompt, 2, system=system)
        offer = await quote(it.link, network.herder, prompt, 2, system=system)
        request = fitted(request, "long", offer)
        for name in request.ahead:
            label = label_of(name, "long")
            await send_ahead(it.link, USER, network.herder, label, request.texts[name])
        item = payment(USER, network, request, "long", offer.price)
        it.engine.encode_chat = lambda path, messages: [1, 3]
        await it.link.submit(item)
        receipt = await receipt_of(it, item.id)
        told = read_receipt(receipt)
        assert (told.prompt, told.system) == (prompt, system) and told.messages.prompt
        assert [str(each) for each in check(receipt, it.store.view) if not each.agrees] == []


async def test_an_answer_to_a_process_has_a_receipt_too(tmp_path):
    program = """
    Handlers.add("Go", function(msg)
      Send({ Target = msg.Token, Action = "Transfer", Recipient = msg.Herder, Quantity = "20",
             ["X-Prompt"] = "hi", ["X-Tokens"] = "5", ["X-Reference"] = "mine" })
    end)
    """
    async with whole(tmp_path) as it, writing(it):
        network = it.network
        born = await spawn(it, program)
        await it.link.submit(message(USER, network.token, {"Action": "Transfer", "Recipient": born, "Quantity": "99"}))
        async with it.link.events() as events:
            await it.link.submit(message(USER, born, {
                "Action": "Go", "Token": network.token, "Herder": network.herder
            }))  # fmt: skip
            async for event in events:
                if event["kind"] == "receipt":
                    break
        item = it.store.view(event["message"])
        told = read_receipt(item)
        assert told.payer == born and told.payment.id == event["payment"] and told.reference == "mine"
        assert [str(each) for each in check(item, it.store.view) if not each.agrees] == []


async def spawn(it, program: str) -> str:
    from puna.services.letters import process

    tags = {"Module": it.network.module, "Scheduler": it.network.scheduler, "Authority": it.network.authority}
    item = process(USER, tags | {"Name": "Asker"})
    await it.link.submit(item)
    await it.link.result(item.id, item.id)
    loading = message(USER, item.id, {"Action": "Eval"}, program.encode())
    await it.link.submit(loading)
    assert (await it.link.result(item.id, loading.id)).error is None
    return item.id


async def test_the_place_up_to_which_answers_were_looked_at_moves_now_and_then_and_each_has_one_receipt(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("puna.node.receipts.AHEAD_MAX", 2)
    async with whole(tmp_path) as it, writing(it):
        places = []
        for _ in range(5):
            answer = await ask(it.link, USER, it.network, QUESTION, 20)
            await receipt_of(it, answer.response)
            places.append(int(it.store.note("receipts/seen") or 0))
        assert len(receipts_in(it.store)) == 5 and places == sorted(places) and 1 < len(set(places)) < 5
        for item in receipts_in(it.store):
            again = gather(
                it.store, it.network.token, it.network.herder, it.network.authority,
                it.store.view(read_receipt(item).messages.response),
            )  # fmt: skip
            assert receipt_item(OPERATOR, again).id == item.id
    async with whole(tmp_path) as it:
        async with it.link.events() as events, writing(it):
            while (await anext(events))["kind"] != "receipt":  # the fifth, looked at again
                pass
        assert len(receipts_in(it.store)) == 5
