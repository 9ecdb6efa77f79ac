"""Two processes that get the same messages: one runs our module, the other a published aos 2.0.4, both in our host.

What each answers is taken apart into fields; `differing` names those that are not the same. A few things cannot be the
same, whatever aos does, and are taken out of both sides first; each is a rule of its own below.
"""

import json
import re
from pathlib import Path

from vm.lua.stories import Process as Story
from vm.published import samples

import puna
from puna.vm.extensions import Host
from puna.vm.process import Process
from puna.vm.program import Program
from puna.vm.result import decode

OURS = Path(puna.__file__).parent / "vm/module/_built/puna-lua.wasm"
THEIRS = "aos2_0_6"  # reports 2.0.4
MEMORY = 1 << 30

Fields = dict[str, object]

ADDRESS = re.compile(r"(function|table|thread|userdata)(: |: builtin: )?0x[0-9a-f]+|file \(0x[0-9a-f]+\)")
# Where in its own source a library raised an error, and where it raised it again.
POSITION = re.compile(r'\[string "(?:\.[^"\n]*|json)"\]:\d+: ')
# Theirs shows where the process was, ours where the program was.
TRACEBACK = re.compile(r"stack traceback:\n[^\x1b]*")


class Side:
    """One process. `give` evaluates a message; `ask` does so as a dry run."""

    def __init__(self, path: Path, module_format: str, environment: dict):
        limits = (MEMORY, samples.GAS)
        program = Program(path, "m", *limits, (), samples.compact(environment), {}, module_format)
        self.process = Process(samples.machine(), program, Host())

    def give(self, message: dict) -> dict:
        step = self.process.apply(samples.compact(message), message.get("Id", ""))
        return {"ok": False, "response": step.stopped} if step.answer is None else decode(step.answer)

    def close(self) -> None:
        self.process.close()


def sides(story: Story) -> tuple[Side, Side]:
    """Ours and theirs, for the process of a story; both still to be spawned."""
    environment = story.environment
    return Side(OURS, "wasm32-puna-lua-1", environment), Side(samples.module(THEIRS), samples.WIDE, environment)


def fields(answer: dict) -> Fields:
    """An answer by field. A failed evaluation has the one field `Failed`."""
    if not answer["ok"]:
        return {"Failed": neutral(answer["response"])}
    found: Fields = {}
    for name, value in answer["response"].items():
        if name == "Output" and isinstance(value, dict):
            found |= {f"Output.{part}": neutral(content) for part, content in value.items()}
        elif name in ("Messages", "Spawns"):
            found[name] = [entry(each) for each in value]
        else:
            found[name] = neutral(value)
    return found


# How a message begins, and how a spawn does.
FIXED = (
    ["Data-Protocol", "Variant", "Type", "From-Process", "From-Module", "Module", "Reference"],
    ["Data-Protocol", "Variant", "Type", "Reference"],
)


def entry(sent: dict) -> dict:
    """An outbox entry. Its first tags stand in one order; those after them in no order that anybody promises."""
    tags = [(tag["name"], tag.get("value")) for tag in sent["Tags"]]
    names = [name for name, _ in tags]
    fixed = next((len(first) for first in FIXED if names[: len(first)] == first), 0)
    return {"Target": None, "Data": None} | sent | {"Tags": tags[:fixed] + sorted(tags[fixed:], key=json.dumps)}


def neutral(value):
    if not isinstance(value, str):
        return value
    value = ADDRESS.sub(lambda found: f"{found[0].split('0x')[0]}0x0", value)
    return TRACEBACK.sub("stack traceback:", POSITION.sub("", value))


OUTCOME = "outcome"


def differing(ours: Fields, theirs: Fields) -> set[str]:
    """The names of the fields that differ; only `outcome` where one side has a result and the other an error, or
    where one could not even tell its error."""
    if [name in ours for name in ("Error", "Failed")] != [name in theirs for name in ("Error", "Failed")]:
        return {OUTCOME}
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


def same_but_for_order(ours: Fields, theirs: Fields) -> bool:
    """Whether all that differs is the order in which the entries of tables are listed."""
    differ = differing(ours, theirs)
    return OUTCOME not in differ and all(listed(ours.get(name)) == listed(theirs.get(name)) for name in differ)


def listed(value: object) -> list[str]:
    """The lines of a text, sorted; without the marks between and around them, which stay where they are."""
    return sorted(re.sub(r'\[\d+\] = "|[,\\"\]}\[{ ]', "", line) for line in str(value).split("\n"))
