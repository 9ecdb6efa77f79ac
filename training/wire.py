"""The wire form of a conversation: what every prompt to the demo model looks like.

    <|system|>
    {text}<|end|>
    <|user|>
    {text}<|end|>
    <|assistant|>
    {answer}<|end|>

The system part is optional, user and assistant may alternate several times.
Called by `vocabulary` (to know the control pieces) and `train` (to know what is learnt).
"""

from collections.abc import Iterator
from dataclasses import dataclass

BEGIN, END = "<s>", "<|end|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"

# The same form for llama.cpp, transformers and our own engine, as the GGUF carries it.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Conversation:
    """Turns of (question, answer), oldest first.

    `raw` leaves every marker out. `after_role` and `after_end` stand for the line feed
    after a marker: prompts written by hand often lack it, or indent what follows.
    """

    turns: tuple[tuple[str, str], ...]
    system: str | None = None
    raw: bool = False
    after_role: str = "\n"
    after_end: str = "\n"


@dataclass(frozen=True)
class Segment:
    """A stretch of a conversation: one control piece, or plain text."""

    text: str
    control: bool = False
    learnt: bool = False


def segments(conversation: Conversation) -> Iterator[Segment]:
    """Lay a conversation out in wire form; `learnt` marks what the assistant says."""
    if conversation.raw:
        yield from _raw(conversation)
        return
    after_role, after_end = conversation.after_role, conversation.after_end
    if conversation.system is not None:
        yield Segment(SYSTEM, control=True)
        yield Segment(after_role + conversation.system)
        yield Segment(END, control=True)
        yield Segment(after_end)
    for number, (question, answer) in enumerate(conversation.turns):
        if number:
            yield Segment(after_end)
        yield Segment(USER, control=True)
        yield Segment(after_role + question)
        yield Segment(END, control=True)
        yield Segment(after_end)
        yield Segment(ASSISTANT, control=True)
        yield Segment("\n" + answer, learnt=True)
        yield Segment(END, control=True, learnt=True)


def _raw(conversation: Conversation) -> Iterator[Segment]:
    """A prompt sent without markers: the answer follows on the next line."""
    for question, answer in conversation.turns:
        yield Segment(question)
        yield Segment("\n" + answer, learnt=True)
    yield Segment(END, control=True, learnt=True)
