"""The demo model's vocabulary: SentencePiece BPE with byte fallback, learnt from our own corpus.

Called by `train` (to learn it once and to encode) and `export` (to write it into the GGUF).
A line feed is the byte piece <0x0A>; no space is put in front of a text.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
from wire import ASSISTANT, BEGIN, END, SYSTEM, USER, Conversation, segments

SIZE = 2048


@dataclass(frozen=True)
class Encoded:
    """One conversation as ids; `learnt[i]` says that the assistant says ids[i]."""

    ids: list[int]
    learnt: list[bool]


def learn(conversations: Iterable[Conversation], path: Path) -> None:
    """Learn SIZE pieces from the conversations and write `path` (a .model file)."""
    texts = (segment.text for c in conversations for segment in segments(c) if not segment.control)
    lines = itertools.chain.from_iterable(text.split("\n") for text in texts)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for line in lines if line),
        model_prefix=str(path.with_suffix("")),
        model_type="bpe",
        vocab_size=SIZE,
        byte_fallback=True,
        character_coverage=1.0,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        bos_piece=BEGIN,
        eos_piece=END,
        control_symbols=[SYSTEM, USER, ASSISTANT],
        minloglevel=2,
        num_threads=1,
    )


class Vocabulary:
    """The learnt pieces, ready to encode conversations."""

    def __init__(self, path: Path):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.size = self.pieces.vocab_size()
        self.begin = self.pieces.piece_to_id(BEGIN)
        self.end = self.pieces.piece_to_id(END)

    def encode(self, conversation: Conversation, begin: bool = True) -> Encoded:
        """Encode in wire form, after the <s> piece unless `begin` is False."""
        ids = [self.begin] if begin else []
        learnt = [False] * len(ids)
        for segment in segments(conversation):
            if segment.control:
                new = [self.pieces.piece_to_id(segment.text)]
            else:
                new = self.pieces.encode(segment.text)
            ids += new
            learnt += [segment.learnt] * len(new)
        return Encoded(ids, learnt)

    def decode(self, ids: list[int]) -> str:
        return self.pieces.decode(ids)
