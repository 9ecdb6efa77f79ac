"""What a person is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.ao.result import Result
from puna.cli.aos.present import (
    Branch,
    Entry,
    Row,
    clean,
    error_text,
    excerpt,
    first_words,
    history,
    plain,
    profile,
    short,
    shown,
    tree,
)

ESC = "\x1b"


@pytest.mark.parametrize(
    ("output", "text", "prompt", "news"),
    [
        ("plain", "plain", "", False),
        ({"data": "text", "prompt": "p> "}, "text", "p> ", False),
        ({"data": "text", "prompt": "p> ", "print": True}, "text", "p> ", True),
        ({"data": {"output": "old", "json": "undefined", "prompt": "aos> "}}, "old", "aos> ", False),
        ({"data": {"output": "old"}, "prompt": "outer> "}, "old", "outer> ", False),
        ({"data": {"a": 1}}, '{"a": 1}', "", False),
        ({"data": "x", "print": "yes"}, "x", "", False),
        (None, "", "", False),
        (5, "5", "", False),
        ({}, "", "", False),
    ],
)
def test_42_an_output_is_read_in_every_shape(output, text, prompt, news):
    """Statement 42: `Output` as text, as `{data}` text, and as `{data = {output}}` are all shown."""
    seen = shown(output)
    assert (seen.text, seen.prompt, seen.news) == (text, prompt, news)


@pytest.mark.parametrize(
    "hostile",
    [
        f"{ESC}[2J", f"{ESC}[10;1H", f"{ESC}]0;title\x07", f"{ESC}]52;c;aGk=\x07", f"{ESC}]8;;http://x{ESC}\\",
        f"{ESC}P1$q{ESC}\\", f"{ESC}c", "\r", "\b", "\x07", "\x9b2J", "\u202e", f"{ESC}[?1049h", f"{ESC}7",
    ],
)  # fmt: skip
def test_what_a_stranger_says_cannot_command_the_terminal(hostile):
    assert clean(f"a{hostile}b") == "ab"


def test_an_escape_without_an_end_takes_no_more_than_the_next_character():
    assert clean(f"a{ESC}") == "a" and clean(f"a{ESC}{ESC}[2Jb") == "a[2Jb"


def test_colours_tabs_and_line_ends_pass():
    text = f"{ESC}[31mred{ESC}[0m\t\n{ESC}[38;5;9mx"
    assert clean(text) == text and plain(text) == "red\t\nx"


@given(st.text())
def test_a_clean_text_holds_no_control_characters_but_colours(text):
    left = plain(clean(text)).replace("\n", "").replace("\t", "")
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in left)


def marked(error: str, source: str, chunk: str = "aos") -> str:
    """The part of the source that an error's mark stands under."""
    *_, line, mark = plain(error_text(error, {chunk: source})).split("\n")
    return line[mark.index("^") : mark.rindex("^") + 1]


@pytest.mark.parametrize(
    ("error", "source", "part"),
    [
        ("""[string "aos"]:1: syntax error near 'y'""", "x y", "y"),
        ("""[string "aos"]:2: unexpected symbol near '='""", "local a\n  = 2", "="),
        ("""[string "aos"]:1: attempt to index a nil value (global 'foo')""", "return foo.bar", "foo"),
        ("""[string "aos"]:1: attempt to call a nil value (method 'run')""", "x:run(1)", "run"),
        ("""[string "aos"]:2: boom""", "x = 1\n  error('boom')", "error('boom')"),
        ("""[string "aos"]:1: attempt to add (local 'a')""", "a = a + a", "a = a + a"),
        ("""\x1b[31merror:\n\x1b[0m[string "aos"]:1: boom""", "error('boom')", "error('boom')"),
        ("""[string ".handlers"]:362: [string "aos"]:1: boom""", "error'boom'", "error'boom'"),
        ("""[string "aos"]:1: x\nstack traceback:\n[string "aos"]:2: in f\nerror: [string "aos"]:2: x""", "a\nb", "b"),
        ("""[string "aos"]:1: unfinished string near '"abc'""", 'x = "abc', '"abc'),
    ],
)
def test_the_line_of_an_error_is_shown_and_its_culprit_underlined(error, source, part):
    assert marked(error, source) == part


def test_an_error_in_a_file_shows_the_line_of_the_file():
    assert marked("lib/a.lua:2: attempt to call a nil value (global 'f')", "x()\nf()", "lib/a.lua") == "f"


def test_an_unfinished_text_is_marked_at_its_end():
    line, mark = plain(excerpt("x =", 1, "unexpected symbol near <eof>")).split("\n")
    assert mark.index("^") == line.index("=") + 1


@pytest.mark.parametrize("error", ["boom", '[string "other"]:1: x', '[string "aos"]:9: x', {"code": 5}, 2, ""])
def test_an_error_that_names_no_line_we_know_is_shown_as_it_is(error):
    said = plain(error_text(error, {"aos": "x = 1"}))
    assert "^" not in said and ("x = 1" not in said)


def test_wide_characters_and_tabs_keep_the_mark_in_its_column():
    line, mark = plain(excerpt("\tlocal 数 = foo.x", 1, "attempt to index a nil value (global 'foo')")).split("\n")
    columns_before = line.index("foo") + 1  # the character takes two columns
    assert mark.index("^") == columns_before


def test_history_is_one_line_for_each_place():
    entries = [
        Entry(0, 0, "P" * 43, "me", "(birth)", " "),
        Entry(12, 1, "M" * 43, "S" * 43, "Transfer", f"two\nlines {ESC}[2J" + "x" * 200),
    ]
    first, second = plain(history(entries, "me")).split("\n")
    assert first.split()[0] == "0" and "you" in first and "(birth)" in first
    assert second.split()[0] == "12" and "SSSSS…SSSS" in second and "two lines" in second and len(second) < 150


def test_a_tree_shows_what_each_message_came_to():
    leaf = Branch("C" * 43, "B" * 43, "Inference", Result(error='line\n[string "aos"]:1: boom'))
    wallet = Branch("D" * 43, "W" * 43, "Debit-Notice", None, "kept for a wallet")
    root = Branch(
        "A" * 43, "T" * 43, "Transfer", Result(output={"data": "moved"}, gas_used=7),
        branches=(Branch("E" * 43, "H" * 43, "Credit-Notice", Result(), branches=(leaf,)), wallet),
    )  # fmt: skip
    assert plain(tree(root, {"T" * 43: "token"})).split("\n") == [
        "Transfer -> token  AAAAA…AAAA  7 gas  moved",
        "├─ Credit-Notice -> HHHHH…HHHH  EEEEE…EEEE",
        '│  └─ Inference -> BBBBB…BBBB  CCCCC…CCCC  [string "aos"]:1: boom',
        "└─ Debit-Notice -> WWWWW…WWWW  DDDDD…DDDD  kept for a wallet",
    ]


def test_a_profile_tells_shares_and_what_the_whole_costs():
    said = plain(profile([Row(75, 3, "f", "a.lua:1"), Row(25, 1, "(what you ran)", "")], 1234)).split("\n")
    assert said[1].split() == ["75", "75.0%", "3", "f", "a.lua:1"]
    assert "100 instructions" in said[-1] and "1234 gas" in said[-1]
    assert "0.0%" not in plain(profile([], None))


def test_short_forms():
    assert short("A" * 43) == "AAAAA…AAAA" and short("Name") == "Name"
    assert first_words("a\n  b\tc", 20) == "a b c" and first_words("abcdef", 4) == "abc…"
