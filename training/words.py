"""Word lists that several scenes of the corpus draw from, and invented words.

Invented words teach the model to repeat a topic it has never seen.
"""

import random

NAMES = (
    "Ada Alma Amir Anna Arthur Bea Ben Bob Boris Carla Carlos Chen Clara Dan David Diego Dora Elena Eli Emma "
    "Eva Felix Fiona Frank George Greta Hana Hugo Ibrahim Ida Igor Iris Ivan Jack Jane Jim John Jonas Julia Kai Karim "
    "Kate Lars Lena Leo Lily Lin Lucas Lucy Maria Mark Marta Max Maya Mei Mia Mike Mina Nadia Nils Nina Noah Nora "
    "Olga Omar Oscar Otto Paul Pedro Peter Petra Priya Rania Ravi Rita Robert Rosa Ruth Sam Sara Simon Sofia Sven "
    "Tara Theo Tim Tom Uma Vera Victor Wanda Will Yara Yuki Zoe Alice Alex"
).split()

ANIMALS = (
    "cat dog llama alpaca horse cow goat sheep pig duck goose hen rabbit fox wolf bear owl raven eagle parrot penguin "
    "frog turtle snake spider bee ant butterfly elephant giraffe lion tiger monkey camel kangaroo dolphin whale shark "
    "octopus crab mouse hedgehog squirrel donkey pigeon sparrow swan snail bat deer zebra panda koala otter beaver "
    "hamster dragon unicorn"
).split()

THINGS = (
    "clock lamp chair table door window bridge tower castle ship boat train car bicycle guitar piano violin drum book "
    "letter pencil mirror hat coat shoe sock spoon kettle teapot cup apple banana pear onion potato "
    "tomato carrot pumpkin cake pie pizza egg garden tree flower rose river mountain cloud star moon "
    "island forest desert beach snowman umbrella candle key ladder hammer suitcase pillow blanket bucket broom "
    "computer robot phone keyboard printer camera rocket balloon kite anchor compass map lantern statue fountain"
).split()

PEOPLE = (
    "king queen knight wizard witch pirate baker farmer teacher doctor judge lawyer sailor captain painter poet "
    "singer dancer chef waiter barber tailor plumber carpenter gardener librarian banker programmer scientist "
    "astronaut detective thief ghost vampire mummy giant clown magician fisherman shepherd butcher postman pilot "
    "student neighbour grandmother uncle"
).split()

SUBJECTS = (
    "love money work school music football chess weather winter summer autumn spring rain snow politics history "
    "maths science philosophy poetry art cooking gardening travel holidays sleep coffee tea chocolate "
    "cheese bread honey soup breakfast "
    "Monday birthdays weddings time silence friendship luck dreams books films games numbers trees the_sea the_moon "
    "the_stars the_future the_past blockchains programming robots space dinosaurs trains"
).split()
SUBJECTS = [subject.replace("_", " ") for subject in SUBJECTS]

PLACES = (
    "by the river|in the market|on the hill|under the old bridge|behind the mill|near the well|at the edge of town|"
    "in the long grass|beside the lake|in the tall tower|on the high plain|in the kitchen|at the station|"
    "in the library|on the beach|in the quiet valley|under the stars|in the garden"
).split("|")

TIMES = (
    "before noon|at dawn|after the rain|at midnight|on a cold morning|late in autumn|one evening|in early spring|"
    "before the harvest|when the moon was full|on the third day|last winter"
).split("|")

ADJECTIVES = (
    "old brave quiet golden hungry clever lonely rusty gentle wild tiny honest crooked silver sleepy proud patient "
    "lucky small happy curious polite stubborn cheerful famous"
).split()

SYLLABLES_START = "ba be bi bo bra cha da de do dra fa fi flo ga go gri ha he jo ka ke ki kra la lo lu ma me mi mo na "
SYLLABLES_START += "ne no pa pe pli po qua ra re ri ro sa se shi so sta ta te ti to tra va ve vo wa we wi ya yo za zo"
SYLLABLES_END = "ba bble ck den der dge fer fle ggle gon kin lar ler lin lo ma mer mo na nda ng nix nk no per pple ra "
SYLLABLES_END += "rk rn ro sh sk sper st ta tch ter thon tle to ton va ver vin x zen zzle"


def invented(draw: random.Random) -> str:
    """A word that sounds like one and is none: two or three syllables."""
    start = draw.choice(SYLLABLES_START.split())
    middle = draw.choice(SYLLABLES_START.split()) if draw.random() < 0.4 else ""
    return start + middle + draw.choice(SYLLABLES_END.split())


def noun(draw: random.Random) -> str:
    """A countable noun, now and then an invented one."""
    fate = draw.random()
    if fate < 0.15:
        return invented(draw)
    return draw.choice(draw.choice((ANIMALS, THINGS, PEOPLE)))


def plural(word: str) -> str:
    """The regular English plural, with the irregular words of our lists."""
    irregular = {
        "wolf": "wolves",
        "mouse": "mice",
        "goose": "geese",
        "thief": "thieves",
        "sheep": "sheep",
        "deer": "deer",
        "postman": "postmen",
        "fisherman": "fishermen",
        "snowman": "snowmen",
        "bread": "bread",
        "honey": "honey",
        "cheese": "cheese",
        "potato": "potatoes",
        "tomato": "tomatoes",
        "fish": "fish",
        "octopus": "octopuses",
    }
    if word in irregular:
        return irregular[word]
    if word.endswith(("s", "x", "ch", "sh", "z")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
