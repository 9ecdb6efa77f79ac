"""The programs as they run on a node: compiled module, scheduler, messenger, store. Few stories, all of them whole."""

import asyncio
import threading

import pytest
from services.whole import OPERATOR, USER, PlayedEngine, dying, whole

from puna.ao.message import PROTOCOL, VARIANT
from puna.arweave.dataitem import sign_item
from puna.arweave.store.port import Query
from puna.arweave.tags import Tag
from puna.errors import Invalid, NotYet
from puna.llm.generate import Completion
from puna.services.apm.client import info, source
from puna.services.apm.packages import PACKAGES, REGISTRY_TAG
from puna.services.blueprints.client import digest
from puna.services.genesis import START_WINSTON
from puna.services.herder.client import ask, prices
from puna.services.herder.herd import herd
from puna.services.letters import message
from puna.services.stock import stock
from puna.services.token.client import balance, transfer
from puna.services.worker.client import warm


async def test_ask_pays_streams_and_accounts_for_everything(tmp_path):
    async with whole(tmp_path) as it:
        heard = []
        answer = await ask(it.link, USER, it.network, "What is the meaning of life?", 20, on_text=heard.append)
        assert answer.text == "to eat grass" == "".join(heard) and len(heard) == 3
        assert (answer.fee_winston, answer.tokens, answer.model) == (10, 3, "Played")
        assert (answer.paid_winston, answer.refund_winston) == (27, 17)
        assert (answer.prompt_ids, answer.token_ids) == ((1, *range(3, 9)), (0, 1, 2))
        (credit,) = it.store.find(Query(recipients=(it.network.herder,), tags=(("Action", ("Credit-Notice",)),)))
        assert answer.payment == credit.item.id and answer.inference
        assert answer.canonical and answer.worker in it.network.workers
        assert await balance(it.link, it.network.token, USER.address) == START_WINSTON - 10
        assert await balance(it.link, it.network.token, it.network.herder) == 10
        for process, message in ((answer.token, answer.transfer), (answer.worker, answer.inference)):
            assert (await it.link.result(process, message)).error is None
        assert ("X-Reference", answer.reference) in it.store.view(answer.response).tags


async def test_many_payers_at_once_are_all_answered_by_two_workers(tmp_path):
    async with whole(tmp_path) as it:
        asked = [ask(it.link, USER, it.network, f"question {n}", 5, patience_s=60) for n in range(12)]
        answers = await asyncio.gather(*asked)
        assert {answer.text for answer in answers} == {"to eat grass"}
        assert len({answer.response for answer in answers}) == 12
        paid = sum(answer.fee_winston for answer in answers)
        assert await balance(it.link, it.network.token, USER.address) == START_WINSTON - paid
        assert (await prices(it.link, it.network.herder)).workers_idle == 2


class Choir(PlayedEngine):
    """Counts the words of a prompt aloud. A question by itself has to wait for `gate`. Of several at once the first
    word of each is said, and the rest when somebody has set `heard`."""

    def __init__(self):
        super().__init__()
        self.gate, self.heard, self.together = threading.Event(), threading.Event(), []

    def generate(self, path, tokens, limit, sampling, stop, on_tokens):
        assert self.gate.wait(60)
        words = self.words(tokens)
        for index, word in enumerate(words):
            on_tokens([(index, word)])
        return self.completion(words)

    def generate_all(self, path, requests, on_tokens):
        self.together.append(len(requests))
        said = [self.words(each.tokens) for each in requests]
        for index in range(4):
            for place, words in enumerate(said):
                on_tokens(place, [(index, words[index])])
            assert self.heard.wait(60)
        return [self.completion(words) for words in said]

    def words(self, tokens):
        count = len(tokens) - 1  # after the one that begins each prompt
        return [b"%d" % count, b" words", b" were", b" said"]

    def completion(self, words):
        return Completion(tuple(range(len(words))), b"".join(words).decode(), "stop")


async def test_those_who_share_a_worker_each_hear_their_own_answer_while_it_is_made(tmp_path):
    choir = Choir()
    async with whole(tmp_path, choir, workers=1) as it:
        said = dict.fromkeys(range(1, 7), "")

        def asks(number):
            def hear(text):
                said[number] += text
                if all(said[other] for other in range(2, 7)):
                    choir.heard.set()

            return asyncio.create_task(ask(it.link, USER, it.network, "word " * number, 20, on_text=hear))

        async def until(is_so):
            while not is_so(await herd(it.link, it.network.herder)):
                pass

        asked = [asks(1)]
        await until(lambda seen: seen.running == 1)
        asked += [asks(number) for number in range(2, 7)]
        await until(lambda seen: seen.queue_length == 5)
        choir.gate.set()
        answers = await asyncio.gather(*asked)
        # The five were computed together, and no answer was there before something of each was heard.
        assert choir.together == [5] and len({answer.inference for answer in answers[1:]}) == 1
        assert said == {number: f"{number} words were said" for number in range(1, 7)}
        assert [answer.text for answer in answers] == list(said.values())


async def test_50_a_person_installs_the_package_funds_the_process_and_hears_the_answer(tmp_path):
    """The article's steps, message by message, in a process of the compiled module."""
    async with whole(tmp_path) as it:
        network = await stock(it.link, it.store, OPERATOR, it.network)
        tags = {"Module": network.module, "Scheduler": network.scheduler, "Authority": network.authority,
                "Name": "mine", REGISTRY_TAG: network.registry}  # fmt: skip
        named = (PROTOCOL, VARIANT, Tag("Type", "Process"), *(Tag(*tag) for tag in tags.items()))
        spawn = sign_item(USER, data=b" ", tags=named)
        await it.link.submit(spawn)
        await it.link.result(spawn.id, spawn.id)

        async def type_in(code: str) -> str:
            item = message(USER, spawn.id, {"Action": "Eval"}, code.encode())
            await it.link.submit(item)
            result = await it.link.result(spawn.id, item.id)
            assert result.error is None, result.error
            while it.store.notes("ao/journey/"):
                await asyncio.sleep(0)
            return result.output["data"]

        await transfer(it.link, USER, network.token, spawn.id, 1000)
        assert "Download requested" in await type_in('APM.install("@puna/Llama-Herder")')
        assert await type_in("return apm.list()") == f"@puna/Llama-Herder@{PACKAGES[-1].version}"
        await type_in("OUTPUTS = {}")
        question = "What is the meaning of life?"
        await type_in(f'Llama.run("{question}", 20, function(text) table.insert(OUTPUTS, text) end)')
        assert await type_in("return OUTPUTS[1]") == "to eat grass"
        assert await balance(it.link, network.token, spawn.id) == 1000 - 10
        found = await info(it.link, network.registry, "@sam/Llama-Herder")
        assert found.owner == OPERATOR.address and found.hash == digest(
            (await source(it.link, network.registry, "@puna/Llama-Herder")).encode()
        )


async def test_a_failing_engine_costs_the_payer_nothing(tmp_path):
    engine = PlayedEngine()
    engine.trouble = Invalid("context full: 70 tokens, 64 fit")
    async with whole(tmp_path, engine) as it:
        with pytest.raises(Invalid, match="context full"):
            await ask(it.link, USER, it.network, "hi", 5)
        engine.trouble = Invalid("the weights are odd")
        with pytest.raises(NotYet, match="the weights are odd"):
            await ask(it.link, USER, it.network, "hi", 5)
        assert await balance(it.link, it.network.token, USER.address) == START_WINSTON
        engine.trouble = None
        assert (await ask(it.link, USER, it.network, "hi", 5)).text == "to eat grass"


async def test_a_restarted_network_is_the_same_one_and_knows_its_balances(tmp_path):
    async with whole(tmp_path) as it:
        first = it.network
        await ask(it.link, USER, it.network, "hi", 5)
        left = await balance(it.link, it.network.token, USER.address)
    async with whole(tmp_path, workers=3) as it:
        assert it.network.workers[:2] == first.workers and len(it.network.workers) == 3
        assert (it.network.token, it.network.herder) == (first.token, first.herder)
        assert await balance(it.link, it.network.token, USER.address) == left
        assert (await ask(it.link, USER, it.network, "hi", 5)).text == "to eat grass"


def refuse(path):
    raise Invalid("this is no model")


async def test_workers_can_be_warmed_before_the_first_question(tmp_path):
    engine = PlayedEngine()
    opens, engine.open_model = engine.open_model, refuse
    async with whole(tmp_path, engine) as it:
        assert await warm(it.link, it.network.workers, OPERATOR.address) == 0
        engine.open_model = opens
        assert await warm(it.link, it.network.workers, OPERATOR.address) == 2
        assert await warm(it.link, it.network.workers, USER.address) == 0


@pytest.mark.parametrize("appends", range(1, 12, 2))
async def test_killed_at_any_moment_a_question_is_answered_once_and_paid_once(tmp_path, appends):
    async with whole(tmp_path) as it:
        network = it.network
    async with dying(tmp_path, appends) as it:
        asking = asyncio.create_task(ask(it.link, USER, network, "What do llamas eat?", 5))
        dead = asyncio.create_task(it.dead.wait())
        await asyncio.wait([asking, dead], return_when=asyncio.FIRST_COMPLETED)
    async with whole(tmp_path) as it:
        while it.store.notes("ao/journey/"):
            await asyncio.sleep(0)
        answers = it.store.find(Query(recipients=(USER.address,), tags=(("Action", ("Inference-Response",)),)))
        paid = it.store.find(Query(owners=(USER.address,), recipients=(network.token,)))
        assert len(answers) == len(paid) <= 1
        earned = 8 * len(answers)  # 1 + 4 words + 3 of 5 tokens
        assert await balance(it.link, network.token, USER.address) == START_WINSTON - earned
        assert await balance(it.link, network.token, network.herder) == earned
