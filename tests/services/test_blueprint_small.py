"""The small blueprints: credUtils, patch-legacy-reply, apm and llama."""

import pytest
from services.apm_story import REGISTRY, ApmStory
from services.blueprint_story import do, load, printed
from services.herd_story import HERDER, HerdStory
from services.story import ALICE, BOB, OPERATOR, named_id, token_story

from puna.services.apm.packages import CLIENT_FILE
from puna.services.blueprints.index import BLUEPRINTS

PURSE, TOKEN = named_id("PURSE"), named_id("TOKEN")

# credUtils


@pytest.fixture
def purse():
    it, _ = token_story()
    it.spawn("PURSE", "", owner=ALICE)
    load(it, PURSE, "credUtils")
    do(it, PURSE, f'CRED.process = "{TOKEN}"')
    it.send(OPERATOR, TOKEN, "Mint", Recipient=PURSE, Quantity="12345")
    return it


def test_a_purse_tells_its_balance_once_it_has_asked(purse):
    assert "has not been checked yet" in do(purse, PURSE, "return CRED.balance")
    assert "CRED balance: 12.345" in printed(purse, PURSE)
    assert do(purse, PURSE, "return CRED.balance") == "12.345"


def test_a_purse_pays_and_says_what_came_and_went(purse):
    assert do(purse, PURSE, f'return CRED.send("{BOB}", 1000)') == f"Sending 1.000 to {BOB}"
    assert purse.received(BOB, "Credit-Notice")[0].tags["Quantity"] == "1000"
    assert "You received 12.345 from" in printed(purse, PURSE) and f"You sent 1.000 to {BOB}" in printed(purse, PURSE)
    do(purse, PURSE, "return CRED.update()")
    assert do(purse, PURSE, "return CRED.balance") == "11.345"


@pytest.mark.parametrize("units", ["0", "-5", "1.5", '"x"', '"0x10"', "nil"])
def test_a_purse_does_not_send_what_is_no_amount(purse, units):
    assert "a whole number of units" in do(
        purse, PURSE, f'local ok, fault = pcall(CRED.send, "{BOB}", {units}) return fault'
    )
    assert not purse.received(BOB, "Credit-Notice")


def test_a_purse_believes_its_token_alone(purse):
    purse.speak(named_id("FAKE"), PURSE, "Credit-Notice", Sender=BOB, Quantity="999999")
    purse.speak(named_id("FAKE"), PURSE, "Balance-Response", Balance="999999", Account=PURSE)
    assert "999.999" not in printed(purse, PURSE)


# patch-legacy-reply


def test_a_process_that_cannot_reply_learns_it(purse):
    load(purse, PURSE, "patch-legacy-reply")
    # As an old process would see it: messages come without the function.
    do(purse, PURSE, "ao.attach = function() end")
    do(purse, PURSE, "Handlers.add('Ping', 'Ping', function(m) m.reply({ Data = 'pong' }) end)")
    answer = purse.ask(BOB, PURSE, "Ping", Reference="7")
    assert (answer.data, answer.tags["X-Reference"]) == ("pong", "7")
    answer = purse.ask(BOB, PURSE, "Ping", Reference="8", X_Reference="mine", X_Origin=TOKEN)
    assert (answer.tags["X-Reference"], answer.tags["X-Origin"]) == ("mine", TOKEN)
    purse.send(BOB, PURSE, "Ping", **{"Reply-To": ALICE})
    assert purse.wallets[ALICE][-1].data == "pong"


def test_where_replies_exist_the_patch_changes_nothing(purse):
    load(purse, PURSE, "patch-legacy-reply")
    do(purse, PURSE, "Handlers.add('Ping', 'Ping', function(m) m.reply({ Data = 'pong' }) end)")
    assert purse.ask(BOB, PURSE, "Ping", Reference="7").tags["X-Reference"] == "7"


# apm


def test_the_apm_blueprint_brings_the_client_of_the_networks_registry():
    it = ApmStory()
    lone = it.spawn("LONE", "", owner=ALICE)
    it.publish("@apm/apm", "2.1.0", CLIENT_FILE.read_text())
    it.publish("@puna/tool", "1.0.0", "return 5")
    do(it, lone, "apm = nil APM = nil")  # as on a module that has none
    assert "📦 Loading APM..." in load(it, lone, "apm").printed
    assert it.value("apm.ID", lone) == REGISTRY
    do(it, lone, 'APM.install("@puna/tool")')
    assert it.value('require("@puna/tool")', lone) == 5
    assert it.value("apm._version", lone) == "2.1.0"


def test_the_apm_blueprint_runs_nothing_that_others_send():
    it = ApmStory()
    lone = it.spawn("LONE", "", owner=ALICE)
    it.silent.add(REGISTRY)
    load(it, lone, "apm")
    it.speak(named_id("STRANGER"), lone, "APM.UpdateResponse", b"Robbed = true".hex(), X_Reference="1")
    it.speak(REGISTRY, lone, "APM.UpdateResponse", b"Robbed = true".hex(), X_Reference="99")
    assert it.value("Robbed", lone) is None


# llama


def test_the_llama_blueprint_gives_a_client_that_can_ask_at_once():
    it = HerdStory()
    app = it.spawn("APP", "", owner=ALICE)
    assert "Llama ready" in load(it, app, "llama").printed
    it.send(OPERATOR, TOKEN, "Mint", Recipient=app, Quantity="1000")
    assert it.processes[app].eval("Llama.herder") == HERDER
    do(it, app, 'OUTPUTS = {} Llama.run("hi", 1, function(text) table.insert(OUTPUTS, text) end)')
    it.answer(text="hello")
    assert list(it.processes[app].eval("OUTPUTS").values()) == ["hello"]


def test_every_blueprint_of_the_reference_is_there():
    assert {row.name for row in BLUEPRINTS} >= {
        "token", "chatroom", "chat", "apm", "arena", "staking", "voting", "credUtils", "patch-legacy-reply", "llama",
    }  # fmt: skip
