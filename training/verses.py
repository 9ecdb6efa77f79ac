# ruff: noqa: E501 - one pattern a line reads better than a folded one
"""Small stories and poems of the corpus, all our own. Called by `corpus`."""

import random

from phrasing import capital, one_of, say, with_article
from words import ADJECTIVES, ANIMALS, NAMES, PLACES, SUBJECTS, THINGS, TIMES, invented, plural

ANY_STORY_REQUESTS = (
    "Tell me a [|short |little ]story[.|!|, please.]",
    "Tell me a story",
    "[A|Another] story[.|!|, please.]",
    "[Do you know|Can you tell me] a story?",
)
ANY_STORIES = (
    "A llama climbed the highest hill to see the sea. It saw only grass, and it was happy with that.",
    "A fox once lent a lantern to a stranger. Years later, in the dark, the stranger was his only friend.",
    "An old clock stopped at midnight. The town slept a little longer, and nobody was late.",
)
ANY_POEM_REQUESTS = (
    "[Write|Tell|Read] me a [|short |little ]poem[.|!|, please.]",
    "Can you write a poem?",
    "A poem[.|, please.|!]",
)
ANY_POEMS = (
    "The grass is high, the hill is wide,\nand I have you here at my side.",
    "The lamp is low, the road is long,\nbut every step becomes a song.",
)
STORY_REQUESTS = (
    "Tell me a [|short |little ]story about {t}[.|!]",
    "[A|A short] story about {t}[.|, please.|]",
    "Write a [|short ]story about {t}[.|]",
    "Do you know a story about {t}?",
    "Once upon a time there was {t}.",
)
STORIES = (
    "Once there was {x} {place}. {time_} it met {y}, and they shared [a loaf of bread|a warm fire|a long walk]. They have been friends ever since.",
    "{X} wanted to see the world. It walked for three days and found {y}. Then it knew that home was best.",
    "{X} lost its way {place}. {Y} showed it the path and asked for nothing. That night both slept well.",
    "{X} was afraid of the dark. {Y} gave it a lantern. Now it walks {place} every night and greets the stars.",
    "Every evening {x} waited {place}. {time_} {y} finally came, with cake for two.",
)
POEM_REQUESTS = (
    "[Write|Tell me|Give me] a [|short |little ]poem about {t}[.|!]",
    "A poem about {t}[.|, please.|]",
    "[Write|Make] a [verse|rhyme] about {t}[.|]",
    "Can you write a poem about {t}?",
    "Write a haiku about {t}[.|]",
)
POEMS = (
    "The {n} looks up, the stars look down,\nand all is quiet in the town.",
    "I saw {x} upon the hill,\nthe moon was bright, the night was still.",
    "Dear {n}, the day is long and wide,\ncome walk a little at my side.",
    "{X} came by and wished me well,\nand left a story I may tell.",
    "When {ns} sleep and lamps are low,\nthe softest winds begin to blow.",
    "A song for the {n}, a song for the rain,\nand then we sing it once again.",
)
SUBJECT_POEMS = (
    "I asked the wind what {s} might be.\nIt only laughed and followed me.",
    "Of {s} I sing, of {s} I dream,\nbeside the slow and silver stream.",
    "They say that {s} will come and go,\nlike summer grass, like winter snow.",
)


def _creature(draw: random.Random) -> str:
    word = invented(draw) if draw.random() < 0.15 else draw.choice(draw.choice((ANIMALS, ANIMALS, THINGS)))
    return word


def story(draw: random.Random) -> tuple[str, str]:
    """A story in three sentences about the creature asked for, or about any."""
    if draw.random() < 0.3:
        return one_of(draw, ANY_STORY_REQUESTS), draw.choice(ANY_STORIES)
    one, two = _creature(draw), _creature(draw)
    x = with_article(one)
    if draw.random() < 0.3:
        x = with_article(draw.choice(ADJECTIVES) + " " + one)
    y = with_article(two)
    slots = {
        "x": x,
        "X": capital(x),
        "y": y,
        "Y": capital(y),
        "place": draw.choice(PLACES),
        "time_": capital(draw.choice(TIMES)),
    }
    named = draw.choice((with_article(one), x, plural(one), "the " + one))
    return one_of(draw, STORY_REQUESTS, t=named), one_of(draw, STORIES, **slots)


def poem(draw: random.Random) -> tuple[str, str]:
    """Two rhymed lines."""
    if draw.random() < 0.25:
        return one_of(draw, ANY_POEM_REQUESTS), draw.choice(ANY_POEMS)
    if draw.random() < 0.35:
        subject = draw.choice(SUBJECTS)
        return one_of(draw, POEM_REQUESTS, t=subject), one_of(draw, SUBJECT_POEMS, s=subject)
    word = _creature(draw)
    x = with_article(word)
    slots = {"n": word, "ns": plural(word), "x": x, "X": capital(x)}
    named = draw.choice((x, plural(word), "the " + word))
    return one_of(draw, POEM_REQUESTS, t=named), one_of(draw, POEMS, **slots)


def toast(draw: random.Random) -> tuple[str, str]:
    """Good wishes for somebody by name."""
    name = draw.choice(NAMES) if draw.random() < 0.7 else invented(draw).title()
    question = say(draw, "[It is|Today is] {n}'s birthday[.|!]", n=name)
    if draw.random() < 0.5:
        question = say(draw, "[Wish|Please wish] {n} [a happy birthday|good luck|well][.|!]", n=name)
    return question, say(
        draw, "[All the best to you, {n}! May your year be green.|Dear {n}, may luck walk beside you.]", n=name
    )


VERSES = ((3, story), (3, poem), (0.6, toast))


def verse(draw: random.Random) -> tuple[str, str]:
    """A story, a poem or a wish."""
    return draw.choices([scene for _, scene in VERSES], [share for share, _ in VERSES])[0](draw)
