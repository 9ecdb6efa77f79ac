"""The console as a person has it: typed on a pseudo-terminal, one text waited for after the other."""

import re
import shutil
import signal

import pytest
from cli.aos.pseudo import Terminal
from cli.conftest import Up, puna


def entered(terminal: Terminal) -> Terminal:
    terminal.sees(".exit leaves.")
    terminal.sees("]>")
    return terminal


def test_41_a_name_makes_a_process_and_the_name_finds_it_again(up):
    with Terminal("aos", "reconnect", home=up.home) as first:
        first.sees("New process reconnect")
        entered(first).enters("Answer = 6 * 7")
        first.enters("'the answer is ' .. Answer").sees("the answer is 42")
        assert first.enters(".exit").ends() == 0
    with Terminal("aos", "reconnect", home=up.home) as second:
        assert "New" not in second.sees("Process reconnect")
        entered(second).enters("'it was ' .. Answer").sees("it was 42")
        assert second.types("\x04").ends() == 0  # Ctrl-D


def test_lines_are_edited_remembered_and_completed_from_the_process(up):
    with Terminal("aos", "editing", home=up.home) as person:
        entered(person)
        person.enters("function Greeting.hello(name)")  # wants more
        person.enters('return "hello " .. name')
        person.enters("end").sees("attempt to index a nil value (global 'Greeting')")
        person.sees("^^^^^^^^")
        person.enters("Greeting = {}").enters("function Greeting.hello(name) return 'hello ' .. name end")
        person.enters("'sent ' .. 2").sees("sent 2")
        person.types("Greeting.he\t").sees("llo")
        person.enters("('you')").sees("hello you")
        person.types("\x1b[A\x1b[A").sees("'sent ' .. 2")  # up, up
        person.enters("").sees("sent 2")
        assert person.enters(".exit").ends() == 0
    with Terminal("aos", "editing", home=up.home) as again:
        entered(again)
        again.types("\x1b[A").sees(".exit")
        again.types("\x1b[A").sees("'sent ' .. 2")
        again.types("\x03")  # Ctrl-C throws the line away
        assert again.enters(".exit").ends() == 0
    (history,) = [path for path in (up.home / "aos").iterdir() if "Greeting = {}" in path.read_text()]
    assert history.stat().st_mode & 0o077 == 0 or (up.home / "aos").stat().st_mode & 0o077 == 0


def test_41_messages_of_others_appear_while_a_line_is_being_typed_and_the_prompt_counts_them(up):
    """Statement 41: within 3 seconds; here the line that is typed stays, and is sent whole."""
    process = puna("aos", "feed", "--run", "ao.id", "--json", home=up.home).json()["process"]
    with Terminal("aos", "feed", home=up.home) as person:
        entered(person).types("'half ' ..")
        said = puna("wallet", "send", process, 1000, home=up.home)
        assert said.status == 0, said.err
        person.sees("New Message From")
        person.sees("Action = Credit-Notice")
        person.sees("[Inbox:2]")
        person.enters(" 'whole'").sees("half whole")
        person.enters("Inbox[2].Quantity .. ' winston'").sees("1000 winston")
        person.enters(".exit")
        assert person.ends() == 0


def test_41_what_a_person_has_at_hand(up, tmp_path):
    """Files with their requires, the editor, the pad, the past, a fork, a trace, a profile: one sitting."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "step.lua").write_text("return { size = 5 }\n")
    (tmp_path / "main.lua").write_text(
        'local step = require("lib.step")\nCount = (Count or 0) + step.size\n'
        'Handlers.add("Boom", "Boom", function(msg)\n  local nothing\n  return nothing.field\nend)\n'
        "return 'count is ' .. Count\n"
    )
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "Padded = \'from the pad\'; return Padded" > "$1"\n')
    editor.chmod(0o700)
    with Terminal("aos", "workbench", home=up.home, EDITOR=str(editor)) as person:
        entered(person)
        person.enters(f".load {tmp_path}/main.lua").sees("count is 5")
        person.enters(f".load {tmp_path}/main.lua").sees("count is 10")
        person.enters(".editor").sees(".done")
        person.enters("Count = Count + 1").enters("return 'edited to ' .. Count").enters(".done").sees("edited to 11")
        person.enters(".pad").sees("from the pad")
        person.enters("Send({ Target = ao.id, Action = 'Boom' })").sees("failed:")
        person.sees("main.lua:5: attempt to index a nil value (local 'nothing')")
        person.sees("^^^^^^^")
        person.enters(".trace").sees("Eval -> workbench")
        person.sees("Boom -> workbench")
        person.enters(".history 2").sees("Boom")
        person.enters(".dump Count").sees("11")
        person.enters(".dump").sees('Padded = "from the pad"')
        person.enters(".profile for i = 1, 100 do tostring(i) end").sees("tostring")
        person.sees("instructions of the Lua machine")
        person.enters(".at 1").sees("after message 1")
        person.enters("'then ' .. Count").sees("then 5")
        person.enters(".fork 1 twin").sees("(twin) goes on from message 1")
        person.enters(".fork").sees("(workbench-1) goes on from message 1")
        person.enters(".now").enters("'now ' .. Count").sees("now 11")
        person.enters(".dryrun").enters("Count = 0; return 'tried ' .. Count").sees("tried 0")
        person.enters(".dryrun").enters("'still ' .. Count").sees("still 11")
        assert person.enters(".exit").ends() == 0
    with Terminal("aos", "twin", home=up.home) as person:
        entered(person).enters("'twin of ' .. Count .. ', ' .. Name").sees("twin of 5, twin")
        person.enters("Count = 77; return Owner == Inbox[1].Owner and 'mine'").sees("mine")
        assert person.enters(".exit").ends() == 0
    twin = puna("aos", "twin", "--run", "Count", "--json", home=up.home).json()
    assert twin["result"]["Output"]["data"] == "77"
    said = puna("verify", twin["process"], "--json", home=up.home)
    assert said.status == 0 and said.json()["agrees"], said.out + said.err


def test_mistakes_are_named_and_the_console_stays(up, tmp_path):
    (tmp_path / "a.lua").write_text('require("b")')
    (tmp_path / "b.lua").write_text('require("a")')
    with Terminal("aos", "mistakes", home=up.home, EDITOR="/nowhere/editor") as person:
        entered(person)
        person.enters("x y").sees("syntax error near 'y'")
        person.enters("error('boom')").sees("""[string "aos"]:1: boom""")
        person.enters(f".load {tmp_path}/none.lua").sees("There is no file")
        person.enters(f".load {tmp_path}/a.lua").sees("a.lua -> b.lua -> a.lua")
        person.enters(".load-blueprint nosuch").sees("There is no blueprint")
        person.enters(".pad").sees("does not start")
        person.enters(".at 999").sees("no message 999: its newest is")
        person.enters(".trace nosuch").sees("No message of this process begins with 'nosuch'")
        person.enters(".nosuch").sees("There is no command .nosuch")
        person.enters("coroutine.wrap(function() error('inside') end)()").sees("inside")
        person.enters("'still ' .. 'here'").sees("still here")
        assert person.enters(".exit").ends() == 0


def test_a_network_that_goes_away_is_told_the_line_waits_and_is_sent_when_it_is_back(raised, tmp_path):
    home = shutil.copytree(raised, tmp_path / "home", ignore=shutil.ignore_patterns("*.sock", "lock"))
    first = Up(home)
    second = None
    try:
        with Terminal("aos", home=home) as person:
            entered(person).enters("Kept = 'kept'; return 'stored'").sees("stored")
            first.stop(signal.SIGKILL)
            person.sees("The network is away.")
            person.enters("Kept .. ' and sent'")
            second = Up(home)
            person.sees("The network is back.")
            person.sees("kept and sent")
            second.stop(signal.SIGKILL)
            person.sees("The network is away.")
            person.enters("'taken ' .. 'back'").sees("It is sent when the network is back; Ctrl-C stops waiting.")
            person.types("\x03").sees("Stopped before")  # Ctrl-C
            person.sees("'taken ' .. 'back'")  # on the line again
            second = Up(home)
            person.sees("The network is back.")
            person.types("\r").sees("taken back")
            assert person.enters(".exit").ends() == 0
    finally:
        for node in (first, second):
            if node is not None and node.process.poll() is None:
                node.stop()


def test_without_a_node_the_console_brings_one_up_that_other_commands_find(raised, tmp_path):
    home = shutil.copytree(raised, tmp_path / "home", ignore=shutil.ignore_patterns("*.sock", "lock"))
    with Terminal("aos", home=home) as person:
        entered(person).enters("'id ' .. ao.id").sees("id ")
        said = puna("aos", "default", "--run", "'also ' .. 'here'", home=home)
        assert (said.status, said.out.strip()) == (0, "also here"), said.err
        assert person.enters(".exit").ends() == 0
    assert not (home / "running.json").exists()


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_stay_away_where_they_are_not_wanted(up, environment):
    with Terminal("aos", "plainly", home=up.home, **environment) as person:
        entered(person).enters("{ 1, 'a' }").sees("{ 1, ")
        person.enters("x y").sees("syntax error")
        person.enters(".exit")
        person.ends()
        assert b"\x1b[31m" not in person.raw and b"\x1b[32m" not in person.raw and b"\x1b[0;31m" not in person.raw


def test_a_choice_is_offered_among_processes_of_one_name(up, tmp_path):
    wallet = tmp_path / "wallet.json"
    assert puna("wallet", "new", wallet).status == 0
    for colour in ("red", "blue"):
        process = puna("aos", "origin", "--wallet", wallet, "--run", f"Colour = '{colour}'", "--json", home=up.home)
        fork = Terminal("aos", process.json()["process"], "--wallet", wallet, home=up.home)
        with fork:
            entered(fork).enters(".fork 1 twins").sees("goes on from message 1")
    said = puna("aos", "twins", "--wallet", wallet, "--run", "1", home=up.home)
    assert said.status == 1 and "Several processes are called twins" in said.err
    with Terminal("aos", "twins", "--wallet", wallet, home=up.home) as person:
        person.sees("Several processes are called twins")
        person.sees("a fork of")
        person.sees("Which")
        entered(person.enters("2")).enters("'I am ' .. Colour").sees("I am red")
        assert person.enters(".exit").ends() == 0


def test_the_whole_demo_as_the_article_tells_it(up):
    """Create a process, receive wAR, install the package, ask, see the answer."""
    with Terminal("aos", "article", home=up.home) as person:
        created = person.sees(".exit leaves.")
        process = re.search(r"New process article\s+([\w-]{43})", created)[1]
        person.sees("]>")

        said = puna("wallet", "send", process, 10**9, home=up.home)
        assert said.status == 0 and said.out.startswith("0.001 wAR"), said.err
        person.sees("New Message From")
        person.sees("Action = Credit-Notice")
        person.enters(f"Send({{ Target = '{up.places['token']}', Action = 'Balance' }})")
        person.sees("[Inbox:3]")
        person.enters("'I have ' .. Inbox[#Inbox].Balance .. ' winston'").sees("I have 1000000000 winston")

        person.enters('APM.install("@puna/Llama-Herder")').sees("Download requested for @puna/Llama-Herder")
        person.sees("Downloaded @puna/Llama-Herder")
        person.enters("OUTPUTS = {}")
        person.enters('Llama.run("What is the meaning of life?", 20, function(text) table.insert(OUTPUTS, text) end)')
        # The answer comes when it comes: it is asked for until it is there, as a person would.
        while person.enters("'heard=' .. #OUTPUTS").sees_one_of("heard=0", "heard=1") != "heard=1":
            pass
        answer = puna("ask", "What is the meaning of life?", "--tokens", 20, "--json", home=up.home).json()["answer"]
        person.enters("OUTPUTS").sees(answer.strip().split("\n")[0][:20])
        # The same again, heard piece by piece while the model speaks.
        person.enters("PIECES, WHOLE = '', nil")
        person.enters(
            'Llama.run("What is the meaning of life?", 20, function(text) WHOLE = text end, nil, nil, '
            "{ Piece = 4, Stream = function(piece) PIECES = PIECES .. '[' .. piece .. ']' end })"
        )
        while (
            person.enters("'whole=' .. tostring(WHOLE ~= nil)").sees_one_of("whole=false", "whole=true") != "whole=true"
        ):
            pass
        same = "'same=' .. tostring(WHOLE == OUTPUTS[1] and select(2, PIECES:gsub('%[', '')) > 1 and "
        person.enters(same + "WHOLE:find((PIECES:gsub('[%[%]]', '')), 1, true) == 1)").sees("same=true")
        assert person.enters(".exit").ends() == 0


def test_watching_shows_what_a_process_says_until_ctrl_c(up):
    process = puna("aos", "watched", "--run", "ao.id", "--json", home=up.home).json()["process"]
    with Terminal("aos", "--watch", process, home=up.home) as watcher:
        watcher.sees("Watching")
        assert puna("wallet", "send", process, 1000, home=up.home).status == 0
        watcher.sees("Action = Credit-Notice")
        watcher.types("\x03")
        assert watcher.ends() == 130


def test_one_wallet_may_look_at_everything_of_another_and_change_nothing(up, tmp_path):
    wallet = tmp_path / "wallet.json"
    assert puna("wallet", "new", wallet).status == 0
    process = puna("aos", "glass", "--run", "Secret = 'none'", "--json", home=up.home).json()["process"]
    with Terminal("aos", process, "--wallet", wallet, home=up.home) as person:
        person.sees("not to your wallet")
        entered(person).enters("'its secret is ' .. Secret").sees("its secret is none")
        person.enters("Secret = 'taken'").enters(".history 1").sees("Eval")
        person.enters("'it is still ' .. Secret").sees("it is still none")
        assert person.enters(".exit").ends() == 0
