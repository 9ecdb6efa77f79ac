"""From text to the numbers a model reads, and back, as the model's GGUF file says.

Two kinds: SPM (pieces of text merged by score, with single bytes for what the vocabulary lacks) and byte-level BPE
(bytes written as letters, merged by rank). Results are those of llama.cpp, with one difference that is meant: text
is never merged into a control token, whatever the vocabulary allows, so a user cannot write a role marker.

The engine calls this; it holds no state but the vocabulary, so threads share one tokenizer.
Source: llama.cpp's tokenizers (SPM, BPE), GPT-2's byte alphabet.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import tokenizers

from puna.errors import Invalid
from puna.llm.gguf import CONVERT, Gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "\u2581"  # how SPM vocabularies write a space
WORD = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
WORDS_KEPT = 1 << 14
WORD_KEPT_LENGTH_MAX = 64

# Control tokens of this text end a model's turn, whether or not the file says so.
END_TEXTS = frozenset(
    "<|end|> <|eot_id|> <|eom_id|> <|im_end|> <|endoftext|> <|end_of_text|> <end_of_turn> <|end_of_turn|> "
    "<EOT> <|EOT|> <end_of_utterance> </s>".split()
)
END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")

# Several times the longest context there is, and some seconds of work at most.
TEXT_BYTES_MAX = 1 << 20

LETTERS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# How BPE splits a text before merging: each pattern in turn splits the parts the ones before it left.
SPLITS: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", LETTERS, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt-2": (LETTERS,),
    "llama-bpe": (LLAMA3,),
    "llama3": (LLAMA3,),
    "qwen2": (LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),),
    "smollm": (r"\p{N}", LETTERS),
}
WHOLE_WORDS_FIRST = frozenset({"llama-bpe", "llama3"})  # a word that is a token is not merged from its parts
BOS_UNLESS_TOLD = frozenset({"llama-bpe", "llama3"})


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The tokens of a file by id: their text as written there and what each is for (NORMAL, CONTROL, ...)."""

    texts: Sequence[str]
    kinds: Sequence[int]

    def of_kind(self, *kinds: int) -> Iterator[tuple[int, str]]:
        return ((token, text) for token, text in enumerate(self.texts) if self.kinds[token] in kinds)


class Merger(Protocol):
    """What differs between the kinds of tokenizer."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text without special tokens."""

    def piece(self, token: int) -> bytes:
        """The bytes a normal or byte token stands for."""


class Tokenizer:
    """Text to tokens and back for one model.

    `bos_id` (None when the model has none), `end_ids`: tokens that end the model's turn; `adds_bos`: whether
    prompts begin with it; `chat_template`: the file's own Jinja text, "" when there is none.
    """

    def __init__(self, gguf: Gguf):
        self.vocabulary = read_vocabulary(gguf)
        model, split = gguf.text("tokenizer.ggml.model"), gguf.text("tokenizer.ggml.pre", "default")
        if model not in MERGERS:
            known = ", ".join(MERGERS)
            raise Invalid(f"{gguf.path.name}: a tokenizer of kind '{model}'; known are: {known}.", CONVERT)
        self.merger: Merger = MERGERS[model](gguf, self.vocabulary)
        spm = model == "llama"
        self.adds_bos = gguf.flag("tokenizer.ggml.add_bos_token", spm or split in BOS_UNLESS_TOLD)
        self.adds_space = gguf.flag("tokenizer.ggml.add_space_prefix", spm)
        self.bos_id = token_id(gguf, "bos_token_id", 1 if spm else None)
        self.eos_id = token_id(gguf, "eos_token_id", 2 if spm else None)
        self.end_ids = end_ids(gguf, self.vocabulary, self.eos_id)
        self.chat_template = gguf.text("tokenizer.chat_template", "")
        control = {token: text for token, text in self.vocabulary.of_kind(CONTROL, UNKNOWN) if text}
        plain = {token: text for token, text in self.vocabulary.of_kind(USER_DEFINED) if text}
        self.control_texts = frozenset(control.values())
        self.plain_markers = longest_first(plain)
        self.all_markers = longest_first(control | plain)
        self.pieces = [self._piece(token) for token in range(len(self.vocabulary.texts))]

    @classmethod
    def from_gguf(cls, gguf: Gguf) -> "Tokenizer":
        """The tokenizer a model file describes. Raises Invalid for a kind or vocabulary we cannot follow."""
        return cls(gguf)

    def encode(self, text: str, *, bos: bool = True, special: bool = False) -> list[int]:
        """The tokens of `text`, after the begin-of-text token if `bos` and the model wants one.

        With `special` a control token's text becomes that token; without, it stays text. A file's wish for an
        end token is not followed: a prompt is there to be continued.
        Raises Invalid when `text` is not Unicode or too long.
        """
        check_text(text)
        markers = self.all_markers if special else self.plain_markers
        return self.begin(bos) + self._encode_parts(split_at_markers([text], markers))

    def encode_shielded(self, text: str, shield: str) -> list[int]:
        """The tokens of a rendered chat: control tokens are found in `text`, except where `shield` stands.

        `shield` is a character that breaks what users wrote; it is dropped before anything else is encoded.
        """
        check_text(text)
        parts: list[str | int] = []
        for part in split_at_markers([text], self.all_markers):
            parts += (
                split_at_markers([part.replace(shield, "")], self.plain_markers) if isinstance(part, str) else [part]
            )
        begins = bool(parts) and parts[0] == self.bos_id
        return self.begin(not begins) + self._encode_parts(parts)

    def begin(self, bos: bool) -> list[int]:
        return [self.bos_id] if bos and self.adds_bos and self.bos_id is not None else []

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens that continue a text: control tokens say nothing, broken UTF-8 becomes U+FFFD."""
        return b"".join(map(self.piece, tokens)).decode("utf-8", errors="replace")

    def piece(self, token: int) -> bytes:
        """The bytes of one token, perhaps only a part of a character; empty for a control token."""
        if not 0 <= token < len(self.pieces):
            raise Invalid(f"There is no token {token}; this model has {len(self.pieces)}.", "Check the model's id.")
        return self.pieces[token]

    def token_text(self, token: int | None) -> str:
        """A token as the vocabulary writes it, "" for None: what templates call bos_token and eos_token."""
        return "" if token is None else self.vocabulary.texts[token]

    def _encode_parts(self, parts: Iterable[str | int]) -> list[int]:
        tokens: list[int] = []
        after_marker = True
        for part in parts:
            if isinstance(part, int):
                tokens.append(part)
            elif part:
                tokens += self.merger.encode(" " + part if self.adds_space and after_marker else part)
            after_marker = isinstance(part, int)
        return tokens

    def _piece(self, token: int) -> bytes:
        match self.vocabulary.kinds[token]:
            case 4:  # USER_DEFINED
                return self.vocabulary.texts[token].encode("utf-8")
            case 1 | 6:  # NORMAL, BYTE
                return self.merger.piece(token)
            case _:
                return b""


def read_vocabulary(gguf: Gguf) -> Vocabulary:
    texts = gguf.texts("tokenizer.ggml.tokens")
    kinds = gguf.numbers("tokenizer.ggml.token_type")
    if not texts:
        raise Invalid(f"{gguf.path.name}: there is no vocabulary in the file.", CONVERT)
    if kinds is None:
        kinds = np.full(len(texts), NORMAL)
    if len(kinds) != len(texts):
        raise Invalid(f"{gguf.path.name}: {len(texts)} tokens and {len(kinds)} token types.", CONVERT)
    kinds = kinds.tolist()
    # Some files call these normal, and then a user could write them.
    for key in ("bos_token_id", *END_KEYS):
        token = token_id(gguf, key, None)
        if token is not None:
            kinds[token] = CONTROL
    return Vocabulary(texts, kinds)


def token_id(gguf: Gguf, key: str, default: int | None) -> int | None:
    """The token a metadata key names; None where there is none. All bits set is llama.cpp's word for none."""
    key = f"tokenizer.ggml.{key}"
    if key in gguf.metadata:
        token = gguf.whole(key)
        if token == 0xFFFF_FFFF:
            return None
        if not 0 <= token < len(gguf.texts("tokenizer.ggml.tokens")):
            raise Invalid(f"{gguf.path.name}: {key} is {token}, which is no token.", CONVERT)
        return token
    return default if default is not None and default < len(gguf.texts("tokenizer.ggml.tokens")) else None


def end_ids(gguf: Gguf, vocabulary: Vocabulary, eos: int | None) -> frozenset[int]:
    named = {token_id(gguf, key, None) for key in END_KEYS} | {eos}
    by_text = {token for token, text in vocabulary.of_kind(CONTROL) if text in END_TEXTS}
    return frozenset(token for token in named | by_text if token is not None)


def longest_first(markers: dict[int, str]) -> list[tuple[str, int]]:
    return sorted(
        ((text, token) for token, text in markers.items()), key=lambda each: (-len(each[0].encode()), each[1])
    )


def split_at_markers(parts: list[str | int], markers: list[tuple[str, int]]) -> list[str | int]:
    """Cut texts at every marker: texts and token ids in order.

    A longer marker wins over a shorter one wherever they overlap, also over one that begins earlier.
    """
    for text, token in markers:
        if any(isinstance(part, str) and text in part for part in parts):
            parts = [piece for part in parts for piece in split_at_marker(part, text, token)]
    return parts


def split_at_marker(part: str | int, text: str, token: int) -> Iterator[str | int]:
    if isinstance(part, int):
        yield part
        return
    for index, between in enumerate(part.split(text)):
        if index:
            yield token
        if between:
            yield between


class ScoredPieces:
    """SPM: of all neighbours that together are a token, the pair of the best score is joined first."""

    def __init__(self, gguf: Gguf, vocabulary: Vocabulary):
        scores = gguf.numbers("tokenizer.ggml.scores")
        if scores is None or len(scores) != len(vocabulary.texts) or not np.isfinite(scores).all():
            raise Invalid(f"{gguf.path.name}: the tokenizer's scores are missing or no numbers.", CONVERT)
        self.vocabulary = vocabulary
        joinable = list(vocabulary.of_kind(NORMAL, USER_DEFINED, UNUSED))
        self.ids = {text: token for token, text in joinable}
        self.costs = {text: -float(scores[token]) for token, text in joinable}
        self.byte_ids = self._byte_ids(gguf)
        # Where no token goes on after a word with a space, words do not touch each other and can be joined alone.
        self.words_alone = not any(re.search(f"[^{SPACE}]{SPACE}", text) for text in self.ids)
        self.encode_known = lru_cache(WORDS_KEPT)(self.encode_word)

    def _byte_ids(self, gguf: Gguf) -> list[int]:
        by_text = {text: token for token, text in self.vocabulary.of_kind(BYTE)}
        unknown = token_id(gguf, "unknown_token_id", 0)
        ids = [by_text.get(f"<0x{value:02X}>", self.ids.get(chr(value), unknown)) for value in range(256)]
        if None in ids:
            raise Invalid(f"{gguf.path.name}: the vocabulary lacks some bytes and has no unknown token.", CONVERT)
        return ids

    def encode(self, text: str) -> list[int]:
        text = text.replace(" ", SPACE)
        tokens: list[int] = []
        for word in WORD.findall(text) if self.words_alone else [text]:
            tokens += self.encode_known(word) if len(word) <= WORD_KEPT_LENGTH_MAX else self.encode_word(word)
        return tokens

    def encode_word(self, word: str) -> list[int]:
        tokens: list[int] = []
        for part in join_by_cost(word, self.costs):
            if part in self.ids:
                tokens.append(self.ids[part])
            else:
                tokens += [self.byte_ids[value] for value in part.encode("utf-8")]
        return tokens

    def piece(self, token: int) -> bytes:
        text = self.vocabulary.texts[token]
        if self.vocabulary.kinds[token] == BYTE:
            return bytes([byte_value(text)])
        return text.replace(SPACE, " ").encode("utf-8")


def byte_value(text: str) -> int:
    if not re.fullmatch("<0x[0-9A-Fa-f]{2}>", text):
        raise Invalid(f"The byte token {text!r} is none.", CONVERT)
    return int(text[3:5], 16)


def join_by_cost(text: str, costs: dict[str, float]) -> Iterator[str]:
    """Join the characters of `text`: always the neighbours whose joined text costs least, of equals the leftmost.

    `costs` has the texts that may come about. Yields the parts that are left when nothing more can be joined.
    """
    parts = list(text)
    before = list(range(-1, len(parts) - 1))
    after = list(range(1, len(parts) + 1))
    waiting: list[tuple[float, int, int, str]] = []

    def consider(left: int, right: int) -> None:
        if left >= 0 and right < len(parts):
            joined = parts[left] + parts[right]
            if joined in costs:
                heapq.heappush(waiting, (costs[joined], left, right, joined))

    for right in range(1, len(parts)):
        consider(right - 1, right)
    while waiting:
        _, left, right, joined = heapq.heappop(waiting)
        # One of the two may have been joined with somebody else since.
        if not parts[left] or not parts[right] or parts[left] + parts[right] != joined or after[left] != right:
            continue
        parts[left], parts[right] = joined, ""
        after[left] = after[right]
        if after[right] < len(parts):
            before[after[right]] = left
        consider(before[left], left)
        consider(left, after[left])
    return (part for part in parts if part)


class ByteLevelPairs:
    """BPE over bytes: a text is split by patterns, its bytes written as letters, pairs joined by their rank."""

    def __init__(self, gguf: Gguf, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        ids = {text: token for token, text in vocabulary.of_kind(NORMAL, USER_DEFINED, UNUSED, BYTE)}
        split = gguf.text("tokenizer.ggml.pre", "default")
        if split not in SPLITS:
            known = ", ".join(SPLITS)
            raise Invalid(f"{gguf.path.name}: the text splitting '{split}' is not known here; known: {known}.", CONVERT)
        if not all(letter in ids for letter in BYTE_LETTERS):
            raise Invalid(f"{gguf.path.name}: the vocabulary does not have all 256 bytes.", CONVERT)
        merges = read_merges(gguf, ids, {text for _, text in vocabulary.of_kind(CONTROL, UNKNOWN)})
        self.tokenizer = tokenizers.Tokenizer(
            tokenizers.models.BPE(vocab=ids, merges=merges, ignore_merges=split in WHOLE_WORDS_FIRST)
        )
        steps = [tokenizers.pre_tokenizers.Split(tokenizers.Regex(each), "isolated") for each in SPLITS[split]]
        bytes_as_letters = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self.tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([*steps, bytes_as_letters])

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def piece(self, token: int) -> bytes:
        letters = self.vocabulary.texts[token]
        return b"".join(LETTER_BYTES.get(letter) or letter.encode("utf-8") for letter in letters)


def read_merges(gguf: Gguf, ids: dict[str, int], control: set[str]) -> list[tuple[str, str]]:
    merges = []
    for line in gguf.texts("tokenizer.ggml.merges"):
        space = line.find(" ", 1)
        left, right = line[:space], line[space + 1 :]
        if control.intersection((left, right, left + right)) and left + right not in ids:
            continue  # text must not become a control token
        if space < 0 or left not in ids or right not in ids or left + right not in ids:
            raise Invalid(f"{gguf.path.name}: the merge {line!r} joins or makes what is no token.", CONVERT)
        merges.append((left, right))
    return merges


def byte_letters() -> list[str]:
    """GPT-2's alphabet: the printable Latin-1 bytes stand for themselves, the others for letters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(value if value in printable else next(others)) for value in range(256)]


BYTE_LETTERS = byte_letters()
LETTER_BYTES = {letter: bytes([value]) for value, letter in enumerate(BYTE_LETTERS)}
MERGERS: dict[str, Callable[[Gguf, Vocabulary], Merger]] = {"llama": ScoredPieces, "gpt2": ByteLevelPairs}


def check_text(text: str) -> None:
    size = len(utf8(text))
    if size > TEXT_BYTES_MAX:
        raise Invalid(f"The text has {size} bytes, at most {TEXT_BYTES_MAX} are read.", "Send a shorter text.")


def utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid("The text holds half of a surrogate pair and is not Unicode.", "Send valid UTF-8.") from None
