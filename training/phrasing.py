# ruff: noqa: E501 - one pattern a line reads better than a folded one
"""Small grammar for writing many sentences as one pattern.

`[a|b|c]` is a choice (choices may nest), `{name}` a slot. Called by every scene of the corpus.
"""

import random
import re

CHOICE = re.compile(r"\[([^\[\]]*)\]")


def say(draw: random.Random, pattern: str, **slots: object) -> str:
    """Expand one pattern: innermost choices first, then the slots."""
    while "[" in pattern:
        pattern = CHOICE.sub(lambda found: draw.choice(found[1].split("|")), pattern)
    return pattern.format(**slots) if slots else pattern


def one_of(draw: random.Random, patterns: list[str] | tuple[str, ...], **slots: object) -> str:
    """Expand a pattern drawn from several."""
    return say(draw, draw.choice(patterns), **slots)


def with_article(noun: str) -> str:
    """The noun after "a" or "an"; the sound decides, not the letter."""
    vowel = noun.startswith("honest") or (noun[0] in "aeiou" and not noun.startswith(("uni", "use")))
    return ("an " if vowel else "a ") + noun


def capital(text: str) -> str:
    """The text with its first letter upper-case, the rest as it was."""
    return text[:1].upper() + text[1:]


def typed(draw: random.Random, text: str) -> str:
    """The text as somebody in a hurry types it: often untouched, sometimes sloppy."""
    fate = draw.random()
    if fate < 0.5:
        return text
    if fate < 0.62:
        return text.rstrip("?!.")
    if fate < 0.75:
        return text.lower()
    if fate < 0.90:
        return text.lower().rstrip("?!.")
    if fate < 0.95:
        return text.lower().replace("'", "").replace(",", "").rstrip("?!.")
    if fate < 0.96:
        return text.upper()
    return text.rstrip("?!.") + draw.choice(["??", "!!", "...", " ?", " !", "?!", "", "", ""])


def addressed(draw: random.Random, text: str) -> str:
    """The text with a greeting or a name before it, or a thank you after it."""
    if draw.random() < 0.25:
        return text + draw.choice((" Thanks.", " Thank you!", " Please.", " Thanks!"))
    opening = say(
        draw,
        "[Hello[!|.]|Hi[!|,]|Hey[,|!]|Hello llama,|Hi Puna,|Llama,|Puna,|Please,|So,|Ok,|And|Well,|Good morning!|Hi there!] ",
    )
    keeps = opening[-2] in "!." or text.startswith(("I ", "I'"))
    return opening + (text if keeps else text[:1].lower() + text[1:])


def slipped(draw: random.Random, text: str) -> str:
    """Two neighbouring letters swapped, or one left out."""
    places = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    at = draw.choice(places)
    if draw.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]
