"""A Credit-Notice counts only from the token it is about, and only with a quantity that is one: in every program.

Statements 46 and 64: nobody robs a program with a notice of their own, or with one whose number wraps around 2^256.
"""

import pytest
from services.blueprint_story import source_of
from services.herd_story import HERDER, IMAGE, TOKEN, HerdStory
from services.story import ALICE, BOB, OPERATOR, named_id

from puna.services import programs

APP, PURSE, ARENA = named_id("APP"), named_id("PURSE"), named_id("ARENA")
STATE = {  # process -> what of its memory money could change
    HERDER: "Herd",
    APP: "LlamaHerder",
    PURSE: "{CRED.units, CRED.process}",
    ARENA: "{Players, BonusQty, GrantQty, Stakes, Waiting, Listeners}",
}
NOT_QUANTITIES = ["-5", "0", "00", "1.5", "0x10", "+5", "005", "1e3", " 5", "5 ", "", str(2**256 + 5), str(2**256 - 1),
                  "9" * 40, "٣", "five", "5\x00", '{"a":5}']  # fmt: skip


def world() -> HerdStory:
    """The programs of this version that are told of credits, all with money and business of their own."""
    it = HerdStory()
    package = programs.source(programs.LLAMA_HERDER).decode()
    it.spawn("APP", f'Llama = (function() {package}\nend)() Llama.herder, Llama.token = "{HERDER}", "{TOKEN}"')
    it.spawn("PURSE", "")
    it.send(OPERATOR, PURSE, "Eval", source_of("credUtils"))
    it.send(OPERATOR, PURSE, "Eval", f'CRED.process = "{TOKEN}"')
    it.spawn("ARENA", "")
    it.send(OPERATOR, ARENA, "Eval", f'PaymentToken, PaymentQty = "{TOKEN}", "5"')
    it.send(OPERATOR, ARENA, "Eval", source_of("arena"))
    for process in (APP, PURSE, ARENA):
        it.send(OPERATOR, TOKEN, "Mint", Recipient=process, Quantity="1000")
    it.send(OPERATOR, APP, "Eval", 'Llama.run("a b", 5, function() HEARD = true end, nil, "mine")')
    return it


def image(it: HerdStory, process: str) -> str:
    return it.processes[process].lua.execute(IMAGE.replace("return image(Herd)", f"return image({STATE[process]})"))


CREDIT = {"Sender": ALICE, "X-Prompt": "free", "X-Tokens": "5", "X-Reference": "mine", "X-Reason": "refund"}


@pytest.mark.parametrize("process", STATE)
def test_46_credit_notices_of_anybody_but_the_token_change_nothing(process):
    it = world()
    before, balances = image(it, process), it.ask(BOB, TOKEN, "Balances").data
    it.send(ALICE, process, "Credit-Notice", Quantity="5", **CREDIT)
    for sender in (named_id("FAKE"), HERDER if process != HERDER else APP):
        it.speak(sender, process, "Credit-Notice", Quantity="5", **CREDIT)
    assert image(it, process) == before and it.ask(BOB, TOKEN, "Balances").data == balances


@pytest.mark.parametrize("process", [HERDER, PURSE, ARENA])
@pytest.mark.parametrize("quantity", NOT_QUANTITIES)
def test_46_credit_notices_of_no_quantity_change_nothing_whoever_sends_them(process, quantity):
    it = world()
    before, balances = image(it, process), it.ask(BOB, TOKEN, "Balances").data
    it.speak(TOKEN, process, "Credit-Notice", Quantity=quantity, **{k: CREDIT[k] for k in CREDIT if k != "X-Reason"})
    assert image(it, process) == before and it.ask(BOB, TOKEN, "Balances").data == balances


@pytest.mark.parametrize("process", [HERDER, PURSE, ARENA])
def test_a_true_credit_does_change_something(process):
    """Or the tests above could not fail."""
    it = world()
    before = image(it, process)
    it.send(ALICE, TOKEN, "Transfer", Recipient=process, Quantity="5", X_Prompt="x", X_Tokens="1")
    it.send(OPERATOR, PURSE, "Eval", "return CRED.balance")
    assert image(it, process) != before
