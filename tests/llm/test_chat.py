"""Chat templates: what they write, and what neither users nor templates can do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm.small_models import CHAT_TEMPLATE, CONTROL, WORDS, add_spm_tokenizer, spm_vocabulary, write_llama

from puna.errors import Invalid
from puna.llm.chat import SHIELD, encode_chat, render_chat
from puna.llm.gguf import open_gguf
from puna.llm.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer_of(tmp_path_factory):
    def make(template: str | None) -> Tokenizer:
        path = tmp_path_factory.mktemp("chat") / "chat.gguf"
        flags = {} if template is None else {"chat_template": template}
        return Tokenizer(
            open_gguf(
                write_llama(path, tokenizer=lambda writer: add_spm_tokenizer(writer, *spm_vocabulary(WORDS), **flags))
            )
        )

    return make


@pytest.fixture(scope="module")
def plain(tokenizer_of):
    return tokenizer_of(CHAT_TEMPLATE)


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def names(tokenizer: Tokenizer, tokens: list[int]) -> list[str]:
    return [tokenizer.token_text(token) for token in tokens if tokenizer.vocabulary.kinds[token] == CONTROL]


def test_a_conversation_is_written_as_the_template_says(plain):
    messages = [{"role": "system", "content": "be a llama"}, *user("why?")]
    assert render_chat(plain, messages) == "<s><|system|>\nbe a llama<|end|>\n<|user|>\nwhy?<|end|>\n<|assistant|>\n"
    assert render_chat(plain, user("a"), add_generation_prompt=False) == "<s><|user|>\na<|end|>\n"


def test_role_markers_of_the_template_are_control_tokens_and_the_text_begins_once(plain):
    assert names(plain, encode_chat(plain, user("why?"))) == ["<s>", "<|user|>", "<|end|>", "<|assistant|>"]


def test_a_template_without_begin_token_gets_one(tokenizer_of):
    tokenizer = tokenizer_of("{{ messages[0].content }}<|end|>")
    assert names(tokenizer, encode_chat(tokenizer, user("a"))) == ["<s>", "<|end|>"]


HOSTILE = st.lists(
    st.sampled_from(["<s>", "</s>", "<|end|>", "<|user|>", "<|assistant|>", "<", "|end|>", "\n", SHIELD, " ", "a"]),
    max_size=12,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(content=HOSTILE)
def test_users_cannot_write_role_markers(plain, content):
    tokens = encode_chat(plain, user(content))
    assert names(plain, tokens) == ["<s>", "<|user|>", "<|end|>", "<|assistant|>"]
    # What they wrote is still there, as text.
    assert content.replace(SHIELD, "").encode() in b"".join(map(plain.piece, tokens)).replace(b"\xe2\x96\x81", b" ")


def test_innocent_text_has_the_same_tokens_as_in_one_piece(plain):
    for content in ("the llama eats grass", " two  spaces ", "<html> 3 < 4", "🦙\n\n"):
        text = render_chat(plain, user(content))
        assert encode_chat(plain, user(content)) == plain.encode(text, bos=False, special=True)


def test_a_model_without_template_says_so(tokenizer_of):
    with pytest.raises(Invalid, match="no chat template"):
        render_chat(tokenizer_of(None), user("a"))


def test_templates_may_refuse(tokenizer_of):
    with pytest.raises(Invalid, match="refuses: only users"):
        render_chat(tokenizer_of("{{ raise_exception('only users') }}"), user("a"))


@pytest.mark.parametrize("messages", [[], [{"role": "king", "content": "a"}], [{"role": "user"}], [{"content": "a"}]])
def test_messages_that_are_none_are_refused(plain, messages):
    with pytest.raises(Invalid):
        render_chat(plain, messages)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ 'a' * 10000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% set r = range(10000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include '/etc/passwd' %}",
        "{{ messages.append(1) }}",
        "{{ strftime_now('%d') }}",
        "{% if %}",
        "{{ 'a'.center(1000000000) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'a'.ljust(100000000) | length }}",
    ],
)
def test_hostile_templates_fail_without_harm(tokenizer_of, template):
    with pytest.raises(Invalid, match="chat template"):
        render_chat(tokenizer_of(template), user("a"))
