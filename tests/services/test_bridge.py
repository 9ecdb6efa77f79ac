"""The bridge between a real weave and the wAR process: deposits, payouts, restarts, and books that always agree."""

import json
import os
import random

import pytest
from services.bridge_town import (
    CONFIRMATIONS,
    OPERATOR,
    START,
    VAULT,
    WAR,
    Killed,
    Power,
    Town,
    founded,
)  # fmt: skip
from services.story import named_id

from puna.arweave.wallet import new_rsa_wallet
from puna.errors import Invalid, Missing
from puna.services import programs
from puna.services.bridge import rules
from puna.services.bridge.chain import Chain
from puna.services.bridge.client import parse_ar

BURN_FEE, NETWORK_FEE = 3 * WAR // 10, 2 * 10**9
FRIEND = named_id("FRIEND")
LONG = os.environ.get("PUNA_LONG") == "1"


@pytest.fixture(scope="module")
def alice():
    return new_rsa_wallet()


@pytest.fixture
async def town(tmp_path):
    town = await founded(tmp_path)
    yield town
    await town.end()


def agree(town, pending: int = 0) -> None:
    """The books as shown, and the same from the two sides themselves."""
    books = town.books()
    assert books["holds"] is True and books["surplus"] == "0" and books["trouble"] == []
    assert int(books["pending"]) == pending
    assert town.weave.balance(VAULT.address) - pending == town.supply() == int(books["supply"])


@pytest.mark.parametrize("text, winston", [
    ("1", WAR), ("1.5", 15 * WAR // 10), ("0.000000000001", 1), ("007.10", 71 * WAR // 10),
])  # fmt: skip
def test_amounts_are_exact(text, winston):
    assert parse_ar(text) == winston


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.0", "-1", "+1", "1e3", "0x10", " 1", "1,5", ".5", "1.", ".", "0.0000000000001", "9" * 40, "\u0661"],
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(Invalid, match="is not an amount"):
        parse_ar(text)


# A bridge comes to a network


async def test_what_was_minted_before_the_bridge_is_backed_from_the_first_moment(town):
    assert town.weave.balance(VAULT.address) == START == town.supply()
    await town.rest()
    agree(town)
    assert town.network.vault == VAULT.address
    await town.restart()
    assert town.weave.balance(VAULT.address) == START, "once"


async def test_a_bridge_is_raised_once_wherever_it_was_killed(tmp_path):
    for steps in range(100):
        town, power = Town(tmp_path / str(steps)), Power(steps)
        try:
            await town.start(power)
            finished = True
        except Killed:
            finished = False
        await town.restart()
        await town.rest()
        agree(town)
        assert town.weave.balance(VAULT.address) == START
        await town.end()
        if finished:
            break
    assert finished and steps > 8


async def test_newer_rules_are_loaded_at_the_next_start_and_keep_what_was(town, alice, tmp_path, monkeypatch):
    await town.deposit(alice, WAR)
    town.burn(2 * WAR, FRIEND)
    await town.mine(CONFIRMATIONS + 1)
    newer = tmp_path / "bridge.lua"
    newer.write_bytes(programs.source(programs.BRIDGE) + b"\nBridgeVersion = 2\n")
    sent = len(town.link.submitted)
    await town.restart()
    assert len(town.link.submitted) == sent, "nothing is new"
    monkeypatch.setattr(programs, "BRIDGE", newer)
    await town.restart()
    assert len(town.link.submitted) == sent + 1 and town.story.processes[town.token].eval("BridgeVersion") == 2
    await town.mine(CONFIRMATIONS)
    assert town.balance(alice.address) == WAR and town.weave.balance(FRIEND) == 2 * WAR - BURN_FEE
    agree(town)


async def test_what_the_owner_grants_is_backed_at_once(town):
    await town.rest()
    town.story.send(OPERATOR.address, town.token, "Mint", Recipient=FRIEND, Quantity=str(3 * WAR))
    await town.rest()
    agree(town)
    await town.restart()
    await town.rest()
    assert town.weave.balance(VAULT.address) == START + 3 * WAR
    agree(town)


async def test_another_key_in_the_vaults_place_is_refused(town, alice):
    from puna.services.bridge.raising import raise_bridge

    with pytest.raises(Invalid, match="Put the vault's own key back"):
        await raise_bridge(town.link, town.store, OPERATOR, town.network, town.weave, alice.address)


# Deposits


async def test_47_a_deposit_is_minted_once_when_it_is_deep_enough_and_not_before(town, alice):
    tx = await town.deposit(alice, 5 * WAR)
    await town.rest()
    assert (await town.bridge.entry(tx.id))["status"] == "unPackaged"
    for depth in range(1, CONFIRMATIONS):
        await town.mine()
        entry = await town.bridge.entry(tx.id)
        assert (entry["status"], entry["confirmNum"], entry["confirmRange"]) == (
            "waiting", depth, CONFIRMATIONS - depth,
        )  # fmt: skip
        assert town.balance(alice.address) == 0 and town.bridge.wants_blocks
        agree(town, pending=5 * WAR)
    await town.mine()
    entry = await town.bridge.entry(tx.id)
    assert (entry["status"], entry["confirmRange"], entry["quantity"]) == ("success", 0, str(5 * WAR))
    for _ in range(3):
        await town.restart()
        await town.mine()
        assert town.balance(alice.address) == 5 * WAR
        agree(town)
    assert not town.bridge.wants_blocks


@pytest.mark.parametrize("tags, gets", [
    ((("Recipient", FRIEND),), "friend"),
    ((("Recipient", ""),), "sender"),
    ((("Recipient", "bob"),), "sender"),
    ((("Recipient", FRIEND), ("Recipient", "A" * 43)), "sender"),
    ((("Recipient", VAULT.address),), "sender"),
    ((("recipient", FRIEND),), "sender"),
    ((("Recipient", "9" * 1000),), "sender"),
    ((("Recipient", "0x" + "aB" * 20),), "ethereum"),
])  # fmt: skip
async def test_a_deposit_goes_to_the_recipient_it_names_or_stays_with_its_sender(town, alice, tags, gets):
    who = {"friend": FRIEND, "sender": alice.address, "ethereum": "0x" + "aB" * 20}[gets]
    await town.deposit(alice, WAR, tags)
    await town.mine(CONFIRMATIONS)
    assert town.balance(who) == WAR
    agree(town)


async def test_transfers_to_others_and_data_without_money_mint_nothing(town, alice):
    await town.deposit(alice, WAR, target=FRIEND)
    await town.deposit(alice, 0)
    await town.mine(CONFIRMATIONS)
    assert town.supply() == START
    agree(town)


async def test_a_deposit_beyond_the_cap_comes_back_less_the_networks_fee(town, alice):
    tx = await town.deposit(alice, 2000 * WAR + 1)
    await town.mine(CONFIRMATIONS)
    assert (await town.bridge.entry(tx.id))["status"] == "failed" and town.supply() == START
    await town.mine(CONFIRMATIONS)
    entry = await town.bridge.entry(tx.id)
    assert (entry["status"], entry["errMsg"]) == ("failed", "refunded")
    assert town.weave.balance(alice.address) == 2000 * WAR + 1 - NETWORK_FEE
    agree(town)


async def test_while_deposits_are_closed_they_wait_and_nothing_is_lost(town, alice):
    town.story.send(OPERATOR.address, town.token, "Set-Bridge", Close_Mint="true")
    tx = await town.deposit(alice, WAR)
    await town.mine(CONFIRMATIONS + 1)
    assert (await town.bridge.entry(tx.id))["status"] == "confirmed"
    agree(town, pending=WAR)
    town.story.send(OPERATOR.address, town.token, "Set-Bridge", Close_Mint="false")
    await town.mine()
    assert town.balance(alice.address) == WAR
    agree(town)


class Forgetful(Chain):
    """A weave that takes blocks back, as a real one may: transactions in `gone` are in none."""

    gone: set[str] = set()

    def deposits(self, first, last):
        return [deposit for deposit in super().deposits(first, last) if deposit.id not in self.gone]

    def mined_at(self, id):
        return None if id in self.gone else super().mined_at(id)

    def transaction(self, id):
        return None if id in self.gone else super().transaction(id)

    async def now(self):
        tip, balance = await super().now()
        return tip, balance - sum(self.weave.transaction(id).quantity for id in self.gone)


@pytest.fixture
async def forgetful(tmp_path):
    Forgetful.gone = set()
    town = await founded(tmp_path)
    await town.restart(chain=Forgetful)
    yield town
    Forgetful.gone = set()
    await town.end()


async def test_a_deposit_that_vanishes_before_it_is_deep_is_not_on_chain_and_mints_nothing(forgetful, alice):
    tx = await forgetful.deposit(alice, WAR)
    await forgetful.mine()
    Forgetful.gone = {tx.id}
    await forgetful.mine(CONFIRMATIONS)
    assert (await forgetful.bridge.entry(tx.id))["status"] == "notOnChain"
    assert forgetful.balance(alice.address) == 0 and forgetful.books()["surplus"] == "0"


async def test_a_deposit_that_vanishes_after_it_was_minted_is_a_loss_told_loudly(forgetful, alice, caplog):
    tx = await forgetful.deposit(alice, WAR)
    await forgetful.mine(CONFIRMATIONS)
    assert forgetful.books()["holds"]
    Forgetful.gone = {tx.id}
    await forgetful.mine()
    books = forgetful.books()
    assert books["holds"] is False and books["surplus"] == str(-WAR) and "NOT BACKED" in books["trouble"][0]
    assert "THE BRIDGE IS NOT BACKED" in caplog.text


async def test_announced_transfers_are_looked_for_and_given_up_in_the_end(town, alice):
    id = named_id("NEVER")
    await town.bridge.announce(id, alice.address, FRIEND, WAR)
    assert (await town.bridge.entry(id))["status"] == "unPackaged"
    (entry,), _ = await town.bridge.entries(FRIEND)
    assert (entry["txId"], entry["quantity"]) == (id, str(WAR))
    await town.restart()
    for _ in range(61):
        await town.weave.mine(even_empty=True)
    assert (await town.bridge.entry(id))["status"] == "notOnChain"
    with pytest.raises(Missing):
        await town.bridge.entry(named_id("UNHEARD"))


# Payouts


async def test_48_a_burn_pays_quantity_less_fee_once(town):
    await town.rest()
    burn = town.burn(4 * WAR, FRIEND)
    assert (await town.bridge.entry(burn))["status"] == "burning"
    await town.rest()
    assert (await town.bridge.entry(burn))["status"] == "executing"
    agree(town, pending=4 * WAR - BURN_FEE + NETWORK_FEE)
    await town.mine()
    assert town.weave.balance(FRIEND) == 4 * WAR - BURN_FEE
    agree(town)
    await town.mine(CONFIRMATIONS)
    entry = await town.bridge.entry(burn)
    (paid,) = town.payouts(burn)
    assert (entry["status"], entry["targetChainTxHash"], entry["fee"]) == ("success", paid.id, str(BURN_FEE))
    for _ in range(3):
        await town.restart()
        await town.mine()
    assert town.payouts(burn) == [paid] and town.weave.balance(FRIEND) == 4 * WAR - BURN_FEE
    agree(town)


async def life(town) -> None:
    """A burn and a deposit from their beginning to their end."""
    for _ in range(CONFIRMATIONS + 2):
        await town.mine()


async def test_48_a_burn_pays_once_across_a_restart_at_any_point(tmp_path, alice, caplog):
    """Every durable step of the bridge and of the weave under it is a point to be killed at, before and after it."""
    steps, finished = 0, False
    while not finished:
        town = await founded(tmp_path / str(steps))
        deposit, burn = await town.deposit(alice, 3 * WAR), town.burn(4 * WAR, FRIEND)
        await town.end()
        power = Power(steps)
        try:
            await town.start(power)
            await life(town)
            finished = True
        except Killed:
            pass
        await town.restart()
        await town.rest()
        await town.mine(2 * CONFIRMATIONS)
        (paid,) = town.payouts(burn)
        assert (paid.recipient, paid.quantity) == (FRIEND, 4 * WAR - BURN_FEE), f"killed at {steps}"
        assert town.weave.balance(FRIEND) == 4 * WAR - BURN_FEE, f"killed at {steps}"
        assert town.balance(alice.address) == 3 * WAR, f"killed at {steps}"
        assert (await town.bridge.entry(deposit.id))["status"] == "success"
        assert (await town.bridge.entry(burn))["status"] == "success"
        agree(town)
        assert not town.store.notes("bridge/payout/")
        await town.end()
        steps += 1
    assert steps > 20
    assert "NOT BACKED" not in caplog.text, "no alarm for what is only half done"


async def test_a_payout_that_was_signed_before_the_power_failed_is_the_one_that_is_paid(town):
    burn, power = town.burn(WAR, FRIEND), Power()
    await town.end()
    await town.start(power)
    power.left = power.used + 2  # it is written down; it is not posted
    with pytest.raises(Killed):
        await town.rest()
    ((_, written),) = town.store.notes("bridge/payout/")
    await town.restart()
    await town.rest()
    await town.mine()
    (paid,) = town.payouts(burn)
    assert paid.id == json.loads(written)["id"]


async def test_a_payout_whose_anchor_is_too_old_is_signed_anew_and_paid_once(town, monkeypatch):
    """Killed between writing the payout down and posting it, and away for longer than an anchor lives."""
    from puna.arweave import weave as weave_module

    burn = town.burn(WAR, FRIEND)
    power = Power()
    await town.end()
    await town.start(power)
    power.left = power.used + 2  # the note is written; the post is not
    with pytest.raises(Killed):
        await town.rest()
    (before,) = town.store.notes("bridge/payout/")
    await town.restart()
    monkeypatch.setattr(weave_module, "ANCHOR_AGE_S", -1)
    monkeypatch.setattr(weave_module, "ANCHOR_BLOCKS", 0)
    await town.weave.mine(even_empty=True)
    monkeypatch.undo()
    monkeypatch.setattr(weave_module, "ANCHOR_AGE_S", -1)
    monkeypatch.setattr(weave_module, "ANCHOR_BLOCKS", 2)
    for _ in range(5):
        await town.weave.mine(even_empty=True)
    await town.rest()
    (after,) = town.store.notes("bridge/payout/")
    assert before != after
    await town.mine(CONFIRMATIONS)
    assert len(town.payouts(burn)) == 1
    agree(town)


async def test_a_payout_waits_for_its_delay(town):
    town.story.send(OPERATOR.address, town.token, "Set-Bridge", Payout_Delay="3600")
    burn = town.burn(WAR, FRIEND)
    await town.mine(5)
    assert town.payouts(burn) == [] and (await town.bridge.entry(burn))["status"] == "burning"
    agree(town, pending=WAR - BURN_FEE + NETWORK_FEE)
    town.now_ms += 3_600_000
    await town.mine(1)
    await town.mine(1)
    assert len(town.payouts(burn)) == 1
    agree(town)


async def test_a_network_that_became_dear_is_paid_from_a_surplus_and_never_from_what_backs_wAR(town, monkeypatch):
    from puna.arweave import ledger

    monkeypatch.setattr(ledger, "PRICE_OF_TRANSACTION", 10 * NETWORK_FEE)
    burn = town.burn(WAR, FRIEND)
    await town.mine(2)
    (trouble,) = town.books()["trouble"]
    assert burn in trouble and "surplus" in trouble and town.payouts(burn) == []
    await town.weave.grant(VAULT.address, WAR)
    await town.mine(2)
    assert len(town.payouts(burn)) == 1 and town.weave.balance(FRIEND) == WAR - BURN_FEE
    assert town.books()["trouble"] == [] and 0 < int(town.books()["surplus"]) < WAR


async def test_somebody_elses_transaction_with_the_tag_of_a_payout_pays_nothing(town, alice):
    burn = town.burn(WAR, FRIEND)
    await town.deposit(alice, WAR - BURN_FEE, ((rules.BURN_TX, burn),), target=FRIEND)
    await town.mine(2)
    assert len(town.payouts(burn)) == 1 and town.weave.balance(FRIEND) == 2 * (WAR - BURN_FEE)


async def test_more_burns_than_one_page_tells_are_all_paid(tmp_path):
    town = await founded(tmp_path, start=60 * WAR)
    for _ in range(105):
        town.burn(WAR // 2, FRIEND)
    await town.rest()
    agree(town, pending=105 * (WAR // 2 - BURN_FEE + NETWORK_FEE))
    await town.mine()
    assert town.weave.balance(FRIEND) == 105 * (WAR // 2 - BURN_FEE)
    agree(town)
    await town.end()


async def test_what_the_token_refuses_is_tried_again_ever_less_often(town, alice):
    """As when the owner made somebody else the operator: each try is a message for ever."""
    town.story.send(OPERATOR.address, town.token, "Set-Bridge", Operator=FRIEND)
    tx, sent = await town.deposit(alice, WAR), len(town.link.submitted)
    await town.mine(CONFIRMATIONS + 40)
    assert 3 <= len(town.link.submitted) - sent <= 6
    entry = await town.bridge.entry(tx.id)
    assert entry["status"] == "failed" and "Only the minter" in entry["errMsg"]
    assert any("Only the minter" in line for line in town.books()["trouble"])
    town.story.send(OPERATOR.address, town.token, "Set-Bridge", Operator=OPERATOR.address)
    await town.restart()
    await town.mine()
    assert town.balance(alice.address) == WAR
    agree(town)


async def test_two_dear_payouts_do_not_share_one_surplus(town, monkeypatch):
    from puna.arweave import ledger

    monkeypatch.setattr(ledger, "PRICE_OF_TRANSACTION", 10 * NETWORK_FEE)
    burns = [town.burn(WAR, FRIEND) for _ in range(2)]
    await town.weave.grant(VAULT.address, 10 * NETWORK_FEE)  # enough for one: 8 and a new wallet's half
    await town.mine(2)
    assert sorted(len(town.payouts(burn)) for burn in burns) == [0, 1]
    books = town.books()
    assert books["holds"] and len(books["trouble"]) == 1
    await town.weave.grant(VAULT.address, 10 * NETWORK_FEE)
    await town.mine(2)
    assert [len(town.payouts(burn)) for burn in burns] == [1, 1] and town.books()["trouble"] == []


# The books, whatever happens


async def test_49_the_vault_backs_supply_and_debts_in_a_random_simulation(tmp_path, alice, caplog):
    """Deposits, burns, blocks, closures and power cuts in any order; PUNA_LONG=1 makes it long."""
    for seed in range(60 if LONG else 2):
        await simulate(tmp_path / str(seed), alice, random.Random(seed), 600 if LONG else 80, f"seed {seed}")
    assert "NOT BACKED" not in caplog.text


async def simulate(folder, alice, chance: random.Random, actions: int, why: str) -> None:
    town, power = await founded(folder, start=3000 * WAR), Power()
    await town.end()
    await town.start(power)
    deposits, burns = {}, {}
    holders = [town.holder, alice.address, FRIEND]
    for number in range(actions):
        where = f"{why}, action {number}"
        power.left = power.used + chance.randrange(12) if chance.random() < 0.25 else None
        try:
            match chance.choices(["deposit", "burn", "mine", "close"], [3, 6, 8, 1])[0]:
                case "deposit":
                    winston = chance.choice([1, NETWORK_FEE, 3 * WAR, 1000 * WAR, 2001 * WAR])
                    tags = chance.choice([(), (("Recipient", FRIEND),), (("Recipient", "?"),)])
                    left, power.left = power.left, None
                    tx = await town.deposit(alice, winston, tags)
                    power.left, deposits[tx.id] = left, tx
                case "burn":
                    sender = chance.choice(holders)
                    winston = chance.choice([1, WAR // 2 + chance.randrange(WAR), 2 * WAR, 700 * WAR, 9000 * WAR])
                    before = town.balance(sender)
                    burn = town.burn(winston, chance.choice([named_id("PAID"), named_id("PAID"), "nobody"]), sender)
                    if town.balance(sender) < before:
                        burns[burn] = winston
                case "mine":
                    await town.mine()
                case "close":
                    shut = chance.choice(["true", "false", "false", "false"])
                    town.story.send(OPERATOR.address, town.token, "Set-Bridge", Close_Mint=shut)
            await town.rest()
        except Killed:
            await town.end()
            power = Power()
            await town.start(power)
        power.left = None
        check_backing(town, deposits, burns, where)
    town.story.send(OPERATOR.address, town.token, "Set-Bridge", Close_Mint="false")
    await town.mine(3 * CONFIRMATIONS)
    check_backing(town, deposits, burns, why)
    agree(town)
    assert all(len(town.payouts(burn)) == 1 for burn in burns), why
    assert town.weave.balance(named_id("PAID")) == sum(burns.values()) - len(burns) * BURN_FEE, why
    assert len(burns) > 3 and len(deposits) > 3, "a simulation in which nothing happens proves nothing"
    await town.end()


def check_backing(town, deposits, burns, why) -> None:
    """The invariant from outside, without the bridge's own books."""
    unpaid = sum(
        winston - BURN_FEE + NETWORK_FEE for burn, winston in burns.items() if not town.payouts(burn)
    )  # fmt: skip
    vault = town.weave.balance(VAULT.address)
    assert vault >= town.supply() + unpaid, why
    minted = {id for id in deposits if (record := town_record(town, id)) and record["kind"] == "mint"}
    returned = {id for id in deposits if town.payouts(id)}
    held = sum(
        tx.quantity for id, tx in deposits.items()
        if town.weave.tx_note(id).height >= 0 and id not in minted and id not in returned
    )  # fmt: skip
    assert vault == town.supply() + unpaid + held, why


def town_record(town, id):
    answer = town.story.ask(named_id("ANYONE"), town.token, "Bridge-Record", Record_Id=id)
    return json.loads(answer.data) if answer.action == "Bridge-Record-Response" else None
