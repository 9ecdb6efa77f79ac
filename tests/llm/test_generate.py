"""An answer by itself: stop texts, end tokens, limits, and requests that cannot be answered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm.fake_model import FakeModel, FakeSpeech, alone

from puna.errors import Invalid
from puna.llm.generate import Answer, Completion, Request, check_request, generate
from puna.llm.sampler import Sampling


class Dictionary:
    """A tokenizer with these pieces; token 0 ends a turn."""

    end_ids = frozenset({0})

    def __init__(self, *pieces: str | bytes):
        self.pieces = [b"", *(each.encode() if isinstance(each, str) else each for each in pieces)]

    def piece(self, token: int) -> bytes:
        return self.pieces[token]


def play(speech, tokens: list[int], stop: tuple[str, ...] = (), limit: int = 100):
    """Choose `tokens` one after another; what was released after each, and the completion."""
    answer = Answer(Request((1,), limit, stop=stop), speech)
    released = []
    for token in tokens:
        assert answer.finish is None
        released.append(answer.choose(np.eye(len(speech.pieces), dtype=np.float32)[token]))
    return released, answer.completion()


def test_an_end_token_ends_the_answer_and_is_no_part_of_it():
    released, completion = play(Dictionary("Hi", "!"), [1, 2, 0])
    assert completion == Completion((1, 2), "Hi!", "stop")
    assert released == [[(1, b"Hi")], [(2, b"!")], []]


def test_the_limit_ends_the_answer():
    assert play(Dictionary("a"), [1, 1, 1], limit=3)[1] == Completion((1, 1, 1), "aaa", "length")


def test_a_stop_text_within_a_token_cuts_it():
    released, completion = play(Dictionary("one", " two\nUser: hi"), [1, 2], stop=("\nUser:",))
    assert completion == Completion((1, 2), "one two", "stop")
    assert released == [[(1, b"one")], [(2, b" two")]]


def test_a_stop_text_split_over_tokens_is_never_released():
    released, completion = play(Dictionary("one ", "two\n", "Us", "er:"), [1, 2, 3, 4], stop=("\nUser:",))
    assert completion == Completion((1, 2, 3, 4), "one two", "stop")
    assert released == [[(1, b"one ")], [], [], [(2, b"two"), (3, b""), (4, b"")]]


def test_what_only_looked_like_a_stop_text_is_released_later():
    released, completion = play(Dictionary("two\n", "Us", " all"), [1, 2, 3, 0], stop=("\nUser:",))
    assert released == [[], [], [(1, b"two\n"), (2, b"Us"), (3, b" all")], []]
    assert completion.text == "two\nUs all"


def test_held_back_text_is_released_at_the_end():
    for tokens, limit, finish in (([1, 0], 100, "stop"), ([1], 1, "length")):
        released, completion = play(Dictionary("two\nUs"), tokens, stop=("\nUser:",), limit=limit)
        assert released[-1] == [(1, b"two\nUs")]
        assert completion == Completion((1,), "two\nUs", finish)


def test_the_earliest_of_several_stop_texts_counts():
    assert play(Dictionary("a b c d"), [1], stop=("d", "b", "c"))[1].text == "a "


def test_broken_characters_at_the_end_are_replaced():
    assert play(Dictionary("a", "🦙".encode()[:2]), [1, 2, 0])[1].text == "a\ufffd"


@given(
    tokens=st.lists(st.integers(1, 12), max_size=30),
    stop=st.lists(st.text("ab \né🦙", min_size=1, max_size=4), max_size=3).map(tuple),
)
def test_released_pieces_are_the_text_and_hold_no_stop_text(tokens, stop):
    speech = Dictionary(*FakeSpeech.PIECES[1:])
    answer = Answer(Request((1,), 100, stop=stop), speech)
    released, seen = [], []
    for token in [*tokens, 0]:
        seen.append(token)
        released += answer.choose(np.eye(len(speech.pieces), dtype=np.float32)[token])
        text = b"".join(piece for _, piece in released)
        assert not any(each.encode() in text for each in stop)
        if answer.finish:
            break
    completion = answer.completion()
    assert tuple(token for token, _ in released) == completion.tokens == tuple(seen[: len(completion.tokens)])
    assert text.decode(errors="replace") == completion.text
    whole = b"".join(map(speech.piece, tokens))
    ends = [at for at in map(whole.find, map(str.encode, stop)) if at >= 0]
    assert completion.text == whole[: min(ends, default=None)].decode(errors="replace")


def test_generating_alone_yields_the_completion():
    completion, released = alone(Request((1, 2, 3), 10, Sampling(temperature=1.0, seed=3)))
    assert completion.tokens == tuple(token for token, _ in released)


@pytest.mark.parametrize(
    "request_, words",
    [
        (Request((), 5), "prompt is empty"),
        (Request((1,), 0), "limit of 0"),
        (Request((24,), 5), "outside 0 to 23"),
        (Request((-1,), 5), "outside 0 to 23"),
        (
            Request((1,) * 60, 5),
            "context full: 60 tokens of prompt and 5 to generate exceed this model's 64.*at most 4",
        ),
        (Request((1,) * 64, 1), "context full.*Shorten the prompt to less than 64"),
        (Request((1,), 5, stop=("",)), "stop texts"),
        (Request((1,), 5, stop=("a",) * 17), "stop texts"),
        (Request((1,), 5, stop=("a" * 1025,)), "stop texts"),
    ],
)
def test_requests_that_cannot_be_answered_are_refused(request_, words):
    with pytest.raises(Invalid, match=words):
        check_request(request_, vocab=24, context=64)
    model = FakeModel()
    with pytest.raises(Invalid, match=words):
        next(generate(model, FakeSpeech(), request_))
    assert model.rows == 0, "refused before anything is evaluated"
