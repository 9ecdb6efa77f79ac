"""The wAR process with the bridge's rules in it, and the reports that its operator makes of deposits."""

import json

from services.story import OPERATOR, Evaluation, Story, named_id, token_story

from puna.services import programs
from puna.services.bridge.rules import AR

VAULT = named_id("VAULT")
TOKEN = named_id("TOKEN")
WAR = 10**12
START = 10 * WAR  # wAR that was there before the bridge
CONFIRMATIONS = 3
NETWORK_FEE, BURN_FEE, MINIMUM = 2 * 10**9, 3 * WAR // 10, WAR // 2
CAP, CAP_DAY, MINT_CAP = 5000 * WAR, 20_000 * WAR, 2000 * WAR


def tx_id(name: str) -> str:
    return named_id(name)


def bridge_story(holder: str, *, opened: bool = True, start: int = START) -> Story:
    story, token = token_story()
    story.clock.height = 100
    if start:
        story.send(OPERATOR, token, "Mint", Recipient=holder, Quantity=str(start))
    loaded = story.send(OPERATOR, token, "Eval", programs.source(programs.BRIDGE).decode())
    assert loaded.error is None
    if opened:
        set_bridge(story, Vault=VAULT, Confirmations=str(CONFIRMATIONS))
    return story


def set_bridge(story: Story, sender: str = OPERATOR, **tags: str):
    return story.ask(sender, TOKEN, "Set-Bridge", **tags)


def report(story: Story, id: str, sender: str, winston: int, *, by: str = OPERATOR, **other) -> Evaluation:
    """The operator's report of a deposit that is just deep enough; `other` replaces tags, None leaves one out."""
    tags = {
        "Action": "Mint", "Recipient": sender, "Quantity": str(winston), "SourceChainType": "arweave",
        "SourceTokenId": AR, "X-MintTxHash": id, "Deposit-Sender": sender,
        "Deposit-Height": str(story.clock.height - CONFIRMATIONS + 1), "Confirmations": str(CONFIRMATIONS),
    } | {name.replace("_", "-"): value for name, value in other.items()}  # fmt: skip
    named = [{"name": name, "value": value} for name, value in tags.items() if value is not None]
    return story.send_tags(by, TOKEN, named)


def burn(story: Story, sender: str, winston: object, **tags: str) -> Evaluation:
    return story.send(sender, TOKEN, "Burn", Quantity=str(winston), **tags)


def settle(story: Story, burn_id: str, payout: str, by: str = OPERATOR, **other):
    tags = {"Burn_Tx": burn_id, "X_PayoutTxHash": payout, "Payout_Height": "100"} | other
    return story.ask(by, TOKEN, "Payout-Settled", **tags)


def state(story: Story) -> dict:
    return json.loads(story.ask(named_id("ANYONE"), TOKEN, "Bridge-State").data)


def record(story: Story, id: str) -> dict:
    return json.loads(story.ask(named_id("ANYONE"), TOKEN, "Bridge-Record", Record_Id=id).data)


def balances(story: Story) -> dict[str, int]:
    told = json.loads(story.ask(named_id("ANYONE"), TOKEN, "Balances").data)
    return {who: int(units) for who, units in told.items()}


def supply(story: Story) -> int:
    return int(story.ask(named_id("ANYONE"), TOKEN, "Total-Supply").data)


def answer(evaluation: Evaluation, to: str):
    """What the process said to the sender of the message."""
    return next(entry for entry in evaluation.sent if entry.target == to)
