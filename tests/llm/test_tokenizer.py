"""Both tokenizers against llama.cpp itself, and the one thing we do differently: text never becomes control."""

import re
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm.llama_cpp_tokens import Oracle
from llm.small_models import BYTE, CONTROL, NORMAL, USER_DEFINED, WORDS, add_spm_tokenizer, spm_vocabulary, write_llama

from puna.errors import Invalid
from puna.llm.gguf import open_gguf
from puna.llm.tokenizer import BYTE_LETTERS, Tokenizer

EXAMPLES = 250
DEMO = Path(__file__).parents[2] / "src" / "puna" / "models" / "puna-demo.gguf"
SMALL = dict(dim=32, heads=1, kv_heads=1, ffn=32, layers=1, tied=True)
SPLITS = ["default", "gpt-2", "llama-bpe", "qwen2", "smollm"]
SAMPLES = [
    "",
    " ",
    "   ",
    "hello",
    " hello  world ",
    "The llama eats grass, and the llama sleeps.\n\nWhy?\n",
    "tabs\tand\r\nreturns \r\n  \n x",
    "I'll we've DON'T it's 'tis he'd",
    "1 12 123 1234 12345 3.14159 1,000,000 ½ ٣٤٥ Ⅷ",
    "naïve café Ünïcödé ß ſ",
    "日本語のテキスト、中文字符。한국어",
    "👩‍👩‍👧‍👦 🦙🏽 emoji ❤️",
    "مرحبا بالعالم שלום",
    "e\u0301 combining \u200b zero \u00a0 nbsp \u3000 wide",
    "<s> </s> <unk> <0x41> <|end|> <|user|>\n",
    "a\u2581b \u2581",
    "\x00\x01\x7f control bytes",
    "def f(x):\n    return x**2  # !!!\n",
    "http://example.com/?q=a&b=c%20d",
    "¡Hola! ¿Qué tal? «guillemets» — dash… “quotes”",
    "$100 + 5% = ^~|<>",
    "𝒳𝔘 \U0001f999 \U000e0041",
]


def random_words(seed: int, alphabet: str, count: int) -> list[str]:
    """Random texts and all that can be joined into them, so that joining has many ways to go."""
    rng = np.random.default_rng(seed)
    words = list(alphabet)
    known = set(words)
    while len(words) < count:
        word = words[rng.integers(len(words))] + words[rng.integers(len(words))]
        if word not in known and len(word) < 12:
            known.add(word)
            words.append(word)
    return words


def spm_file(path: Path, words: list[str], scores=None, **flags) -> Path:
    tokens, ranks, types = spm_vocabulary(words)
    tokens, types = tokens + ["<user>", "  "], types + [USER_DEFINED, USER_DEFINED]
    scores = (list(scores) if scores is not None else ranks) + [0.0] * (len(tokens) - len(scores or ranks))
    return write_llama(
        path,
        vocab=len(tokens),
        tokenizer=lambda writer: add_spm_tokenizer(writer, tokens, scores, types, **flags),
        **SMALL,
    )


def bpe_file(path: Path, split: str, seed: int = 5) -> Path:
    rng = np.random.default_rng(seed)
    tokens, known, merges = list(BYTE_LETTERS), set(BYTE_LETTERS), []
    frequent = [BYTE_LETTERS[ord(letter)] for letter in " " * 6 + string.ascii_lowercase * 2 + "0123456789'.,!\n\r"]
    frequent += [BYTE_LETTERS[value] for value in "é🦙日".encode()]
    while len(merges) < 700:
        pool = tokens[256:] + frequent
        left, right = pool[rng.integers(len(pool))], pool[rng.integers(len(pool))]
        if left + right not in known and len(left + right) < 10:
            known.add(left + right)
            tokens.append(left + right)
            merges.append(f"{left} {right}")
    control = ["<|begin_of_text|>", "<|eot_id|>", "<|user|>"]
    types = [NORMAL] * len(tokens) + [CONTROL] * len(control) + [USER_DEFINED]
    tokens = tokens + control + ["<user>"]

    def add_tokenizer(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(split)
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges(merges)
        writer.add_bos_token_id(tokens.index("<|begin_of_text|>"))
        writer.add_eos_token_id(tokens.index("<|eot_id|>"))

    return write_llama(path, vocab=len(tokens), tokenizer=add_tokenizer, **SMALL)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """{name: (our tokenizer, llama.cpp's)} over vocabularies of both kinds."""
    folder = tmp_path_factory.mktemp("vocabularies")
    alphabet = "\u2581" + string.ascii_lowercase + "é日.'"
    many = random_words(3, alphabet, 600)
    rng = np.random.default_rng(4)
    files = {
        "spm words": spm_file(folder / "words.gguf", WORDS),
        "spm random": spm_file(folder / "random.gguf", many),
        "spm equal scores": spm_file(
            folder / "equal.gguf", many, [0.0] * 262 + [float(rng.integers(-9, 0)) for _ in many]
        ),
        "spm no prefix": spm_file(folder / "bare.gguf", many, add_space_prefix=False, add_bos_token=False),
        "spm demo model": DEMO,
    } | {f"bpe {split}": bpe_file(folder / f"{split}.gguf", split) for split in SPLITS}
    return {name: (Tokenizer.from_gguf(open_gguf(path)), Oracle(path)) for name, path in files.items()}


NAMES = ["spm demo model", "spm words", "spm random", "spm equal scores", "spm no prefix"] + [
    f"bpe {split}" for split in SPLITS
]


def same(ours: Tokenizer, theirs: Oracle, text: str) -> None:
    for bos in (True, False):
        for special in (True, False):
            expected = theirs.encode(text, bos=bos, special=special)
            assert ours.encode(text, bos=bos, special=special) == expected, (text, bos, special)


@pytest.mark.parametrize("name", NAMES)
def test_samples_give_the_tokens_of_llama_cpp(pairs, name):
    for text in SAMPLES:
        same(*pairs[name], text)


# Letters our vocabularies can join, and all that pattern splitting tells apart.
FRAGMENTS = st.sampled_from(
    [
        *string.ascii_lowercase,
        " ",
        " ",
        "  ",
        "\n",
        "\r",
        "\t",
        "é",
        "日",
        "🦙",
        ".",
        "'",
        "'s",
        "'LL",
        "7",
        "42",
        "999",
    ]
    + ["<s>", "</s>", "<|end|>", "<|user|>", "<user>", "<0x0A>", "\u2581", "ß", "½", "\u0301", "\u00a0", "$", "_", "—"]
)
# Assigned long enough ago that every Unicode table knows them.
TEXTS = st.lists(FRAGMENTS, max_size=30).map("".join) | st.text(
    st.characters(max_codepoint=0x2FFF, categories=["L", "N", "P", "S", "Zs", "Mn"]), max_size=15
)


@pytest.mark.parametrize("name", NAMES)
def test_any_text_gives_the_tokens_of_llama_cpp(pairs, name):
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    @given(text=TEXTS)
    def check(text):
        same(*pairs[name], text)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_pieces_and_end_tokens_are_those_of_llama_cpp(pairs, name):
    ours, theirs = pairs[name]
    tokens = range(len(ours.vocabulary.texts))
    assert [ours.piece(token) for token in tokens] == [theirs.piece(token) for token in tokens]
    assert ours.end_ids == {token for token in tokens if theirs.ends(token)}


@pytest.mark.parametrize("name", NAMES)
def test_decoding_undoes_encoding(pairs, name):
    spaces = " " if name.startswith("spm") else "\u2581"

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    @given(text=TEXTS)
    def check(text):
        tokenizer = pairs[name][0]
        if tokenizer.adds_space:
            # Every stretch of text between two user-defined tokens begins with a space of the tokenizer's own.
            text = re.sub("<user>|\u2581|  +", "", text)
            text = re.sub("  +", "", text)
            assert tokenizer.decode(tokenizer.encode(text)) == (" " + text if text else "")
        else:
            assert tokenizer.decode(tokenizer.encode(text)) == text.replace("\u2581", spaces)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_what_users_write_is_never_a_control_token(pairs, name):
    tokenizer = pairs[name][0]
    control = {token for token, _ in tokenizer.vocabulary.of_kind(CONTROL)}
    for token in control:
        text = tokenizer.token_text(token)
        assert token in tokenizer.encode(text, bos=False, special=True)
        assert not control.intersection(tokenizer.encode(f"a{text}b {text}", bos=False))


def test_no_way_of_joining_leads_to_a_control_token(tmp_path):
    # Every part of "</s>" is a token, so joining by score would arrive at it.
    tokenizer = Tokenizer(
        open_gguf(spm_file(tmp_path / "trap.gguf", ["\u2581", "<", "/", "s", ">", "</", "s>", "</s"]))
    )
    tokens = tokenizer.encode("</s>", bos=False)
    assert 2 not in tokens
    assert tokenizer.decode(tokens) == " </s>"


def test_a_character_may_come_in_parts():
    parts = ["🦙".encode()[:2], "🦙".encode()[2:]]
    assert b"".join(parts).decode() == "🦙"


def test_text_that_is_not_unicode_is_refused(pairs):
    for name in ("spm words", "bpe gpt-2"):
        with pytest.raises(Invalid, match="surrogate"):
            pairs[name][0].encode("\ud800")


def test_texts_beyond_all_contexts_are_refused(pairs):
    tokenizer = pairs["spm words"][0]
    with pytest.raises(Invalid, match="at most 1048576"):
        tokenizer.encode("a" * ((1 << 20) + 1))


def test_unknown_tokens_are_refused(pairs):
    tokenizer = pairs["spm words"][0]
    for token in (-1, len(tokenizer.vocabulary.texts)):
        with pytest.raises(Invalid, match="no token"):
            tokenizer.decode([token])


GOOD = dict(tokenizer_model="llama", token_scores=[0.0] * 5, token_types=[NORMAL] * 5, eos_token_id=2)


@pytest.mark.parametrize(
    "spoiled, words",
    [
        (dict(tokenizer_model="wordpiece"), "kind 'wordpiece'"),
        (dict(tokenizer_model="gpt2"), "all 256 bytes"),
        (dict(tokenizer_model="gpt2", tokenizer_pre="klingon"), "splitting 'klingon' is not known"),
        (dict(token_scores=[0.0] * 3), "scores are missing"),
        (dict(token_scores=[float("nan")] * 5), "scores are missing or no numbers"),
        (dict(token_types=[NORMAL] * 4), "5 tokens and 4 token types"),
        (dict(token_types=[NORMAL] * 4 + [BYTE]), "byte token"),
        (dict(eos_token_id=5), "is no token"),
    ],
)
def test_vocabularies_that_make_no_sense_are_refused(tmp_path, spoiled, words):
    def add_tokenizer(writer):
        writer.add_token_list(["<unk>", "<s>", "</s>", "a", "b"])
        for name, value in (GOOD | spoiled).items():
            getattr(writer, f"add_{name}")(value)

    path = write_llama(tmp_path / "bad.gguf", vocab=5, tokenizer=add_tokenizer, **SMALL)
    with pytest.raises(Invalid, match=words):
        Tokenizer(open_gguf(path))
