"""Chat templates: from messages to the text a model was trained on, and from there to tokens.

A template is a Jinja program out of the model's file, so it comes from anybody: it runs sandboxed, without clock or
chance, and with bounded work. What users wrote passes through it with a shield behind every character that could
begin a control token, so that only the template itself can write role markers.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import FrameType
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from puna.errors import Invalid
from puna.llm.tokenizer import TEXT_BYTES_MAX, Tokenizer

ROLES = ("system", "user", "assistant", "tool")
# A noncharacter: Unicode promises that no text uses it, so taking it out of users' text takes nothing away.
SHIELD = "\ufdd0"
STEPS_MAX = 200_000  # lines of compiled template; a long conversation takes some hundreds
MESSAGES_MAX = 10_000
TEMPLATES_KEPT = 8  # compiled; compiling costs as much as some tokens of a small model

# What templates need of a string. Left out is what makes a long one of a short one: center, ljust, format, ...
TEXT_METHODS = frozenset(
    "strip lstrip rstrip split rsplit splitlines partition startswith endswith replace removeprefix removesuffix "
    "upper lower title capitalize find rfind index count isdigit isalpha isspace".split()
)

Message = Mapping[str, str]  # role, content


def render_chat(tokenizer: Tokenizer, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
    """The text of a conversation as the model's own template writes it.

    Raises Invalid when the model has no template, a role or content is none, or the template refuses.
    """
    return render(tokenizer, check_messages(messages), add_generation_prompt)


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Message], add_generation_prompt: bool = True) -> list[int]:
    """The tokens of a conversation. The template's control tokens are tokens; the same text in a message is text.

    Raises Invalid as render_chat does.
    """
    openers = {text[0] for text in tokenizer.control_texts}
    shielded = [
        {"role": message["role"], "content": shield(message["content"], openers)}
        for message in check_messages(messages)
    ]
    return tokenizer.encode_shielded(render(tokenizer, shielded, add_generation_prompt), SHIELD)


def shield(content: str, openers: set[str]) -> str:
    """What a user wrote, unable to become a control token whatever a template cuts or puts around it.

    Its price: a template that looks for "</think>" in a message does not find it if "<" begins a control token.
    """
    content = content.replace(SHIELD, "")
    return "".join(letter + SHIELD if letter in openers else letter for letter in content)


def check_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    if not messages or len(messages) > MESSAGES_MAX:
        raise Invalid(f"A conversation of {len(messages)} messages.", f"Give 1 to {MESSAGES_MAX}.")
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise Invalid(f"Message {number} has the role {role!r}.", f"Roles are {', '.join(ROLES)}.")
        if not isinstance(content, str):
            raise Invalid(f"Message {number} has no text as content.", "Give a string.")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def render(tokenizer: Tokenizer, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    if not tokenizer.chat_template:
        raise Invalid("This model has no chat template.", "Send it a plain prompt.")
    try:
        text = run_bounded(
            compiled(tokenizer.chat_template),
            messages=messages,
            add_generation_prompt=add_generation_prompt,
            bos_token=tokenizer.token_text(tokenizer.bos_id),
            eos_token=tokenizer.token_text(tokenizer.eos_id),
        )
    except Refused as refused:
        raise Invalid(f"The model's chat template refuses: {refused}", "Change the messages.") from None
    except Exhausted:
        raise Invalid("The model's chat template does too much work.", "Send it a plain prompt.") from None
    except Exception as error:  # the template is a program of somebody else's: whatever it raises is its own fault
        raise Invalid(f"The model's chat template fails: {error}", "Send it a plain prompt.") from None
    if len(text) > 2 * TEXT_BYTES_MAX:  # at most each character has a shield
        raise Invalid(f"The rendered chat has {len(text)} characters.", "Send fewer or shorter messages.")
    return text


class Refused(Exception):
    """A template called raise_exception."""


class Exhausted(Exception):
    """A template did more than it may."""


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as chat templates expect it, without the operators that make much out of little."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(each, int | float) for each in (left, right)):
            raise Exhausted
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr not in TEXT_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Any:
        if super().wrap_str_format(value) is not None:
            raise Exhausted
        return None


@lru_cache(TEMPLATES_KEPT)
def compiled(template: str) -> jinja2.Template:
    """A template ready to render, any number of times and at once: it keeps nothing of what it rendered."""
    return environment().from_string(template)


def environment() -> ChatEnvironment:
    made = ChatEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    made.globals = {"raise_exception": refuse, "range": bounded_range, "namespace": jinja2.utils.Namespace}
    made.globals["dict"] = dict
    for filter_name in ("center", "format", "indent", "wordwrap", "random", "pprint"):  # amplifiers, and chance
        made.filters.pop(filter_name)
    return made


def refuse(reason: str) -> None:
    raise Refused(reason)


def bounded_range(*bounds: int) -> range:
    if len(range(*bounds)) > MESSAGES_MAX:
        raise Exhausted
    return range(*bounds)


def run_bounded(template: jinja2.Template, **variables: Any) -> str:
    """Render, counting every line the template executes on this thread."""
    steps = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > STEPS_MAX:
            raise Exhausted
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        return template.render(**variables)
    finally:
        sys.settrace(before)
