"""The console's rules, driven without a terminal, a network or a file: events in, commands out."""

import json

import pytest

from puna.ao.result import Result
from puna.cli.aos.present import Branch, Entry, plain
from puna.cli.aos.session import (
    DOTS,
    Answered,
    Ask,
    Away,
    Back,
    Broke,
    Done,
    Fork,
    Heard,
    History,
    Leave,
    Listed,
    Look,
    Looked,
    Monitor,
    OpenPad,
    Profile,
    Profiled,
    Read,
    ReadBlueprint,
    ReadFile,
    Refused,
    Say,
    Session,
    Trace,
    Traced,
    Typed,
    Update,
    advance,
    is_finished,
)
from puna.errors import Missing, NotYet

PROCESS, ME, MESSAGE = "P" * 43, "me", "M" * 43


class Story:
    """`story >> event`, then what the session said and asked for."""

    def __init__(self, **session):
        self.session = Session(PROCESS, ME, **session)
        self.commands = []

    def __rshift__(self, event) -> "Story":
        self.session, self.commands = advance(self.session, Typed(event) if isinstance(event, str) else event)
        return self

    @property
    def said(self) -> str:
        return plain("\n".join(command.text for command in self.commands if isinstance(command, Say)))

    @property
    def asked(self) -> list:
        return [command for command in self.commands if not isinstance(command, Say)]


def output(text: str, prompt: str = "", news: bool = False) -> Result:
    told = {"data": text, "prompt": prompt} | ({"print": True} if news else {})
    return Result(output=told)


# Lines


def test_a_line_of_lua_becomes_a_signed_message_and_its_answer_is_shown():
    story = Story() >> "1 + 1"
    (ask,) = story.asked
    assert ask == Ask("1 + 1") and not ask.dry
    story >> Answered(ask, MESSAGE, output("2", "me@aos[Inbox:4]> "))
    assert story.said == "2" and story.session.shown_prompt == "me@aos[Inbox:4]> " and story.session.last == MESSAGE


@pytest.mark.parametrize("line", ["", "   ", "\n"])
def test_an_empty_line_does_nothing(line):
    assert (Story() >> line).commands == []


def test_an_answer_without_text_says_nothing():
    assert (Story() >> Answered(Ask("x = 1"), MESSAGE, output(""))).commands == []


def test_an_error_shows_the_line_that_was_typed():
    story = Story() >> Answered(Ask("x y"), MESSAGE, Result(error="[string \"aos\"]:1: syntax error near 'y'"))
    assert story.said.split("\n")[1].endswith("x y") and story.said.endswith("^")
    assert story.session.failures == 1 and story.session.prompt == "aos> "


def test_an_error_in_a_handler_of_a_loaded_file_shows_the_line_of_the_file():
    story = Story() >> Read("chat.lua", "return chunk()", {"chat.lua": "a\nboom()"})
    (ask,) = story.asked
    assert ask.code == "return chunk()" and ask.sources == {"chat.lua": "a\nboom()"}
    story >> Broke(MESSAGE, "chat.lua:2: attempt to call a nil value (global 'boom')")
    assert "MMMMM…MMMM failed" in story.said and "boom()" in story.said and "^^^^" in story.said


# News


def test_news_are_shown_and_the_prompt_counts_them():
    story = Story() >> Heard(output("New Message From abc", "me[Inbox:2]> ", news=True))
    assert story.said == "New Message From abc" and story.session.prompt == "me[Inbox:2]> "


def test_what_is_no_news_is_not_shown():
    assert (Story() >> Heard(output("an eval of ours"))).commands == []
    assert (Story() >> Heard(output("", "p> ", news=True))).commands == []


def test_a_paused_feed_holds_news_back_and_a_live_one_catches_up():
    story = Story() >> ".pause" >> Heard(output("one", news=True))
    assert story.commands == []
    story >> Heard(output("two", "p2> ", news=True)) >> ".live"
    assert story.said.split("\n")[:2] == ["one", "two"]
    assert (story >> Heard(output("three", news=True))).said == "three"


def test_held_news_have_an_end():
    story = Story(live=False)
    for number in range(1000):
        story >> Heard(output(str(number), news=True))
    assert len(story.session.held) == 500 and story.session.held[-1] == "999"


# The network


def test_a_network_that_goes_away_is_told_once_and_its_return_too():
    story = Story() >> Away(NotYet("nobody answers"))
    assert "away" in story.said and "nobody answers" in story.said and "away" in plain(story.session.shown_prompt)
    assert (story >> Away(NotYet("nobody answers"))).commands == []
    assert "back" in (story >> Back()).said
    assert (story >> Back()).commands == [] and "away" not in plain(story.session.shown_prompt)


def test_a_line_that_was_not_sent_is_given_back():
    story = Story() >> Refused(NotYet("gone"), kept="Send({})")
    assert story.session.kept == "Send({})" and "gone" in story.said
    assert (story >> "x").session.kept == ""


# The editor


def test_the_editor_collects_lines_and_sends_them_as_one():
    story = Story() >> ".editor" >> "function f()" >> "  return 1" >> "oops" >> ".delete" >> "end" >> ".print"
    assert story.said.split("\n") == ["  1 function f()", "  2   return 1", "  3 end"]
    assert plain(story.session.shown_prompt) == "  4 "
    assert (story >> ".done").asked == [Ask("function f()\n  return 1\nend")]
    assert story.session.draft is None


def test_the_editor_can_be_left():
    story = Story() >> ".editor" >> "x" >> ".cancel"
    assert story.asked == [] and story.session.draft is None
    assert (Story() >> ".editor" >> ".done").asked == []


def test_other_dots_are_lines_of_the_editor():
    assert (Story() >> ".editor" >> ".exit").session.draft == (".exit",)


# Modes


def test_dry_runs_are_marked_and_send_nothing():
    story = Story() >> ".dryrun"
    assert plain(story.session.shown_prompt) == "*aos> "
    assert (story >> "x = 1").asked == [Ask("x = 1", dry=True)]
    assert (story >> ".dryrun" >> "x = 1").asked == [Ask("x = 1")]


def test_at_a_process_of_somebody_else_everything_is_a_dry_run():
    story = Story(owned=False) >> "Inbox"
    assert story.asked == [Ask("Inbox", dry=True)]
    assert "another owner" in (story >> ".dryrun").said
    assert (story >> "Inbox").asked[0].dry


def test_a_past_moment_is_looked_at_until_now():
    story = Story() >> ".at 7"
    assert story.asked == [Look(7)]
    story >> Looked(7, MESSAGE)
    (probe,) = story.asked
    story >> Answered(probe, "", output("", "then> "))
    assert story.commands == [] and plain(story.session.shown_prompt) == "@7 then> "
    assert (story >> "x").asked == [Ask("x", dry=True, after=MESSAGE)]
    assert (story >> Heard(output("new", "now> ", news=True))).session.prompt == "then> ", "the past has its own prompt"
    assert (story >> ".profile f()").asked == [Profile("f()", MESSAGE)]
    assert (story >> ".dump x").asked[0].after == MESSAGE
    assert (story >> ".history 5").asked == [History(5, 8)]
    assert (story >> ".fork").asked == [Fork(7, "")]
    (probe,) = (story >> ".now").asked
    assert probe.dry and not probe.after and story.session.at is None
    assert (story >> "x").asked == [Ask("x")]


# Dots


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (".load chat.lua", ReadFile("chat.lua")),
        (".load  my chat.lua", ReadFile("my chat.lua")),
        (".load 'it is.lua'", ReadFile("it is.lua")),
        (".load-blueprint token", ReadBlueprint("token")),
        (".pad", OpenPad()),
        (".monitor", Monitor(True)),
        (".unmonitor", Monitor(False)),
        (".history", History(20, None)),
        (".history 3", History(3, None)),
        (".history 3 10", History(3, 10)),
        (".at 0", Look(0)),
        (".fork", Fork(None, "")),
        (".fork 4", Fork(4, "")),
        (".fork 4 twin", Fork(4, "twin")),
        (f".trace {MESSAGE}", Trace(MESSAGE)),
        (".profile 1 + 1", Profile("1 + 1")),
        (".update", Update()),
        (".exit", Leave()),
        ("  .exit  ", Leave()),
    ],
)
def test_a_dot_command_asks_for_what_it_says(line, command):
    assert (Story() >> line).asked == [command]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (".load", ".lua"),
        (".load a.txt b.txt", ".lua"),
        (".load 'a", "quotation"),
        (".load-blueprint", "token"),
        (".history x", "'x'"),
        (".history 0", "1 or more"),
        (".history 1 2 3", "nonce"),
        (".at", "Say after which"),
        (".at -1", "'-1'"),
        (".at 1.5", "'1.5'"),
        (".at ²", "whole number"),
        (".fork 1 a b", "name"),
        (".trace", "Nothing was sent"),
        (".trace a b", "one message"),
        (".profile", "what to run"),
    ],
)
def test_a_dot_command_that_is_written_wrong_says_how_it_is_written(line, word):
    story = Story() >> line
    assert story.asked == [] and word in story.said and f"Use: {line.split()[0]}" in story.said
    assert story.session.failures == 1


def test_an_unknown_dot_command_names_the_nearest():
    assert ".history" in (Story() >> ".histroy").said
    assert ".help" in (Story() >> ".zzz").said


def test_help_names_every_command():
    said = (Story() >> ".help").said
    assert all(dot.usage in said and dot.what in said for dot in DOTS.values())


def test_trace_without_a_message_takes_the_last_one_sent():
    story = Story() >> Answered(Ask("x"), MESSAGE, output("")) >> Answered(Ask("y", dry=True), "", output(""))
    assert (story >> ".trace").asked == [Trace(MESSAGE)]


def test_a_dump_of_nothing_lists_what_the_program_set():
    (ask,) = (Story() >> ".dump").asked
    assert ask.dry and "next, _G" in ask.code
    assert "(\nBalances\n)" in (Story() >> ".dump Balances").asked[0].code


def test_reports_are_said():
    assert "12" in (Story() >> Listed((Entry(12, 0, MESSAGE, ME, "Eval", "x"),))).said
    assert "nothing before" in (Story() >> Listed(())).said
    assert "Eval -> mine" in (Story() >> Traced(Branch(MESSAGE, PROCESS, "Eval", Result()), {PROCESS: "mine"})).said
    assert (Story() >> Done("monitored")).said == "monitored"
    answer = output("10\t2\tf\tx.lua:1\n!")
    assert "100.0%" in (Story() >> Profiled("f()", answer, 99)).said
    failed = (Story() >> Profiled("boom()", output('1\t1\tf\tx\n![string "profiled"]:1: boom'), None)).said
    assert "boom()" in failed and "^" in failed
    assert (Story() >> Profiled("x y", Result(error='[string "profiled"]:1: near'), None)).session.failures == 1


def test_a_refusal_says_what_and_what_to_do():
    said = (Story() >> Refused(Missing("There is no file x.lua.", "Check the path."))).said
    assert said == "There is no file x.lua. Check the path."


def test_an_empty_file_sends_nothing():
    assert (Story() >> Read("The pad", "  \n")).asked == []


# For programs


def test_json_is_one_object_for_each_result():
    story = Story(as_json=True) >> Answered(Ask("1"), MESSAGE, output("1"))
    told = json.loads(story.commands[0].text)
    assert told["message"] == MESSAGE and told["process"] == PROCESS and told["result"]["Output"]["data"] == "1"
    story >> Answered(Ask("x y"), MESSAGE, Result(error="bad"))
    assert json.loads(story.commands[0].text)["result"]["Error"] == "bad" and story.session.failures == 1
    assert json.loads((story >> Refused(Missing("gone"))).commands[0].text) == {"error": "gone"}
    assert json.loads((story >> Heard(output("hi", news=True))).commands[0].text) == {"process": PROCESS, "news": "hi"}


def test_what_enter_sends():
    session = Session(PROCESS, ME)
    assert is_finished(session, "1 + 1") and is_finished(session, ".load x") and not is_finished(session, "f(")
    assert is_finished((Story() >> ".editor").session, "f(")
