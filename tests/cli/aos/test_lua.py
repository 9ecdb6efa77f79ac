"""Lua as the console reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa.lua53 import LuaRuntime

from puna.cli.aos.lua import Place, is_complete, place_before, quoted, requires, string_value, tokens

COMPLETE = [
    "1 + 1",
    "x = { 1, 2 }",
    "if a then b() end",
    "if a then b() elseif c then d() else e() end",
    "while a do b() end for i = 1, 3 do print(i) end",
    "repeat local x = f() until x",
    "return function() end",
    'print("end do function (")',
    "-- if then do",
    "x = [[ do\n function ]]",
    "--[==[ ( ]] ]==] f()",
    "a[b[1]] = 2",
    "x = 'it\\'s'",
    "end",  # too much is for Lua to refuse
    "x = 'no end",
    "...",
    "",
]
UNFINISHED = [
    "for i = 1, 3 do",
    "while true do",
    "if a then",
    "repeat f()",
    "function f()",
    "Handlers.add('x', function(msg)",
    "f(1,",
    "x = {",
    "x = [[",
    "x = [==[ ]]",
    "--[[ a comment",
    "x =",
    "a .. ",
    "not",
    "Inbox[1].",
]


@pytest.mark.parametrize("text", COMPLETE)
def test_a_text_that_could_be_meant_so_is_complete(text):
    assert is_complete(text)


@pytest.mark.parametrize("text", UNFINISHED)
def test_a_text_that_wants_more_is_not(text):
    assert not is_complete(text)


@given(st.text(alphabet="aif()[]=-\"'\\\n \tend.do:{}0x", max_size=60))
def test_every_character_of_any_text_is_in_one_token_or_between_two(text):
    found = tokens(text, comments=True)
    position = 0
    for token in found:
        assert text[position : token.start].isspace() or position == token.start
        assert text[token.start : token.end] == token.text and token.text
        position = token.end
    assert text[position:].strip() == ""


@given(st.text(alphabet='ab"]=[\n\\ \0é', max_size=40))
def test_lua_reads_a_quoted_text_as_what_it_was(text):
    lua = LuaRuntime(encoding="utf-8")
    assert lua.eval(quoted(text)) == text


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"a\\nb"', "a\nb"),
        ("'it\\'s'", "it's"),
        ('"\\65\\x42\\u{43}"', "ABC"),
        ('"a\\z  \n b"', "ab"),
        ("[[\nx]]", "x"),
        ("[=[]]]=]", "]]"),
    ],
)
def test_a_string_means_what_lua_says_it_does(literal, value):
    (token,) = tokens(literal)
    assert string_value(token) == value == LuaRuntime().eval(literal)


def test_requires_are_found_however_they_are_written_and_nowhere_else():
    text = """
    local a = require("a") local b = require 'b' local c = require [[c]]
    -- require("comment")
    local d = "require('text')" local e = loader.require("field") require(name) require("a")
    return require("lib" .. "x"), require "z"
    """
    assert requires(text) == ["a", "b", "c", "z"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", Place((), "")),
        ("pri", Place((), "pri")),
        ("ao.se", Place(("ao",), "se")),
        ("x = ao.", Place(("ao",), "")),
        ("Inbox[1].Ta", Place(("Inbox", 1), "Ta")),
        ('a["b c"].d', Place(("a", "b c"), "d")),
        ("if x then Handlers.utils.has", Place(("Handlers", "utils"), "has")),
        ("name:up", Place(("name",), "up", method=True)),
        ("f(ao.id, Han", Place((), "Han")),
        ("f().x", None),
        ("a[i].x", None),
        ("'a.b", None),
        ("-- a.b", None),
        ("x = [[ a.b", None),
        ("-- done\nao.i", Place(("ao",), "i")),
    ],
)
def test_the_place_before_the_cursor(text, place):
    assert place_before(text) == place
