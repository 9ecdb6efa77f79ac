"""Genesis on a real store and a network in one hand: one network, whatever kills it and however often it runs."""

import json

import pytest
from llm.small_models import write_llama
from services.story import AUTHORITY, FakeEngine, Story, named_id
from services.story_link import StoryLink

from puna.arweave.store.port import Query
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid, Missing, NodeError
from puna.services import programs
from puna.services.genesis import START_WINSTON, genesis
from puna.services.herder.batch import BATCH
from puna.services.herder.client import ask
from puna.services.network import NETWORK_NOTE, Network, standing
from puna.services.steps import PROGRAM
from puna.services.token.client import balance, info

OPERATOR, USER = new_ed25519_wallet(), new_ed25519_wallet()
SCHEDULER = named_id("SCHEDULER")


class Killed(BaseException):
    """The power went off."""


class Fragile:
    """A link and a store in one, through which the power fails after a given number of durable steps."""

    def __init__(self, link, store, steps: int):
        self.link, self.store, self.left = link, store, steps

    def _step(self):
        if self.left == 0:
            raise Killed
        self.left -= 1

    async def submit(self, item):
        self._step()
        await self.link.submit(item)
        self._step()

    async def append(self, items, notes={}):  # noqa: B006
        self._step()
        await self.store.append(items, notes)

    async def append_file(self, *args):
        self._step()
        return await self.store.append_file(*args)

    def __getattr__(self, name):
        return getattr(self.link if name in ("result", "preview", "events") else self.store, name)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "puna-lua.wasm").write_bytes(b"\0asm" + bytes(100_000))
    (tmp_path / "puna-sqlite.wasm").write_bytes(b"\0asm" + bytes(200_000))
    write_llama(tmp_path / "first.gguf", seed=1)
    write_llama(tmp_path / "second.gguf", seed=2)
    return tmp_path


@pytest.fixture
async def store(tmp_path):
    store = open_store(tmp_path / "weave")
    yield store
    await store.close()


def raise_network(link, store, files, model="first.gguf", **options) -> Network:
    return genesis(
        link, store, OPERATOR, scheduler=SCHEDULER, authority=AUTHORITY, user=USER.address,
        model=files / model, module=files / "puna-lua.wasm", sqlite_module=files / "puna-sqlite.wasm", **options,
    )  # fmt: skip


async def test_a_new_network_stands_and_answers(store, files):
    link = StoryLink(Story(engine=FakeEngine(text="grass")))
    network = await raise_network(link, store, files)
    assert len(network.workers) == 2 and network.model == network.models[0].id
    assert (network.scheduler, network.authority, network.operator) == (SCHEDULER, AUTHORITY, OPERATOR.address)
    token = await info(link, network.token)
    assert (token.name, token.ticker, token.minter, token.supply) == (
        "Wrapped AR", "wAR", OPERATOR.address, START_WINSTON,
    )  # fmt: skip
    assert await balance(link, network.token, USER.address) == START_WINSTON
    link.story.wallets.setdefault(USER.address, [])
    answer = await ask(link, USER, network, "What do llamas eat?", 5)
    assert (answer.text, answer.worker in network.workers, answer.model_id) == ("grass", True, network.model)


async def test_items_carry_what_units_ask_of_them(store, files):
    network = await raise_network(StoryLink(Story()), store, files)
    module, model = store.view(network.module), store.view(network.model)
    assert ("Module-Format", "wasm32-puna-lua-1") in module.tags and ("Input-Encoding", "JSON-1") in module.tags
    with_sqlite = store.view(network.sqlite_module)
    assert set(with_sqlite.tags) - set(module.tags) == {("Name", "puna-sqlite")}
    assert ("Name", "puna-lua") in module.tags
    assert ("Type", "Model") in model.tags and store.payload_path(network.model).stat().st_size == len(model.data)


async def test_running_again_changes_nothing(store, files):
    link = StoryLink(Story())
    assert standing(store) is None
    network = await raise_network(link, store, files)
    assert standing(store) == network
    sent, items = len(link.submitted), store.last_sequence()
    assert await raise_network(link, store, files) == network
    assert await raise_network(link, store, files, workers=1) == network
    assert (len(link.submitted), store.last_sequence()) == (sent, items)
    assert Network.from_json(network.to_json()) == network


async def test_a_network_raised_before_there_was_sqlite_gets_its_module_at_the_next_start(store, files):
    link = StoryLink(Story())
    network = await raise_network(link, store, files)
    told = {name: value for name, value in network.to_json().items() if name != "sqlite_module"}
    await store.append([], {NETWORK_NOTE: json.dumps(told).encode()})
    assert standing(store).sqlite_module == ""
    sent = len(link.submitted)
    assert await raise_network(link, store, files) == network == standing(store)
    assert len(link.submitted) == sent


async def test_a_network_of_an_earlier_version_gets_the_present_programs_and_keeps_what_it_knows(store, files):
    link = StoryLink(Story(engine=FakeEngine(text="grass")))
    network = await raise_network(link, store, files)
    # As an earlier version left it: nothing written about programs, and a herder that knew of no limits.
    await store.append([], dict.fromkeys((key for key, _ in store.notes(PROGRAM)), b"earlier"))
    herder = link.story.processes[network.herder].lua
    herder.execute("Herd.limits, Herd.waiting, Herd.queued_by, Herd.texts, Herd.next_deadline = nil")
    herder.execute("Herd.base_fee = 3 Handlers.remove('Pause')")
    herder.execute("for _, worker in pairs(Herd.workers) do worker.batch = nil end")
    sent, supply = len(link.submitted), (await info(link, network.token)).supply
    assert await raise_network(link, store, files) == network
    assert len(link.submitted) == sent + 4 and (await info(link, network.token)).supply == supply
    link.story.wallets.setdefault(USER.address, [])
    answer = await ask(link, USER, network, "What do llamas eat?", 5)
    assert (answer.text, answer.base_fee, answer.paid_winston) == ("grass", 3, 3 + 4 + 5)
    assert [herder.eval(f"Herd.workers['{worker}'].batch") for worker in network.workers] == [BATCH] * 2
    herd = link.story
    assert herd.ask(OPERATOR.address, network.herder, "Pause").action == "Paused"
    assert await raise_network(link, store, files) == network and len(link.submitted) == sent + 5


async def test_a_large_model_gets_more_workers_unless_it_is_said_how_many(store, files, monkeypatch):
    link = StoryLink(Story())
    write_llama(files / "large.gguf", seed=3, vocab=600)
    first, large = ((files / name).stat().st_size for name in ("first.gguf", "large.gguf"))
    assert first < large
    monkeypatch.setattr("puna.services.genesis.LARGE_MODEL_BYTES", large)
    both = [await raise_network(link, store, files, model=name) for name in ("first.gguf", "large.gguf")][-1]
    assert [worker.model for worker in both.herd] == [both.models[0].id] * 2 + [both.models[1].id] * 4
    assert await raise_network(link, store, files, model="large.gguf") == both
    three = await raise_network(link, store, files, model="second.gguf", workers=3)
    assert [worker.model for worker in three.herd[6:]] == [three.models[2].id] * 3


async def test_workers_and_models_can_be_added_later(store, files):
    link = StoryLink(Story(engine=FakeEngine(text="grass")))
    small = await raise_network(link, store, files, workers=1)
    more = await raise_network(link, store, files, workers=3)
    assert more.workers[:1] == small.workers and len(set(more.workers)) == 3
    both = await raise_network(link, store, files, model="second.gguf")
    assert [worker.model for worker in both.herd] == [both.models[0].id] * 3 + [both.models[1].id]
    assert both.models[0] == small.models[0] and both.model == small.model
    assert both.model_id(both.models[1].id) == both.models[1].id
    with pytest.raises(Missing, match="no model whatever"):
        both.model_id("whatever")
    link.story.wallets.setdefault(USER.address, [])
    answer = await ask(link, USER, both, "hi", 5, model=both.models[1].id)
    assert answer.worker == both.workers[3] and answer.model_id == both.models[1].id


async def test_killed_after_any_step_it_ends_with_exactly_one_network(files):
    wanted, steps = None, 0
    while True:
        folder = files / f"weave-{steps}"
        store, link = open_store(folder), StoryLink(Story())
        fragile = Fragile(link, store, steps)
        try:
            finished = await raise_network(fragile, fragile, files)
        except Killed:
            finished = None
        network = await raise_network(link, store, files)
        if wanted is None:
            wanted = network
        # The same ids whenever it was killed, every process once, and the money minted once.
        assert network == wanted and finished in (None, wanted)
        assert len(link.story.processes) == 4
        assert await balance(link, network.token, USER.address) == START_WINSTON
        assert (await info(link, network.token)).supply == START_WINSTON
        assert len(store.find(Query(tags=(("Type", ("Model", "Module")),)))) == 3
        await store.close()
        if finished:
            break
        steps += 1
    assert steps > 15


async def test_killed_and_run_with_another_model_it_keeps_to_the_first_and_adds_the_second(files, store):
    link = StoryLink(Story())
    with pytest.raises(Killed):
        fragile = Fragile(link, store, 12)
        await raise_network(fragile, fragile, files)
    network = await raise_network(link, store, files, model="second.gguf", workers=1)
    assert len(network.models) == 2
    assert [worker.model for worker in network.herd].count(network.models[0].id) == 2
    assert link.story.processes[network.herder].eval("Herd.default_model") == network.models[0].id


async def test_a_program_that_does_not_load_is_told(store, files, monkeypatch):
    broken = files / "token.lua"
    broken.write_text("this is no Lua")
    monkeypatch.setattr(programs, "TOKEN", broken)
    with pytest.raises(NodeError, match="The program of the token did not load"):
        await raise_network(StoryLink(Story()), store, files)


async def test_a_file_that_is_no_model_is_refused_before_anything_is_spawned(store, files):
    (files / "first.gguf").write_bytes(b"not a model")
    link = StoryLink(Story())
    with pytest.raises(Invalid):
        await raise_network(link, store, files)
    with pytest.raises(Missing, match="There is no model file"):
        await raise_network(link, store, files, model="none.gguf")
    assert not link.submitted
