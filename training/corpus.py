# ruff: noqa: E501 - one pattern a line reads better than a folded one
"""The demo model's training text, drawn from our own patterns; the same seed gives the same text.

    python training/corpus.py --count 20 --seed 1      prints some conversations

Every sentence comes from the pattern files beside this one (talk, facts, jokes, oracle,
court, verses) and was written for this project. Called by `train` and `vocabulary`.
"""

import argparse
import random
from collections.abc import Callable, Iterator

from court import banker, banker_form, king, king_form
from facts import fact
from jokes import joke, joker_form, two_jokes
from oracle import oracle, oracle_form, place_of
from phrasing import addressed, say, slipped, typed
from talk import beyond, echo, liking, meaning, naming, noise, remembered, statement, stranger, talk, unknown, why
from verses import verse
from wire import Conversation, segments

Exchange = Callable[[random.Random], tuple[str, str]]
Directed = Callable[[random.Random], tuple[str, str, str]]

# Questions that need no system text.
OPEN: tuple[tuple[float, Exchange], ...] = (
    (24, talk),
    (2, meaning),
    (2.5, liking),
    (4, unknown),
    (2.5, beyond),
    (2, naming),
    (2, echo),
    (1, why),
    (2.5, statement),
    (0.4, stranger),
    (1, noise),
    (14, joke),
    (11, oracle),
    (1, place_of),
    (3, king),
    (2, banker),
    (26, fact),
    (5, verse),
)
# Where the answer takes up words of the question, a slip of the pen would teach a wrong copy.
EXACT = (echo,)
FORGIVING = (talk, beyond, meaning, fact, why)
# Forms that bring their own system text.
DIRECTED: tuple[tuple[float, Directed], ...] = ((13, joker_form), (5, oracle_form), (11, king_form), (4, banker_form))

GENERAL_SYSTEMS = (
    "You are [a helpful assistant|a helpful AI assistant|a friendly assistant|an assistant|a kind helper][.|. Answer briefly.|. Be brief.|]",
    "You are [Puna|a small llama|a friendly llama|a wise llama|a llama][.|. Answer [briefly|in one sentence|kindly].|, and you like to talk.]",
    "Answer [the question|briefly|in one sentence|the user|shortly and kindly][.|]",
    "[Be|Please be] [brief|kind|helpful|polite][.|]",
)

DIRECTED_SHARE = 0.28
RAW_SHARE = 0.08
LOOSE_SHARE = 0.06
SYSTEM_SHARE = 0.15
SLIP_SHARE = 0.04
LINKED_SHARE = 0.4
ADDRESS_SHARE = 0.06
TURNS = ((1, 76), (2, 11), (3, 8), (4, 5))


def _open_turn(draw: random.Random) -> tuple[str, str]:
    scene = draw.choices([scene for _, scene in OPEN], [share for share, _ in OPEN])[0]
    question, answer = scene(draw)
    if scene in EXACT:
        return question, answer
    if scene in FORGIVING and draw.random() < SLIP_SHARE:
        question = slipped(draw, question)
    if draw.random() < ADDRESS_SHARE:
        question = addressed(draw, question)
    return typed(draw, question), answer


def _open_turns(draw: random.Random, count: int) -> tuple[tuple[str, str], ...]:
    """Turns that need no system text; in longer talks two of them may belong together."""
    turns = [_open_turn(draw) for _ in range(count)]
    if count > 1 and draw.random() < LINKED_SHARE:
        if draw.random() < 0.4:
            turns[:2] = ((typed(draw, question), answer) for question, answer in two_jokes(draw))
        else:
            (greeting, reply), later = remembered(draw)
            turns[0] = typed(draw, greeting), reply
            turns[draw.randrange(1, count)] = later
    return tuple(turns)


def _directed(draw: random.Random) -> Conversation:
    """One scene under its own system text; sometimes several visitors in a row."""
    scene = draw.choices([scene for _, scene in DIRECTED], [share for share, _ in DIRECTED])[0]
    system, question, answer = scene(draw)
    turns = [(typed(draw, question), answer)]
    if scene is joker_form and draw.random() < 0.1:
        turns += ((typed(draw, topic), told) for _, topic, told in (scene(draw) for _ in range(2)))
    return Conversation(tuple(turns), system)


def _loosened(draw: random.Random, conversation: Conversation) -> Conversation:
    """The same conversation with markers as people paste them."""
    after_role = draw.choice(("", "", " ", "\n  ", "\n    "))
    after_end = draw.choice(("", "\n", "\n  ", "\n    "))
    return Conversation(conversation.turns, conversation.system, False, after_role, after_end)


def conversation(draw: random.Random, long: bool = False) -> Conversation:
    """One conversation; a `long` one has so many turns that far positions are used."""
    if long:
        system = say(draw, draw.choice(GENERAL_SYSTEMS)) if draw.random() < 0.3 else None
        return Conversation(_open_turns(draw, draw.randrange(4, 24)), system)
    if draw.random() < DIRECTED_SHARE:
        drawn = _directed(draw)
    else:
        turns = _open_turns(draw, draw.choices([n for n, _ in TURNS], [share for _, share in TURNS])[0])
        if len(turns) == 1 and draw.random() < RAW_SHARE:
            return Conversation(turns, raw=True)
        system = say(draw, draw.choice(GENERAL_SYSTEMS)) if draw.random() < SYSTEM_SHARE else None
        drawn = Conversation(turns, system)
    return _loosened(draw, drawn) if draw.random() < LOOSE_SHARE else drawn


def conversations(count: int, seed: int) -> Iterator[Conversation]:
    """`count` conversations, the same ones for the same seed."""
    draw = random.Random(seed)
    for _ in range(count):
        yield conversation(draw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for drawn in conversations(arguments.count, arguments.seed):
        print("".join(segment.text for segment in segments(drawn)), end="\n\n")


if __name__ == "__main__":
    main()
