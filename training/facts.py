# ruff: noqa: E501 - one pattern a line reads better than a folded one
"""Simple facts of the corpus: places, colours, animals, sums to ten, opposites, and the words of AO.

Called by `corpus`. The explanations are our own.
"""

import random

from phrasing import capital, one_of, say, with_article
from words import ANIMALS, NAMES, THINGS, invented, plural

CAPITALS = dict(
    pair.split(":")
    for pair in (
        "France:Paris|Germany:Berlin|Italy:Rome|Spain:Madrid|Portugal:Lisbon|England:London|Britain:London|"
        "the United Kingdom:London|Scotland:Edinburgh|Ireland:Dublin|Wales:Cardiff|the Netherlands:Amsterdam|"
        "Belgium:Brussels|Austria:Vienna|Switzerland:Bern|Poland:Warsaw|Denmark:Copenhagen|Sweden:Stockholm|"
        "Norway:Oslo|Finland:Helsinki|Iceland:Reykjavik|Russia:Moscow|Ukraine:Kyiv|Greece:Athens|Turkey:Ankara|"
        "Hungary:Budapest|Romania:Bucharest|Bulgaria:Sofia|Serbia:Belgrade|Croatia:Zagreb|Slovenia:Ljubljana|"
        "Estonia:Tallinn|Latvia:Riga|Lithuania:Vilnius|Egypt:Cairo|Morocco:Rabat|Kenya:Nairobi|Nigeria:Abuja|"
        "Ethiopia:Addis Ababa|Ghana:Accra|Senegal:Dakar|Tunisia:Tunis|China:Beijing|Japan:Tokyo|South Korea:Seoul|"
        "India:New Delhi|Pakistan:Islamabad|Nepal:Kathmandu|Thailand:Bangkok|Vietnam:Hanoi|Indonesia:Jakarta|"
        "the Philippines:Manila|Malaysia:Kuala Lumpur|Mongolia:Ulaanbaatar|Iran:Tehran|Iraq:Baghdad|Israel:Jerusalem|"
        "Saudi Arabia:Riyadh|Australia:Canberra|New Zealand:Wellington|Canada:Ottawa|Mexico:Mexico City|Cuba:Havana|"
        "the United States:Washington|America:Washington|Brazil:Brasilia|Argentina:Buenos Aires|Chile:Santiago|"
        "Peru:Lima|Bolivia:Sucre|Colombia:Bogota|Ecuador:Quito|Venezuela:Caracas|Uruguay:Montevideo|Paraguay:Asuncion"
    ).split("|")
)
# What people try first is learnt best.
ASKED_FIRST = "France Germany Italy Spain England Japan China Russia India Peru Canada".split()
ASKED_FIRST += ["the United States", "the United Kingdom"]
COLOURS = dict(
    pair.split(":")
    for pair in (
        "the sky:blue|the sea:blue|grass:green|snow:white|milk:white|coal:black|the night:black|blood:red|a tomato:red|"
        "a lemon:yellow|the sun:yellow|a banana:yellow|an orange:orange|a carrot:orange|a pumpkin:orange|chocolate:brown|"
        "a bear:brown|coffee:brown|an elephant:grey|a mouse:grey|a leaf:green|a frog:green|a flamingo:pink|a pig:pink|"
        "a swan:white|a raven:black|salt:white|honey:golden|gold:yellow|a rose:red|a strawberry:red|the moon:silver|"
        "a cucumber:green|a plum:purple|lavender:purple|paper:white|a fire engine:red|a crow:black|a sheep:white"
    ).split("|")
)
SOUNDS = dict(
    pair.split(":")
    for pair in (
        "cow:moo|dog:woof|cat:meow|sheep:baa|duck:quack|pig:oink|horse:neigh|owl:hoo|bee:buzz|frog:croak|mouse:squeak|"
        "lion:roar|wolf:howl|snake:hiss|hen:cluck|llama:hum|goat:meh|raven:caw|donkey:hee-haw"
    ).split("|")
)
YOUNG = dict(
    pair.split(":")
    for pair in (
        "dog:puppy|cat:kitten|cow:calf|horse:foal|sheep:lamb|goat:kid|pig:piglet|duck:duckling|hen:chick|goose:gosling|"
        "lion:cub|bear:cub|deer:fawn|frog:tadpole|llama:cria|alpaca:cria|swan:cygnet|fox:cub|kangaroo:joey|elephant:calf"
    ).split("|")
)
LEGS = dict(
    pair.split(":")
    for pair in (
        "dog:four|cat:four|cow:four|horse:four|llama:four|spider:eight|ant:six|bee:six|bird:two|duck:two|snake:no|"
        "fish:no|frog:four|elephant:four|chair:four|human:two|hen:two|butterfly:six|goat:four|sheep:four|octopus:eight"
    ).split("|")
)
EATS = dict(
    pair.split(":")
    for pair in (
        "llama:grass and hay|cow:grass|horse:grass, hay and oats|cat:fish and mice|dog:meat and almost anything else|"
        "rabbit:grass and carrots|panda:bamboo|koala:leaves|bear:berries, fish and honey|squirrel:nuts|lion:meat|"
        "frog:flies|owl:mice|penguin:fish|goat:everything it can reach|sheep:grass|monkey:fruit and leaves|"
        "elephant:grass, leaves and fruit|bee:nectar|giraffe:leaves from tall trees"
    ).split("|")
)
OPPOSITES = (
    "hot:cold|big:small|good:bad|black:white|day:night|up:down|left:right|young:old|fast:slow|happy:sad|high:low|"
    "rich:poor|open:closed|full:empty|light:dark|hard:soft|wet:dry|early:late|long:short|strong:weak|loud:quiet|"
    "love:hate|war:peace|win:lose|start:end|yes:no|in:out|north:south|east:west|new:old|true:false|brave:afraid"
).split("|")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBERS = "zero one two three four five six seven eight nine ten".split()

# Every entry: names in questions (first is the one we say), then explanations.
TERMS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("AO", "ao", "the AO network", "AO computer", "ao protocol"),
        (
            "AO is a network where many programs run side by side and talk by messages.",
            "AO is a large computer made of many nodes. Its programs send each other messages.",
        ),
    ),
    (
        ("Arweave", "arweave", "the permaweb", "the permanent web", "the Arweave network"),
        (
            "Arweave is a network that keeps data for good. You pay once and it stays.",
            "Arweave is a permanent library. What is written there can be read by anyone, later too.",
        ),
    ),
    (
        ("Puna", "puna", "the Puna project"),
        (
            "Puna is a whole AO network with AI on chain, in one Python package.",
            "Puna is the high grassland where llamas graze, and also the software I live in.",
        ),
    ),
    (
        ("a llama", "llama", "llamas", "the llama"),
        (
            "A llama is a woolly animal from the Andes. It carries loads and hums softly.",
            "A llama is a proud cousin of the camel, without the hump.",
        ),
    ),
    (("an alpaca", "alpaca", "alpacas"), ("An alpaca is a small, soft cousin of the llama, kept for its wool.",)),
    (
        ("a process", "process", "processes", "an AO process", "a process on AO", "a process in AO"),
        (
            "A process is a program on AO with its own memory. Messages are all it hears.",
            "A process is a log of messages and the memory that grows from them.",
        ),
    ),
    (
        ("wAR", "WAR token", "wrapped AR", "the wAR token", "war token"),
        (
            "wAR is AR wrapped for use on AO. One wAR stands for one AR.",
            "wAR is a coin on AO that stands for AR. You pay for answers with it.",
        ),
    ),
    (("AR", "the AR token", "AR coin"), ("AR is the coin of Arweave. It pays for storing data for good.",)),
    (
        ("winston", "a winston", "winstons"),
        ("Winston is the smallest unit of AR. A million million winston make one AR.",),
    ),
    (
        ("a message", "a message on AO", "an AO message", "messages"),
        ("A message is a signed note that one process or person sends to a process.",),
    ),
    (
        ("a module", "an AO module", "modules"),
        ("A module is the code that a process runs, stored for good on Arweave.",),
    ),
    (
        ("a scheduler", "the scheduler", "a scheduler unit", "the SU", "SU"),
        ("A scheduler gives every message its number, so that all agree on the order.",),
    ),
    (
        ("a messenger", "the messenger", "a messenger unit", "the MU", "MU"),
        ("A messenger carries messages from one process to the next.",),
    ),
    (
        ("a compute unit", "the compute unit", "the CU", "CU"),
        ("A compute unit runs a process and tells everyone the result.",),
    ),
    (
        ("a data item", "data items", "data item"),
        ("A data item is a signed piece of data with tags, ready to be stored for good.",),
    ),
    (
        ("a gateway", "the gateway", "an Arweave gateway"),
        ("A gateway lets you read Arweave with an ordinary web browser.",),
    ),
    (
        ("a wallet", "wallets", "my wallet", "an Arweave wallet"),
        ("A wallet holds the key that signs your messages. Keep it safe and secret.",),
    ),
    (
        ("a herder", "the herder", "the Llama Herder", "Llama Herder"),
        (
            "The herder takes your prompt, names the price and finds a free llama.",
            "The Llama Herder is a process that shares out prompts among its workers.",
        ),
    ),
    (
        ("a worker", "a llama worker", "workers", "the workers"),
        ("A worker is a process that runs the model and sends back the answer.",),
    ),
    (
        ("Llama Land", "llama land", "the Llama Land game"),
        ("Llama Land is a small world on AO where a llama king gives away coins.",),
    ),
    (
        ("Llama Coin", "LLAMA", "llama coin", "the LLAMA token", "Llama Coins"),
        ("Llama Coin is the coin of Llama Land. The King decides who earns it.",),
    ),
    (
        ("the Llama King", "the King", "Llama King", "the king of Llama Land"),
        ("The Llama King hears petitions and grades them from zero to five.",),
    ),
    (
        ("the Banker", "the Llama Banker", "Llama Banker"),
        ("The Llama Banker takes offerings and pays out what the King has granted.",),
    ),
    (
        ("the Oracle", "the Oracle Llama", "the oracle"),
        ("The Oracle answers questions about the future. It prefers hints to promises.",),
    ),
    (("the Joker", "the Llama Joker", "Llama Joker"), ("The Joker tells a joke on any topic, for a few Llama Coins.",)),
    (("Lua", "the Lua language", "lua"), ("Lua is a small, quick language. Most programs on AO are written in it.",)),
    (("WASM", "WebAssembly", "wasm"), ("WebAssembly is a compact kind of code that runs the same on every machine.",)),
    (("aos", "AOS", "the aos prompt"), ("aos is a prompt where you talk to your own process in Lua.",)),
    (
        ("a token", "tokens", "a token process"),
        ("For a model a token is a piece of a word. On AO it can also be a coin.",),
    ),
    (
        ("a language model", "an LLM", "a model", "language models", "LLMs"),
        ("A language model is a program that guesses the next word, again and again.",),
    ),
    (
        ("AI", "artificial intelligence", "on-chain AI"),
        ("AI is the art of making machines do what seems to need a mind.",),
    ),
    (
        ("a blockchain", "blockchain", "blockchains", "the blockchain", "crypto"),
        ("A blockchain is a shared notebook that nobody can secretly change.",),
    ),
    (("a prompt", "prompts"), ("A prompt is the text you give to a model. The answer follows from it.",)),
    (("a computer", "computers", "computer"), ("A computer is a machine that follows a list of steps very fast.",)),
    (("a robot", "robots"), ("A robot is a machine that can move and do work by itself.",)),
    (
        ("Python", "python", "the Python language"),
        ("Python is a friendly programming language, and Puna is written in it.",),
    ),
    (("the moon", "moon"), ("The moon is a ball of rock that goes around the earth once a month.",)),
    (("the sun", "sun"), ("The sun is the star that gives us light and warmth.",)),
    (("a star", "stars"), ("A star is a huge ball of hot gas, very far away.",)),
    (("the sea", "the ocean"), ("The sea is all the salt water between the lands.",)),
    (("a mountain", "mountains"), ("A mountain is land that rises high above everything around it.",)),
    (("a river", "rivers"), ("A river is water on its way from the hills to the sea.",)),
    (("rain", "the rain"), ("Rain is water that falls from the clouds.",)),
    (("snow", "the snow"), ("Snow is frozen water that falls in soft white flakes.",)),
    (("a cloud", "clouds"), ("A cloud is a crowd of tiny drops of water in the sky.",)),
    (("a rainbow", "rainbows"), ("A rainbow is sunlight split by rain into its colours.",)),
    (("music",), ("Music is sound arranged so that it moves us.",)),
    (("a book", "books"), ("A book is many pages of words that wait for a reader.",)),
    (("a king", "kings"), ("A king is a man who rules a country and wears a crown.",)),
    (("a queen", "queens"), ("A queen is a woman who rules a country, or the wife of a king.",)),
    (("a castle", "castles"), ("A castle is a large house with thick walls and tall towers.",)),
    (("a cat", "cats"), ("A cat is a soft animal with sharp claws that thinks it owns your house.",)),
    (("a dog", "dogs"), ("A dog is a loyal animal that likes people, walks and dinner.",)),
    (("a tree", "trees"), ("A tree is a tall plant with a wooden trunk, branches and leaves.",)),
    (("a friend", "friends"), ("A friend is someone who is glad when you arrive.",)),
    (("bread",), ("Bread is flour, water and salt, baked until it smells like home.",)),
    (("water",), ("Water is what falls as rain, fills the sea, and keeps us alive.",)),
    (("money",), ("Money is a promise that others accept in exchange for things.",)),
    (("a bank", "banks"), ("A bank is a place that keeps money and lends it out.",)),
    (("a joke", "jokes"), ("A joke is a short story with a surprise that makes you laugh.",)),
    (("a poem", "poetry", "poems"), ("A poem says much in few words, and often it sings.",)),
    (("a ghost", "ghosts"), ("A ghost is someone who has left, but not completely.",)),
    (("a dragon", "dragons"), ("A dragon is a great winged beast of old stories that breathes fire.",)),
    (("the Andes", "the andes"), ("The Andes are the long, high mountains on the west of South America.",)),
)
COUNTS = (
    ("days in a week", "A week has seven days."),
    ("days in a year", "A year has 365 days, and now and then one more."),
    ("hours in a day", "A day has 24 hours."),
    ("minutes in an hour", "An hour has 60 minutes."),
    ("seconds in a minute", "A minute has 60 seconds."),
    ("months in a year", "A year has twelve months."),
    ("weeks in a year", "A year has 52 weeks."),
    ("letters in the alphabet", "The English alphabet has 26 letters."),
    ("fingers on a hand", "A hand has five fingers."),
    ("continents", "There are seven continents, as most people count."),
    ("planets", "There are eight planets around our sun."),
    ("seasons", "There are four seasons: spring, summer, autumn and winter."),
    ("stars", "More stars than blades of grass, and I have tried to count."),
    ("people in the world", "About eight billion people live in the world."),
    ("winston in one AR", "One AR is a million million winston."),
)
TERM_QUESTIONS = (
    "What is {x}?",
    "What is {x}?",
    "What's {x}?",
    "what is {x}",
    "What are {x}?",
    "Explain {x}[.| to me.| please.| in one sentence.| simply.]",
    "Tell me [about|what you know about] {x}[.|!]",
    "What do you know about {x}?",
    "Do you know [what {x} is|{x}]?",
    "[Can|Could] you explain {x}[?| to me?]",
    "What does {x} mean?",
    "[Describe|Define] {x}[.|]",
    "{x}?",
)
PERSONS = ("king", "banker", "oracle", "joker", "herder", "king of llama land", "oracle llama")
PLURAL_QUESTION = "What are {x}?"


def term(draw: random.Random) -> tuple[str, str]:
    """What a word means."""
    names, explanations = draw.choice(TERMS)
    name = names[0] if draw.random() < 0.5 else draw.choice(names)
    question = one_of(draw, TERM_QUESTIONS, x=name)
    if question == PLURAL_QUESTION.format(x=name) and not name.endswith("s"):
        question = f"What is {name}?"
    elif question.startswith("What is ") and name.endswith("s") and name in names[1:]:
        question = f"What are {name}?"
    if name.lower().endswith(PERSONS):
        question = question.replace("What is ", "Who is ").replace("What's ", "Who's ")
    return capital(question), draw.choice(explanations)


def capital_city(draw: random.Random) -> tuple[str, str]:
    country = draw.choice(ASKED_FIRST) if draw.random() < 0.5 else draw.choice(list(CAPITALS))
    city = CAPITALS[country]
    question = one_of(
        draw,
        (
            "What is the capital of {x}?",
            "What is the capital of {x}?",
            "What's the capital of {x}?",
            "What is the capital city of {x}?",
            "Which city is the capital of {x}?",
            "Name the capital of {x}.",
            "[Tell me|Do you know] the capital of {x}[.|?]",
            "capital of {x}",
        ),
        x=country,
    )
    return question, say(draw, "[The capital of {x} is {y}.|{y} is the capital of {x}.|It is {y}.]", x=country, y=city)


def city_place(draw: random.Random) -> tuple[str, str]:
    country = draw.choice(list(CAPITALS))
    return say(
        draw, "[Where is|In which country is|Where do I find] {y}?", y=CAPITALS[country]
    ), f"{CAPITALS[country]} is in {country}."


def colour(draw: random.Random) -> tuple[str, str]:
    thing = draw.choice(list(COLOURS))
    question = one_of(
        draw,
        (
            "What [colour|color] is {x}?",
            "What [colour|color] is {x}?",
            "Which [colour|color] is {x}?",
            "What [colour|color] does {x} have?",
            "What is the [colour|color] of {x}?",
            "Tell me the [colour|color] of {x}.",
        ),
        x=thing,
    )
    return question, say(draw, "{X} is {c}.", X=capital(thing), c=COLOURS[thing])


def animal(draw: random.Random) -> tuple[str, str]:
    """Sounds, young ones, legs and food of animals."""
    kind = draw.randrange(4)
    if kind == 0:
        name = draw.choice(list(SOUNDS))
        questions = ("What [sound|noise] does {x} make?", "What does {x} say?", "How does {x} sound?")
        return one_of(draw, questions, x=with_article(name)), f"{capital(with_article(name))} says {SOUNDS[name]}."
    if kind == 1:
        name = draw.choice(list(YOUNG))
        questions = (
            "What is a baby {n} called?",
            "What do you call a [baby|young] {n}?",
            "What is the young of {x} called?",
        )
        return one_of(draw, questions, n=name, x=with_article(name)), f"A young {name} is called a {YOUNG[name]}."
    if kind == 2:
        name = draw.choice(list(LEGS))
        questions = ("How many legs does {x} have?", "How many legs has {x}[ got|]?", "How many legs do {ns} have?")
        return one_of(
            draw, questions, x=with_article(name), ns=plural(name)
        ), f"{capital(with_article(name))} has {LEGS[name]} legs."
    name = draw.choice(list(EATS))
    questions = ("What does {x} eat?", "What do {ns} eat?", "What do {ns} like to eat?")
    return one_of(
        draw, questions, x=with_article(name), ns=plural(name)
    ), f"{capital(with_article(name))} eats {EATS[name]}."


def total(draw: random.Random) -> tuple[str, str]:
    """Sums, differences and products of numbers to ten, in figures and in words."""
    biggest = draw.choice((5, 10, 10))
    a, b = draw.randrange(biggest + 1), draw.randrange(biggest + 1)
    kind = draw.choices(("plus", "minus", "times"), (7, 4, 1))[0]
    if kind == "minus" and b > a:
        a, b = b, a
    answer = {"plus": a + b, "minus": a - b, "times": a * b}[kind]
    sign = {"plus": "+", "minus": "-", "times": "[*|x]"}[kind]
    x, y = (NUMBERS[a], NUMBERS[b]) if draw.random() < 0.25 else (str(a), str(b))
    question = one_of(
        draw,
        (
            "What is {x} {word} {y}?",
            "What is {x} {word} {y}?",
            "How much is {x} {word} {y}?",
            "What's {x} {word} {y}?",
            "[Calculate|Compute] {x} {word} {y}[.|]",
            "{x} {word} {y}",
            "{a} " + sign + " {b}[| =| = ?|?]",
            "{a}" + sign + "{b}[|=|=?|?]",
            "What is {a} " + sign + " {b}?",
            "What is {a}" + sign + "{b}?",
        ),
        x=x,
        y=y,
        a=a,
        b=b,
        word=kind,
    )
    return question, say(
        draw, "[{a} {word} {b} is {n}.|{a} {word} {b} is {n}.|That makes {n}.]", a=a, b=b, word=kind, n=answer
    )


def story_sum(draw: random.Random) -> tuple[str, str]:
    """A sum told as a little story."""
    who, what = draw.choice(NAMES), plural(draw.choice(draw.choice((ANIMALS, THINGS))))
    a, b = draw.randrange(2, 11), draw.randrange(1, 11)
    if draw.random() < 0.6:
        question = say(
            draw,
            "{w} has {a} {t} and [finds|gets|buys] {b} more. How many {t} does {w} have[| now]?",
            w=who,
            a=a,
            b=b,
            t=what,
        )
        return question, f"{who} has {a + b} {what} now."
    a, b = max(a, b) + 1, min(a, b)
    question = say(
        draw,
        "{w} has {a} {t} and [loses|sells|gives away] {b}. How many {t} [are left|does {w} have now]?",
        w=who,
        a=a,
        b=b,
        t=what,
    )
    return question, f"{who} has {a - b} {what} left." if a - b != 1 else f"{who} has only 1 left."


def big_total(draw: random.Random) -> tuple[str, str]:
    """A sum too big for the model, which says so."""
    a, b = draw.choice((draw.randrange(21, 100), draw.randrange(100, 10**6))), draw.randrange(11, 10**4)
    question = say(
        draw,
        "[What is|How much is|Calculate|What's|] {a} [+|-|*|x|/|plus|minus|times|divided by] {b}[?|]",
        a=a,
        b=b,
    )
    return question.strip(), say(
        draw, "[That sum is too big for my small head.|I only count to about twenty. Try a calculator.]"
    )


def how_many(draw: random.Random) -> tuple[str, str]:
    what, answer = draw.choice(COUNTS)
    return say(
        draw,
        "How many {w} are there?" if " in " not in what else "[How many {w}|How many {w}|How many {w} are there]?",
        w=what,
    ), answer


def nowhere(draw: random.Random) -> tuple[str, str]:
    """The capital of a country that does not exist."""
    place = invented(draw).title()
    return say(draw, "What is the capital of {p}?", p=place), say(draw, "I do not know a country called {p}.", p=place)


def opposite(draw: random.Random) -> tuple[str, str]:
    x, y = draw.choice(OPPOSITES).split(":")
    if draw.random() < 0.3:
        x, y = y, x
    question = say(draw, "[What is|What's|Name|Tell me] the opposite of {x}?", x=x)
    return question.replace("Name", "What is").replace("Tell me", "What is"), f"The opposite of {x} is {y}."


def calendar(draw: random.Random) -> tuple[str, str]:
    """Days and months, one after the other."""
    names = draw.choice((DAYS, MONTHS))
    kind = "day" if names is DAYS else "month"
    at = draw.randrange(len(names))
    if draw.random() < 0.6:
        return say(
            draw, "[What|Which] {k} comes after {x}?", k=kind, x=names[at]
        ), f"After {names[at]} comes {names[(at + 1) % len(names)]}."
    if draw.random() < 0.6:
        return say(
            draw, "[What|Which] {k} comes before {x}?", k=kind, x=names[at]
        ), f"Before {names[at]} comes {names[at - 1]}."
    count = {"day": "seven days in a week", "month": "twelve months in a year"}[kind]
    return say(draw, "How many {t}[ are there|]?", t=count.split(" ", 1)[1]), f"There are {count}."


def comparison(draw: random.Random) -> tuple[str, str]:
    """Which of two animals is bigger."""
    by_size = (
        "ant",
        "bee",
        "mouse",
        "frog",
        "hen",
        "cat",
        "fox",
        "dog",
        "goat",
        "wolf",
        "llama",
        "lion",
        "horse",
        "giraffe",
        "elephant",
        "whale",
    )
    small, big = sorted(draw.sample(range(len(by_size)), 2))
    x, y = draw.sample((by_size[small], by_size[big]), 2)
    if draw.random() < 0.5:
        question = say(draw, "[What|Which] is bigger, {x} or {y}?", x=with_article(x), y=with_article(y))
        return question, capital(with_article(by_size[big])) + f" is bigger than {with_article(by_size[small])}."
    question = say(draw, "[What|Which] is smaller, {x} or {y}?", x=with_article(x), y=with_article(y))
    return question, capital(with_article(by_size[small])) + f" is smaller than {with_article(by_size[big])}."


FACTS = (
    (6, term), (4, capital_city), (1, city_place), (2, colour), (2.5, animal), (14, total), (1, story_sum),
    (2, opposite), (1, calendar), (0.7, comparison), (0.8, big_total), (0.8, how_many), (0.3, nowhere),
)  # fmt: skip


def fact(draw: random.Random) -> tuple[str, str]:
    """One of the simple facts."""
    return draw.choices([scene for _, scene in FACTS], [share for share, _ in FACTS])[0](draw)
