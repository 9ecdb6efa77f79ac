"""A story with the whole land in it: token and herder, coin, worlds and characters; the model is what the test says."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from services.herd_story import HERDER, TOKEN, HerdStory, worker_id
from services.story import ALICE, BOB, OPERATOR, named_id

from puna.llamaland.cast import CAST, WORLD, character_source, coin_source
from puna.llamaland.genesis import settlement
from puna.llamaland.land import Land
from puna.llamaland.places import WORLDS
from puna.services import programs
from puna.services.outbox import Sent

LLAMA = 10**12
CAROL = named_id("CAROL")
COIN = named_id("COIN")
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def wise(prompt: str) -> str:
    """What a model says that does as it is told."""
    if "Which grade from 0 to 5" in prompt:
        return "Grade: 4/5."
    if "Llama King" in prompt:
        return "Grade: 4/5. Well spoken."
    if "joke" in prompt:
        return f"A joke about {re.search(r'Topic: (.*?)<', prompt)[1]}."
    return "The mist says yes."


@dataclass
class LandStory(HerdStory):
    """`thinks` plays the model: prompt -> text, or None for a model that fails."""

    thinks: Callable[[str], str | None] = wise
    is_funded: bool = True
    citizens_only: bool = False
    llama: dict[str, int] = field(default_factory=lambda: {ALICE: 20, BOB: 20})
    answered: int = 0
    prompts: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__post_init__()
        self.clock.pass_ms(DAY_MS)
        self.spawn("COIN", coin_source(), Name="Llama Coin", Ticker="LLAMA", Denomination="12", Minter="nobody")
        worlds = {world.key: self.spawn(world.key.upper(), programs.source(WORLD), Name=world.name) for world in WORLDS}
        people = {}
        for each in CAST:
            tags = dict(each.tags) | ({"Citizens-Only": "yes"} if self.citizens_only else {})
            source = character_source(each, TOKEN, HERDER)
            people[each.key] = self.spawn(each.key.upper(), source, Name=each.name, World=each.world, **tags)
            if each.winston and self.is_funded:
                self.send(OPERATOR, TOKEN, "Mint", Recipient=people[each.key], Quantity=str(each.winston))
        self.land = Land(COIN, people, worlds)
        told = json.dumps({**self.land.to_json(), "names": {each.name: True for each in CAST}})
        # Players come with coins here: granted by the operator before it is the Banker alone who grants.
        self.send(OPERATOR, COIN, "Appoint", Grantor=OPERATOR)
        for address, count in self.llama.items():
            self.send(OPERATOR, COIN, "Grant", Recipient=address, Quantity=str(count * LLAMA))
        self.processes[COIN].lua.execute(f'Grantors["{OPERATOR}"] = nil')
        self.send(OPERATOR, COIN, "Appoint", Grantor=self.land.banker)
        for id in people.values():
            self.send(OPERATOR, id, "Introduce", told)
        for world in WORLDS:
            self.send(OPERATOR, worlds[world.key], "Reality.Settle", json.dumps(settlement(world, self.land)))
        self.send(OPERATOR, self.land.giver, "Open")
        for id in (COIN, *(people[each.key] for each in CAST if each.final)):
            self.send(OPERATOR, id, "Renounce")

    @property
    def town(self) -> str:
        return self.land.worlds["town"]

    # What players do ------------------------------------------------------------------------------------------

    def pay_llama(self, sender: str, to: str, llama: float = 1, units: int | None = None, **tags: str) -> None:
        """Coins and everything that follows, the model's answers among it."""
        quantity = str(units if units is not None else int(llama * LLAMA))
        self.send(sender, COIN, "Transfer", Recipient=to, Quantity=quantity, **tags)
        self.think()

    def petition(self, sender: str, text: str = "Please help me feed the orphans.", name: str = "Ann", **tags) -> None:
        self.pay_llama(sender, self.land.banker, 1, **({"X_Petition": text, "X_Sender_Name": name} | tags))

    def joke(self, sender: str, topic: str = "cats", llama: float = 5, **tags: str) -> None:
        self.pay_llama(sender, self.land.joker, llama, **({"X_JokeTopic": topic} | tags))

    def question(self, sender: str, text: str = "Will I be rich?", **tags: str) -> None:
        self.pay_llama(sender, self.land.oracle, 2, **({"X_Question": text} | tags))

    def think(self) -> None:
        """Every job that the worker was given is answered."""
        while len(self.jobs()) > self.answered:
            job = self.jobs()[self.answered]
            self.answered += 1
            self.prompts.append(job.data)
            said = self.thinks(job.data)
            if said is None:
                self.speak(worker_id(0), HERDER, "Inference-Error", Job=job.tags["Job"], Code="bad-request", Error="no")
            else:
                self.speak(
                    worker_id(0), HERDER, "Inference-Response", said or " ", Job=job.tags["Job"], Tokens_Used="3",
                    Finish="stop", Model="M", Arithmetic="canonical-1",
                )  # fmt: skip

    # What is to be seen -----------------------------------------------------------------------------------------

    def units(self, address: str) -> int:
        return int(self.processes[COIN].eval(f'Balances["{address}"]') or 0)

    def coins(self, address: str) -> float:
        return self.units(address) / LLAMA

    def supply(self) -> int:
        return int(self.processes[COIN].eval("TotalSupply"))

    def asked(self, process: str, action: str, sender: str = CAROL, data: str = "", **tags: str) -> Sent:
        return self.ask(sender, process, action, data, **tags)

    def lines(self, world: str | None = None) -> list[dict]:
        """The chat of a world, the oldest line first."""
        return json.loads(self.asked(world or self.town, "ChatHistory").data)[::-1]

    def said_to(self, address: str) -> list[str]:
        return [line["Content"] for line in self.lines() if line.get("Recipient") == address]

    def said_aloud(self) -> list[str]:
        return [line["Content"] for line in self.lines() if not line.get("Recipient")]

    def records(self) -> list[dict]:
        lua = self.processes[self.land.banker].lua
        return json.loads(lua.execute(
            "local told = {} for _, id in ipairs(Order) do table.insert(told, Records[id]) end "
            "return require('json').encode(told)"
        ))  # fmt: skip

    def grants(self) -> list[Sent]:
        """What the coin told players they were granted by the Banker."""
        entries = [entry for each in self.log if each.process == COIN for entry in each.sent]
        paid = [entry for entry in entries if entry.action == "Grant-Notice" and entry.target != self.land.giver]
        return [entry for entry in paid if entry.tags["Sender"] == self.land.banker]

    def check_coins(self) -> None:
        """Balances add up to the supply, and the supply to what the Banker says he issued."""
        lua = self.processes[COIN].lua
        total = lua.execute(
            "local sum = require('.bint')(256)(0) "
            "for _, units in pairs(Balances) do sum = sum + require('.bint')(256)(units) end return tostring(sum)"
        )
        assert int(total) == self.supply() <= 11_111_111 * LLAMA
        given = sum(self.llama.values()) * LLAMA
        assert self.supply() - given == int(self.processes[self.land.banker].eval("Emission.issued")) * 10**6
        assert not self.dropped
