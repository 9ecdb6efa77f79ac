"""Witness: a published aos that reports 2.0.4. The corpus gives the same answers on it and on our module, field by
field, but for the differences it declares; and every declared difference is there."""

from pathlib import Path

import pytest
from vm.aos.corpus import CHAPTERS
from vm.aos.differences import REASONS
from vm.aos.sides import differing, fields, same_but_for_order, sides
from vm.aos.telling import Differs, messages

DECISION = Path(__file__).parents[3] / "docs/decisions/0010-the-aos-environment.md"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_the_same_messages_give_the_same_answers(chapter):
    ours, theirs = sides(chapter.story())
    for message, declared in messages(chapter):
        our, their = fields(ours.give(message)), fields(theirs.give(message))
        where = f"{chapter.name}, nonce {message['Nonce']}: {message['Data']!r:.300}"
        told = {name: (our.get(name), their.get(name)) for name in our.keys() | their.keys()}
        wrong = {name: pair for name, pair in told.items() if pair[0] != pair[1]}
        assert differing(our, their) == set(declared.fields if declared else ()), f"{where}\n{wrong}"
        if declared and declared.why == "order":
            assert same_but_for_order(our, their), where
    ours.close()
    theirs.close()


def test_the_corpus_is_as_long_as_promised():
    lines = [line for chapter in CHAPTERS for line in chapter.lines]
    assert len(lines) >= 300
    assert sum(isinstance(line, Differs) for line in lines) < len(lines) / 4


def test_every_reason_is_used_and_told_in_the_decision():
    used = {line.why for chapter in CHAPTERS for line in chapter.lines if isinstance(line, Differs)}
    assert used == set(REASONS)
    decision = DECISION.read_text()
    assert [why for why in REASONS if f"| {why} |" not in decision] == []
