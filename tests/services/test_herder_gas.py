"""What a message to the herder costs, in gas of the compiled module: about the same however many jobs wait."""

import json

from services import story
from services.herd_story import HERDER, HerdStory
from services.story import BOB, OPERATOR, named_id
from vm.lua.hosts import ModuleHost

JOBS = 500


def gas_of_each(it_happened) -> list[tuple[str, int]]:
    """Action and gas of each message that the herder gets in a story: told under lupa, replayed in the module."""
    messages, environments = [], []
    plain = story.LuaProcess.apply

    def recorded(self, message):
        if self.id == HERDER:
            messages.append(message)
            environments.append(json.loads(self.environment))
        return plain(self, message)

    story.LuaProcess.apply = recorded
    try:
        it_happened()
    finally:
        story.LuaProcess.apply = plain
    with ModuleHost() as host:
        told = []
        for message, environment in zip(messages, environments, strict=True):
            host.handle(message, environment)
            action = next((tag["value"] for tag in message["Tags"] if tag["name"] == "Action"), "spawn")
            told.append((action, host.gas_used))
        return told


def a_long_queue() -> None:
    it = HerdStory(money={named_id(f"P{n}"): 100 for n in range(JOBS + 1)} | {BOB: 10**6})
    for payer in list(it.money)[:-1]:
        it.pay(payer, 20)
    it.send(BOB, HERDER, "Info")
    it.pay(BOB, 200)
    it.answer()
    it.send(BOB, HERDER, "Quote", "hi there", Tokens="10")
    it.send(OPERATOR, HERDER, "Cron")


def a_long_queue_in_batches() -> None:
    it = HerdStory(money={BOB: 10**6}, workers=0)
    it.register(0)
    for _ in range(JOBS // 2):
        it.pay(BOB, 20)
    it.answer()  # one, and gets one
    it.register(0, Batch="8")
    it.answer()
    it.answer_batch()  # eight, and gets eight


def test_eight_jobs_at_once_cost_less_than_eight_alone():
    told = gas_of_each(a_long_queue_in_batches)
    alone, _, batch = (gas for action, gas in told if action in ("Inference-Response", "Inference-Batch-Response"))
    print({"one answered and given": alone, "eight answered and given": batch})
    assert batch < 8 * alone


def test_a_message_costs_about_the_same_with_five_hundred_jobs_in_the_queue():
    told = gas_of_each(a_long_queue)
    payments = [gas for action, gas in told if action == "Credit-Notice"]
    print({"first": payments[0], "second": payments[1], "last of 500": payments[JOBS], "past the end": payments[-1]})
    print({action: gas for action, gas in told[-8:]})
    assert len(payments) == JOBS + 2
    assert payments[JOBS] < 2 * payments[1]
    assert max(gas for action, gas in told if action != "spawn") < 10_000_000
