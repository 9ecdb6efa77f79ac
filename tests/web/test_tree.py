"""The tree of messages: joined from signed items alone, also across journeys, and not by what anybody claims."""

import msgspec
import pytest

from puna.arweave.dataitem import sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid, Missing
from puna.web.tree import shown, tree_of

USER, MESSENGER, UNIT, STRANGER = (new_ed25519_wallet() for _ in range(4))
TOKEN, HERDER, OTHER = (b64url_encode(bytes([each]) * 32) for each in (1, 2, 3))


class Story:
    """A store with messages in it, as the units of a node would have put them there."""

    def __init__(self, store):
        self.store = store
        self.count = 0

    async def sent(self, target: str, signer=USER, **tags: str):
        """A message: of `signer`, or with From_Process what a messenger wrote."""
        self.count += 1
        named = [
            (name.replace("_", "-"), value)
            for name, value in {"Data_Protocol": "ao", "Type": "Message", **tags}.items()
        ]
        item = sign_item(signer, b" ", named, target, f"{self.count:032d}".encode())
        await self.store.append([item])
        return item

    async def pushed(self, process: str, target: str, root, **tags: str):
        return await self.sent(target, MESSENGER, From_Process=process, Pushed_For=root.id, **tags)

    async def evaluated(self, process: str, message, *outbox, signer=UNIT, **wrong):
        """The attestation that `process` answered `message` with `outbox`."""
        self.count += 1
        entries = [
            {"Target": item.target, "Anchor": bytes(item.anchor).decode(), "Tags": [], "Data": ""} for item in outbox
        ]
        result = {"Messages": entries, "Spawns": [], "Assignments": [], "Output": "", "GasUsed": 7, **wrong}
        tags = [("Type", "Result"), ("Process", process), ("Message", message.id), ("Nonce", str(self.count))]
        await self.store.append([sign_item(signer, msgspec.json.encode(result), tags)])

    def tree(self, item) -> dict:
        return shown(tree_of(self.store, UNIT.address, item.id))

    def parents(self, item) -> dict:
        return {node["id"]: node["parent"] for node in self.tree(item)["nodes"]}


@pytest.fixture
async def story(tmp_path):
    store = open_store(tmp_path / "weave")
    yield Story(store)
    await store.close()


async def test_each_message_hangs_below_the_one_that_caused_it_whichever_is_looked_at(story):
    root = await story.sent(TOKEN, Action="Transfer")
    debit = await story.pushed(TOKEN, USER.address, root, Action="Debit-Notice")
    credit = await story.pushed(TOKEN, HERDER, root, Action="Credit-Notice")
    answer = await story.pushed(HERDER, USER.address, root, Action="Inference-Response")
    await story.evaluated(TOKEN, root, debit, credit)
    await story.evaluated(HERDER, credit, answer)
    expected = {root.id: None, debit.id: root.id, credit.id: root.id, answer.id: credit.id}
    assert story.parents(root) == story.parents(answer) == expected
    assert story.tree(root)["nodes"][0]["results"][0]["gas"] == 7


async def test_an_error_is_told_with_its_words(story):
    root = await story.sent(TOKEN)
    await story.evaluated(TOKEN, root, Error="boom")
    assert story.tree(root)["nodes"][0]["results"][0]["error"] == "boom"


async def test_what_a_stranger_attests_is_not_believed(story):
    root = await story.sent(TOKEN)
    first = await story.pushed(TOKEN, HERDER, root)
    second = await story.pushed(HERDER, OTHER, root)
    await story.evaluated(TOKEN, root, first)
    await story.evaluated(OTHER, first, second, signer=STRANGER)
    assert story.parents(root)[second.id] == root.id  # nothing that is believed says more


async def test_an_answer_in_another_journey_hangs_below_its_payment_with_what_it_caused(story):
    root = await story.sent(TOKEN, Action="Transfer")
    credit = await story.pushed(TOKEN, HERDER, root, Action="Credit-Notice")
    await story.evaluated(TOKEN, root, credit)
    await story.evaluated(HERDER, credit)  # queued: nothing is sent yet
    elsewhere = await story.sent(HERDER, STRANGER, Action="Worker-Heartbeat")
    answer = await story.pushed(HERDER, OTHER, elsewhere, Action="Inference-Response", Payment=credit.id)
    beside = await story.pushed(HERDER, OTHER, elsewhere, Action="Another")
    coin = await story.pushed(OTHER, USER.address, elsewhere, Action="Transfer")
    await story.evaluated(HERDER, elsewhere, answer, beside)
    await story.evaluated(OTHER, answer, coin)
    tree = story.tree(root)
    assert story.parents(root) == {root.id: None, credit.id: root.id, answer.id: credit.id, coin.id: answer.id}
    assert {node["id"]: node["later"] for node in tree["nodes"]}[coin.id] == elsewhere.id


async def test_only_who_was_paid_answers_for_a_payment(story):
    root = await story.sent(TOKEN, Action="Transfer")
    credit = await story.pushed(TOKEN, HERDER, root, Action="Credit-Notice")
    await story.evaluated(TOKEN, root, credit)
    await story.sent(USER.address, STRANGER, Action="Inference-Response", Payment=credit.id)
    forged = await story.sent(OTHER, STRANGER)
    await story.pushed(OTHER, USER.address, forged, Action="Inference-Response", Payment=credit.id)
    assert set(story.parents(root)) == {root.id, credit.id}


async def test_results_that_are_no_results_harm_nobody(story):
    root = await story.sent(TOKEN)
    child = await story.pushed(TOKEN, HERDER, root)
    await story.evaluated(TOKEN, root, Messages=["text", {"Anchor": 5}, {}, None])
    assert story.parents(root) == {root.id: None, child.id: root.id}


async def test_a_tree_of_nothing_says_so(story):
    with pytest.raises(Missing, match="no message"):
        tree_of(story.store, UNIT.address, "A" * 43)
    attestation = sign_item(UNIT, b"{}", [("Type", "Result")])
    await story.store.append([attestation])
    with pytest.raises(Invalid, match="is no message"):
        tree_of(story.store, UNIT.address, attestation.id)
