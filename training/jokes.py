# ruff: noqa: E501 - one pattern a line reads better than a folded one
"""The Joker's part of the corpus: jokes on a topic, each one naming its topic. All our own.

JOKES holds jokes for known topics, FRAMES fits any topic, invented words included,
so that the model learns to take up a topic it has never seen. Called by `corpus`.
"""

import random

from phrasing import capital, one_of, say, with_article
from words import ADJECTIVES, ANIMALS, PEOPLE, PLACES, SUBJECTS, THINGS, invented, plural

# topic in the singular (as in "a cat") -> its jokes
JOKES: dict[str, tuple[str, ...]] = {
    "cat": (
        "My cat learnt to open the fridge. Now we both wonder where the cheese goes.",
        "Why did the cat sit on the chess board? It wanted to see both kings kneel.",
        "What does a cat call a keyboard? A warm bed with letters.",
    ),
    "dog": (
        "My dog buried my phone. Now the garden rings every morning.",
        "Why do dogs lose at cards? Their tails tell everything.",
        "The dog guarded the sausage all night. In the morning only the dog was left.",
    ),
    "llama": (
        "Why did the llama bring a ladder? It had heard the grass was fresher upstairs.",
        "Two llamas met on a narrow path. Neither would step aside, so they opened a cafe there.",
        "The llama was asked to carry a heavy secret. It spat it out at the first village.",
    ),
    "alpaca": (
        "The alpaca paid for dinner with its coat and went home as a goat.",
        "Why was the alpaca late? It could not choose which haircut to wear.",
    ),
    "horse": (
        "Why did the horse sleep standing up? Somebody had rented out the floor.",
        "The horse took a taxi. It wanted to see what all the fuss was about.",
    ),
    "cow": (
        "The cow looked at the moon and said: I could, but my knees.",
        "Why did the cow buy a bell? It wanted to be found by the right people.",
    ),
    "goat": (
        "The goat ate my homework, and then it asked me to explain the second page.",
        "Why did the goat eat the map? It already knew the way to dinner.",
    ),
    "sheep": (
        "The sheep could not sleep, so it counted shepherds.",
        "Why did the sheep follow the baker? It had followed everyone else already.",
    ),
    "pig": (
        "The pig took a bath by mistake, and its own mother asked for its name.",
        "Why did the pig read the cookbook? To know which pages to hide.",
    ),
    "duck": (
        "The duck went to the opera and left early. The swan only danced.",
        "Why did the duck carry an umbrella? It was keeping it dry for a friend.",
    ),
    "chicken": (
        "The chicken crossed the road and found another road. Now it travels.",
        "Why did the chicken write a book? It had a lot to lay on paper.",
    ),
    "rabbit": (
        "The rabbit invited its family to dinner. It had to book a valley.",
        "Why did the rabbit quit magic? It was tired of living in a hat.",
    ),
    "fox": (
        "The fox swore it had changed. The hens moved house anyway.",
        "Why did the fox knock at the henhouse? It was learning good manners.",
    ),
    "wolf": (
        "The wolf howled at the moon. The moon asked it to use the doorbell.",
        "Why did the wolf become a tailor? It had grown tired of sheep with bad buttons.",
    ),
    "bear": (
        "The bear set an alarm for the evening and woke up in April.",
        "Why did the bear return the honey? The bees had kept the receipt.",
    ),
    "owl": (
        "The owl opened a night school. The pupils slept, and so did nobody else.",
        "Why did the owl fail the quiz? It knew everything, but only after midnight.",
    ),
    "parrot": (
        "I told my parrot a secret. Now it is the news.",
        "Why did the parrot become a lawyer? It could say the same thing twice with a straight beak.",
    ),
    "penguin": (
        "The penguin was stopped at the wedding. Everyone thought it was the waiter.",
        "Why did the penguin buy a fridge? It wanted a house in the south.",
    ),
    "frog": (
        "The frog was kissed by a princess. Now it has two languages and no pond.",
        "Why did the frog stay in the rain? It was waiting for it to get wet enough.",
    ),
    "fish": (
        "The fish saw an angler and thought: he has had no bite all day, poor man.",
        "Why did the fish leave the choir? It only ever moved its lips.",
    ),
    "snake": (
        "The snake bought one sock and called it a sleeping bag.",
        "Why did the snake lose the handshake contest? It never came to grips with it.",
    ),
    "spider": (
        "The spider applied for a job online. It said it had built the place.",
        "Why did the spider knit eight socks? The first seven were for practice.",
    ),
    "bee": (
        "The bee took a day off, and the flowers sent a letter to its boss.",
        "Why did the bee hum? It had forgotten the words again.",
    ),
    "elephant": (
        "The elephant never forgets, but it will not say what it remembers.",
        "Why did the elephant whisper? It had heard that the mouse was asleep.",
    ),
    "lion": (
        "The lion asked for the vegetarian menu. The waiter hid in the salad.",
        "Why did the lion sleep all day? Being king is mostly sitting still.",
    ),
    "monkey": (
        "The monkey sold me a banana and gave me the empty half.",
        "Why did the monkey sit at the desk? Somebody had promised it Shakespeare.",
    ),
    "mouse": (
        "The mouse wrote to the cat: let us have dinner. The cat wrote back: exactly.",
        "Why did the mouse move into the piano? The rent was low and the notes were free.",
    ),
    "dragon": (
        "The dragon sneezed at its birthday party. The cake was perfect afterwards.",
        "Why did the dragon sell its gold? The bed was too hard.",
    ),
    "unicorn": (
        "The unicorn does not believe in people. It has only seen one, and it was dark.",
        "Why did the unicorn open a bakery? It was very good at doughnuts.",
    ),
    "computer": (
        "My computer asked me to prove I am human. I cried, and it let me in.",
        "Why did the computer go to the seaside? It wanted to hear real waves for once.",
        "My computer is so slow that it still says good morning in the evening.",
    ),
    "robot": (
        "The robot fell in love with a toaster. It was warm and asked no questions.",
        "Why did the robot take up gardening? It wanted something that grows without updates.",
    ),
    "programmer": (
        "The programmer fixed one bug. The other nine came to the funeral.",
        "Why did the programmer smile at the empty screen? It was the only code without mistakes.",
        "The programmer wrote a poem. It did not rhyme, but it passed all the tests.",
    ),
    "phone": (
        "My phone is smarter than I am, but I can find the kitchen.",
        "Why did the phone sleep badly? It had to hold the charger's hand all night.",
    ),
    "printer": (
        "My printer can smell fear. It waits for the last page.",
        "Why did the printer go on holiday without paper? It wanted to rest in peace and ink.",
    ),
    "king": (
        "The king slept badly. Even his pillow wanted an audience.",
        "Why did the king count his soldiers at night? The sheep had refused to kneel.",
        "The king asked for an honest opinion. The room has been empty since.",
    ),
    "queen": (
        "The queen played chess with the cook. Both of them moved as they pleased.",
        "Why did the queen hide the crown in the oven? Nobody in the palace could cook.",
    ),
    "knight": (
        "The knight fell off his horse, and they called it a new kind of music.",
        "Why did the knight stay home in the rain? He did not want to squeak in battle.",
    ),
    "wizard": (
        "The wizard made himself invisible. His wife says it is a great improvement.",
        "Why did the wizard buy a bus ticket? His carpet was in the wash.",
    ),
    "witch": (
        "The witch bought a vacuum cleaner, but the cord was too short to reach the moon.",
        "Why did the witch stir the soup to the left? On the right it turned into a cousin.",
    ),
    "ghost": (
        "The ghost moved into a new house. It said the old one had too many people in it.",
        "Why did the ghost knock before it came through the wall? It was well brought up.",
        "The ghost joined a dance class, but nobody could follow its feet.",
    ),
    "vampire": (
        "The vampire wanted a tan. We keep what is left of him in a jar.",
        "Why did the vampire bring his own cup? He likes to know who he is drinking with.",
    ),
    "mummy": (
        "The mummy slept for three thousand years and still asked for five minutes more.",
        "Why did the mummy win at hide and seek? Nobody looked under the pyramid.",
    ),
    "pirate": (
        "The pirate followed the map for ten years. The cross was a coffee stain.",
        "Why did the pirate let the parrot steer? It was the only one who knew the coast.",
    ),
    "doctor": (
        "I told the doctor I see double. He sent me two bills.",
        "Why did the doctor laugh? He had at last been able to read his own note.",
    ),
    "teacher": (
        "The teacher asked for silence and got it on Saturday.",
        "Why did the teacher bring a pillow? The next lesson was her own speech.",
    ),
    "lawyer": (
        "The lawyer wrote a love letter. It had forty footnotes.",
        "Why did the lawyer object at breakfast? The egg was leading the toast.",
    ),
    "judge": (
        "The judge went fishing and sentenced the trout to dinner.",
        "Why did the judge bring a hammer home? To end the talk about the dishes.",
    ),
    "farmer": (
        "The farmer planted a coin and waited for a bank.",
        "Why did the farmer sing to the potatoes? The carrots had left after the first song.",
    ),
    "baker": (
        "The baker gets up so early that he meets himself going to bed.",
        "Why did the baker stop telling stories? They never rose above the crust.",
    ),
    "chef": (
        "The chef cooked for the critic and then hid in the pantry with the dessert.",
        "Why did the chef salt the soup twice? The first time he was only being polite.",
    ),
    "sailor": (
        "The sailor was afraid of water, so he stayed in the middle of the ship.",
        "Why did the sailor marry the lighthouse keeper? She had always been so bright.",
    ),
    "banker": (
        "The banker lent me an umbrella and wanted it back when it rained.",
        "Why did the banker plant a tree? He had heard about branches.",
    ),
    "poet": (
        "The poet ordered soup and sent it back because it did not rhyme.",
        "Why did the poet stare at the moon? The rent was due, and the moon never asks.",
    ),
    "painter": (
        "The painter did my portrait in one minute. He said I was mostly wall.",
        "Why did the painter sleep in the museum? He wanted to hang around with the masters.",
    ),
    "clock": (
        "The clock stopped at noon, so we had lunch for three weeks.",
        "Why did the clock blush? Everyone kept looking at its hands.",
    ),
    "book": (
        "I lent my friend a book about memory. He forgot whose it was.",
        "Why did the book stay on the shelf? It was waiting for a better ending.",
    ),
    "bicycle": (
        "My bicycle knows one joke, and it rings every time it tells it.",
        "Why did the bicycle lean on the wall? It was listening to the house.",
    ),
    "car": (
        "My car and I share the work. It drives downhill and I push uphill.",
        "Why did the car honk at the horse? It was greeting its grandfather.",
    ),
    "train": (
        "The train was so late that the passengers had founded a village.",
        "Why did the train whistle? It did not know the words of the song.",
    ),
    "ship": (
        "The ship was named Hope. The rats had left before breakfast.",
        "Why did the ship stay in the harbour? It had finally found a good book in the cabin.",
    ),
    "tree": (
        "The tree fell in the forest, and nobody heard it, but it still tells the story.",
        "Why did the tree never travel? It had already put down its luggage.",
    ),
    "cake": (
        "I wanted to tell a joke about cake, but somebody ate it.",
        "Why did the cake hide in the fridge? It had seen the candles coming.",
    ),
    "banana": (
        "The banana wanted to go straight. It was not bent on anything else.",
        "Why did the banana wear yellow? Green had been so last week.",
    ),
    "egg": (
        "The egg had a hard day and was glad it had not been a soft one.",
        "Why did the egg roll off the table? It had heard about the omelette.",
    ),
    "pizza": (
        "I cut my pizza into four pieces, because I could never eat eight.",
        "Why did the pizza come late? It wanted to be asked about its journey.",
    ),
    "potato": (
        "The potato has many eyes and has never once looked impressed.",
        "Why did the potato fear the oven? Its uncle had come back as crisps.",
    ),
    "tomato": (
        "The tomato says it is a fruit, but it only gets invited with the salad.",
        "Why did the tomato leave the market? It was tired of being squeezed by strangers.",
    ),
    "onion": (
        "The onion told me its life. We both cried, and then I made soup.",
        "Why did the onion wear so many coats? It expected a cold kitchen.",
    ),
    "snowman": (
        "The snowman took up smoking and became a very small pond.",
        "Why did the snowman smile in January? He had not yet heard of March.",
    ),
    "moon": (
        "The moon works nights, takes a week to wake up, and nobody dares to complain.",
        "Why did the moon go behind a cloud? It was changing for dinner.",
    ),
    "sun": (
        "The sun never works at night, and nobody complains.",
        "Why did the sun rise so early? It had left the oven on.",
    ),
    "star": (
        "I wished upon a star. It answered: your call is important to us.",
        "Why did the star fall? It wanted to see who had been staring.",
    ),
    "mountain": (
        "The mountain was told to relax. It is still considering it.",
        "Why did the mountain wear snow? It wanted to look good from the plane.",
    ),
    "river": (
        "The river asked the sea for directions. Down, said the sea.",
        "Why did the river bend? It wanted to see who was following.",
    ),
    "cloud": (
        "My files live in the cloud. On rainy days I put out buckets.",
        "Why did the cloud cry? Somebody had called it a sheep.",
    ),
    "door": (
        "The door was told a secret, and now it squeaks.",
        "Why did the door stay shut? It was not open to criticism.",
    ),
    "chair": (
        "The chair has four legs and still waits for someone to sit down.",
        "Why did the chair creak? It was telling the table about dinner.",
    ),
    "piano": (
        "The piano moved in on the fifth floor. The movers moved out of town.",
        "Why did the piano smile? It had just had its teeth dusted.",
    ),
    "violin": (
        "I practise the violin every night. My neighbour has taken up travelling.",
        "Why did the violin shiver? It had seen the beginner open the case.",
    ),
    "guitar": (
        "I bought a guitar and learnt one song. So did the whole street.",
        "Why did the guitar lie in the sun? It wanted to be a warm sound.",
    ),
    "astronaut": (
        "The astronaut forgot his keys at home, and home was going around the sun.",
        "Why did the astronaut take a broom? The guide book mentioned stardust.",
    ),
    "scientist": (
        "The scientist proved that breakfast is real. The toast was eaten as evidence.",
        "Why did the scientist marry the baker? It began as an experiment and then it rose.",
    ),
    "detective": (
        "The detective lost his socks. The case is still open, and so are his shoes.",
        "Why did the detective question the soup? Something was clearly in it.",
    ),
    "thief": (
        "The thief stole my diary and sent it back with a note: cheer up.",
        "Why did the thief knock first? He had been told to take his time.",
    ),
    "oracle": (
        "I asked the oracle for tomorrow's weather. She told me to wait one day.",
        "Why did the oracle miss the bus? She had foreseen the next one.",
    ),
    "joker": (
        "The joker lost his hat, and nobody believed him.",
        "Why did the joker go to bed early? He had run out of straight faces.",
    ),
    "grandmother": (
        "My grandmother knits so fast that the sheep are nervous.",
        "Why did my grandmother buy a fast car? Her rocking chair kept losing.",
    ),
    "neighbour": (
        "My neighbour plays the drums at night. Luckily I am awake with my trumpet.",
        "My neighbour asked for sugar. Now he also has my cake.",
    ),
}

# What people try first is learnt best.
ASKED_FIRST = "cat cat dog dog dog llama computer king ghost programmer robot pirate penguin moon chicken".split()
# subject without an article -> its jokes
SUBJECT_JOKES: dict[str, tuple[str, ...]] = {
    "love": (
        "Love is blind, but mine found the chocolate at once.",
        "I wrote a love letter to the wrong house. The wedding is in May.",
    ),
    "money": (
        "Money talks. Mine only ever says that it must be going.",
        "I hid my money so well that I now call it a donation.",
    ),
    "work": (
        "My work is a secret. Even I do not know what I do.",
        "I took my work home, and it ate everything in the fridge.",
    ),
    "school": (
        "School taught me to read, and the first word was Exit.",
        "I loved school so much that I stayed in the same class twice.",
    ),
    "music": (
        "My music teacher told me to stop. She said it was my best part.",
        "I play music by ear, because my hands refuse.",
    ),
    "football": (
        "Our football team has a plan: the other side must get tired of scoring.",
        "Football is simple: twenty people run, and my uncle shouts.",
    ),
    "chess": (
        "I played chess with a llama. It spat out the knight and won.",
        "Chess is a calm game, until somebody drops the queen in the soup.",
    ),
    "weather": (
        "The weather report promised sun. It did not say in which year.",
        "I do not trust the weather. It changes its mind in public.",
    ),
    "winter": ("Winter asked for a day off and was given three months.", "I told winter to go, and it sent me a cold."),
    "summer": (
        "Summer is short here. Last year it fell on a Tuesday.",
        "Summer came to visit and forgot its hat in June.",
    ),
    "maths": ("I liked maths until the letters moved in.", "My maths is good. Three out of two people say so."),
    "history": (
        "I failed history, because too much of it was over.",
        "History is one thing after another, and then the bell rings.",
    ),
    "science": (
        "Science says the earth turns. My cat says it turns too slowly.",
        "I gave my body to science. Science asked for the receipt.",
    ),
    "politics": (
        "Politics is like soup. Everyone stirs and nobody washes up.",
        "I asked two people about politics and got three opinions.",
    ),
    "coffee": (
        "Coffee and I have an agreement: it wakes up first.",
        "My coffee is so strong that it opened the door for me.",
    ),
    "tea": (
        "Tea never hurries. It knows everyone will wait for it.",
        "I told my tea a joke. It took five minutes to sink in.",
    ),
    "chocolate": (
        "Chocolate does not ask questions. Chocolate understands.",
        "I hid the chocolate from myself. I am a very good detective.",
    ),
    "cheese": (
        "I asked the cheese why it had holes. It said: budget.",
        "The cheese is old, smells odd, and is still the guest of honour.",
    ),
    "bread": (
        "The bread was so hard that we married it to the butter by force.",
        "I bake my own bread. The ducks have asked me to stop.",
    ),
    "sleep": (
        "Sleep is my hobby, but I never remember the good parts.",
        "I am so good at sleep that I won a pillow and missed the prize.",
    ),
    "Monday": (
        "I asked Monday to leave. It said: see you in seven days.",
        "Monday came so early that Sunday was still in the bathroom.",
    ),
    "time": (
        "Time flies, and nobody has ever seen its ticket.",
        "Time heals everything except the clock in our kitchen.",
    ),
    "space": (
        "Space is big, so it is odd that my flat has none of it.",
        "I asked space for an answer. It said nothing for a billion years.",
    ),
    "art": (
        "I drew nothing and called it art. The frame said it was my best work.",
        "Art is long, but the queue at the museum is longer.",
    ),
    "cooking": (
        "My cooking is famous. The fire brigade knows it by heart.",
        "I am learning cooking. So far I can burn water on both sides.",
    ),
    "gardening": (
        "I tried gardening, but the weeds had more experience.",
        "Gardening is cheap, if you do not count the tomatoes.",
    ),
    "blockchains": (
        "I told a blockchain a secret. Now ten thousand computers keep it for me.",
        "Blockchains never forget, which makes them hard to live with.",
    ),
    "Arweave": (
        "I told Arweave an embarrassing story. It will never forget it.",
        "Why does Arweave keep no calendar? It has nothing but time.",
    ),
    "AO": (
        "Two processes on AO had a quarrel. They left each other messages.",
        "Why is AO never lonely? There is always a message in the inbox.",
    ),
    "bitcoin": (
        "I paid for lunch with bitcoin. By dessert it was worth two lunches.",
        "My bitcoin is safe. So safe that I cannot find it.",
    ),
    "life": (
        "Life is short, so I eat the cake first.",
        "Life is a journey, and I seem to be holding the map upside down.",
    ),
    "AI": (
        "I asked an AI for a joke. It asked me for more data.",
        "The AI wrote my speech. Everyone clapped, mostly the other AI.",
    ),
}

# x is the topic with the article it needs ("a lantern"), n the bare noun, ns its plural
FRAMES = (
    "Why did the {n} cross the road? [To get away from this joke.|Lunch was on the other side.|Nobody had mentioned the bridge.]",
    "Why did the {n} sit {place}? [{It} was waiting for a better joke.|The {o} had taken the chair.|Somebody had promised soup.]",
    "What do you call {an_adj} {n}? [Late for dinner.|Anything you like, {it} never listens.|A good start.]",
    "{An} walks into a bakery and asks for [nails|the moon|yesterday's news|a haircut]. The baker says: [not again.|we close at noon.|that is next door.]",
    "Why was the {n} so {adj}? [{It} had heard this joke before.|{It} had slept {place}.|The {o} had told {him} a secret.]",
    "How many {ns} does it take to change a lamp? [Two: one to climb and one to complain.|None, they like the dark.|Ten, and a very strong table.]",
    "What did the {n} say to the {o}? [After you, I insist.|You look taller in the morning.|Please stop following me.]",
    "I met {x} last week. [{It} already thinks my house is a hotel.|Now the {o} will not speak to me.|{It} is a good friend, but {it} snores.]",
    "Why do {ns} never play cards? [They cannot keep a straight face.|The {o} always wins.|Somebody sold the table.]",
)
SUBJECT_FRAMES = (
    "I wanted to tell a joke about {s}, but [it needs more time.|the {o} told it first.|the {o} is listening.]",
    "What do {s} and {an_o} have in common? [Nobody understands them, and everybody has an opinion.|Both are better after lunch.]",
    "I asked my {o} about {s}. It [laughed and went back to sleep.|said: ask me on Monday.]",
    "{S} walked into a bakery. The baker said: [we do not serve ideas here.|you look fresh today.]",
)

REQUESTS_PLURAL = (
    "Tell me a joke about {t}.",
    "Tell me a joke about {t}[.|!|, please.]",
    "[Do you know|Have you got|Can you tell me|Could you tell me] [a|a good|a funny] joke about {t}?",
    "[Tell|Make|Give me] a [joke|funny joke|short joke] [about|on] {t}[.|!]",
    "A joke about {t}[, please|][.|!|]",
    "[I want|I would like|I'd like] [a|to hear a] joke about {t}[.|]",
    "[Joke|joke] about {t}",
    "[Say|Tell me] something funny about {t}[.|!]",
    "Make me laugh about {t}[.|!]",
    "Do you know any jokes about {t}?",
    "Joke, please: {t}[.|]",
)
REQUESTS_ANY = (
    "Tell me a joke[.|!|, please.]",
    "Tell me a joke",
    "[Do you know|Have you got|Can you tell me|Could you tell me] [a|a good|a funny|another] joke[?|, please?]",
    "Make me laugh[.|!|, please.]",
    "[A joke|Another joke|Another one|One more joke|Joke|Jokes|A joke please][.|!|]",
    "Say something funny[.|!]",
    "Be funny[.|!]",
    "I want [a|to hear a] joke[.|!]",
    "Tell [me another joke|me a funny joke|another one|me a good joke|us a joke].",
)
SYSTEMS = (
    "Tell a joke on the given topic",
    "Tell a joke on the given topic",
    "Tell a joke on the given topic.",
    "Tell a joke on the given topic, on one line.",
    "Tell a [short|funny|good] joke [on|about] the given topic[.|]",
    "You are [the Joker|a joker|a comedian|a funny llama|the Llama Joker|a jester]. Tell [a|one] joke [on|about] the [given |user's |]topic[.|, in one line.]",
    "You tell [jokes|short jokes|one-line jokes][.| about whatever the user names.]",
    "Tell a joke about the topic that the user gives you[.|]",
    "You are the court jester. Answer with one joke about the topic.",
)
PLAIN_SYSTEMS = (
    "You are [a helpful assistant|a friendly llama|a funny assistant|Puna|the Joker|a jester][.|, and you like jokes.]",
)


def _known(draw: random.Random) -> tuple[str, str]:
    """A topic as people name it, and a joke written for it."""
    if draw.random() < 0.25:
        subject = draw.choice(list(SUBJECT_JOKES))
        return subject, draw.choice(SUBJECT_JOKES[subject])
    word = draw.choice(ASKED_FIRST) if draw.random() < 0.35 else draw.choice(list(JOKES))
    return _named(draw, word), draw.choice(JOKES[word])


def _named(draw: random.Random, word: str) -> str:
    """One of the ways to name a countable topic: cats, a cat, cat, the cat."""
    if word in ("moon", "sun"):
        return draw.choice(("the " + word, word))
    fate = draw.random()
    if fate < 0.55:
        return plural(word) if word != "fish" else "fish"
    if fate < 0.85:
        return with_article(word)
    return draw.choice((word, "the " + word, "my " + word))


def _framed(draw: random.Random) -> tuple[str, str]:
    """A topic without jokes of its own, fitted into a frame."""
    other = draw.choice(draw.choice((ANIMALS, PEOPLE, THINGS)))
    if draw.random() < 0.2:
        subject = draw.choice([s for s in SUBJECTS if s not in SUBJECT_JOKES])
        if draw.random() < 0.4:
            subject = say(draw, "[{a}|{a} {b}]", a=invented(draw), b=invented(draw))
        return subject, one_of(draw, SUBJECT_FRAMES, s=subject, S=capital(subject), o=other, an_o=with_article(other))
    word = invented(draw)
    if draw.random() < 0.5:
        unwritten = [w for w in ANIMALS + PEOPLE + THINGS if w not in JOKES]
        word = draw.choice(unwritten)
    if draw.random() < 0.12:
        word = draw.choice(draw.choice((ADJECTIVES, THINGS, ANIMALS))) + " " + word
    it, him = draw.choice((("he", "him"), ("she", "her"))) if word in PEOPLE else ("it", "it")
    adjective = draw.choice(ADJECTIVES)
    slots = {
        "n": word,
        "ns": plural(word),
        "x": with_article(word),
        "An": capital(with_article(word)),
        "adj": adjective,
        "an_adj": with_article(adjective),
        "o": other,
        "place": draw.choice(PLACES),
        "it": it,
        "It": capital(it),
        "him": him,
    }
    return _named(draw, word), one_of(draw, FRAMES, **slots)


def topic_joke(draw: random.Random) -> tuple[str, str]:
    """A topic and its joke."""
    return _known(draw) if draw.random() < 0.6 else _framed(draw)


def joke(draw: random.Random) -> tuple[str, str]:
    """Somebody asks for a joke, mostly about something."""
    topic, answer = topic_joke(draw)
    if draw.random() < 0.2:
        return one_of(draw, REQUESTS_ANY), _known(draw)[1]
    return one_of(draw, REQUESTS_PLURAL, t=topic), answer


MORE_REQUESTS = (
    "Another one[.|!|, please.]",
    "[Tell me|Give me] another[ one|].",
    "One more[.|!|, please.]",
    "[More|Again|Next][.|!|]",
    "Do you have another one?",
)


def two_jokes(draw: random.Random) -> tuple[tuple[str, str], tuple[str, str]]:
    """A joke, and another one on the same topic."""
    if draw.random() < 0.25:
        topic = draw.choice(list(SUBJECT_JOKES))
        first, second = draw.sample(SUBJECT_JOKES[topic], 2)
    else:
        word = draw.choice(list(JOKES))
        first, second = draw.sample(JOKES[word], 2)
        topic = _named(draw, word)
    return (one_of(draw, REQUESTS_PLURAL, t=topic), first), (one_of(draw, MORE_REQUESTS), second)


def joker_form(draw: random.Random) -> tuple[str, str, str]:
    """System text, topic alone, joke: the form in which the Joker asks."""
    topic, answer = topic_joke(draw)
    fate = draw.random()
    if fate < 0.6:
        return one_of(draw, SYSTEMS), topic, answer
    if fate < 0.85:
        return one_of(draw, SYSTEMS), "Topic: " + topic, answer
    question = one_of(draw, REQUESTS_PLURAL, t=topic)
    return one_of(draw, SYSTEMS + PLAIN_SYSTEMS), question, answer
