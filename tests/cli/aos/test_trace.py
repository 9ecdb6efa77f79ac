"""A tree of messages: which entry of an outbox became which item."""

from cli.conftest import puna

from puna.ao.result import Result
from puna.arweave.ids import b64url_encode
from puna.cli.aos.trace import Caused, caused, item_of

SENDER, TARGET = "S" * 43, "T" * 43


def anchor(number: int) -> str:
    return f"{number:032d}"


def item(id: str, number: int, target: str = TARGET, **tags: str):
    named = {"From-Process": SENDER, **{name.replace("_", "-"): value for name, value in tags.items()}}
    tag_list = [{"name": name, "value": value} for name, value in named.items()]
    return item_of({"id": id, "recipient": target, "anchor": b64url_encode(anchor(number).encode()), "tags": tag_list})


def entry(number: int, target: str = TARGET, **tags: str) -> dict:
    named = [{"name": name.replace("_", "-"), "value": value} for name, value in tags.items()]
    return {"Target": target, "Anchor": anchor(number), "Tags": named}


def test_a_message_is_found_by_its_sender_target_and_anchor():
    wanted = item("wanted", 2, Action="Ping")
    chain = [item("other number", 1), item("other target", 2, target="X" * 43), wanted]
    chain.insert(0, item("other sender", 2, From_Process="Y" * 43))
    assert caused(SENDER, Result(messages=(entry(2, Action="Ping"),)), chain) == [Caused("Ping", TARGET, wanted)]


def test_what_was_not_delivered_is_still_an_entry():
    result = Result(messages=(entry(1, Action="Lost"), "no table", {"Tags": "none"}))
    assert caused(SENDER, result, []) == [Caused("Lost", TARGET, None), Caused("", "", None)]


def test_a_spawn_is_found_by_its_reference_and_brings_the_word_of_it():
    child = item("C" * 43, 0, target="", Type="Process", Reference="7", Name="child")
    word = item("word", 0, target=SENDER, Action="Spawned", Process="C" * 43)
    result = Result(spawns=({"Tags": [{"name": "Reference", "value": "7"}, {"name": "Name", "value": "child"}]},))
    found = caused(SENDER, result, [word, child])
    assert found == [Caused("Spawn child", "", child), Caused("Spawned", SENDER, word)]
    assert child.process == "C" * 43 and child.action == "Spawn child"


def test_an_assignment_goes_to_each_process_it_names():
    result = Result(assignments=({"Processes": [TARGET, SENDER, 5], "Message": "M" * 43},))
    found = caused(SENDER, result, [])
    assert [(each.target, each.item.id, each.item.process) for each in found] == [
        (TARGET, "M" * 43, TARGET),
        (SENDER, "M" * 43, SENDER),
    ]


def test_everything_a_paid_question_caused_is_one_tree(up):
    told = puna("ask", "hello", "--tokens", 60, "--json", home=up.home).json()
    said = puna("aos", "tracer", home=up.home, input=f".trace {told['messages']['transfer']}\n")
    lines = said.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Transfer -> token"))
    tree = "\n".join(lines[start:])
    # What the answer did not need goes back: a second Transfer, with a notice of its own.
    for action in ("Credit-Notice -> herder", "Inference -> worker", "Inference-Response", "─ Transfer -> token"):
        assert action in tree, tree
    assert tree.count("kept for a wallet") == 2 and "gas" in tree
    depths = [len(line) - len(line.lstrip("│├└─ ")) for line in lines[start:] if line]
    words = [line.lstrip("│├└─ ").split()[0] for line in lines[start:] if line]
    paid, taken, given = (words.index(word) for word in ("Transfer", "Credit-Notice", "Inference"))
    back = words.index("Transfer", paid + 1)
    assert depths[paid] < depths[taken] < depths[given] < depths[back] < depths[words.index("Credit-Notice", back)]
    inference = told["messages"]["inference"]
    said = puna("aos", "tracer", home=up.home, input=f".trace {inference}\n.trace {'A' * 43}\n")
    assert "\nInference -> worker" in said.out and f"Nobody here has a message {'A' * 43}" in said.out
