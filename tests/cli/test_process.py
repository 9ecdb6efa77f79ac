"""Processes by hand, as a user has them: the real command beside a running node, and with none."""

import json
import signal
import subprocess

import pytest
from cli.conftest import COMMAND, puna
from cli.test_ask import copy_of
from cli.test_bad_input import refused

from puna.arweave.wallet import new_ed25519_wallet, save_wallet

COUNTER = "Count = Count or 0\nHandlers.add('inc', 'Inc', function(msg) Count = Count + tonumber(msg.By or 1) end)\n"


@pytest.fixture(scope="module")
def counter(up, tmp_path_factory) -> str:
    program = tmp_path_factory.mktemp("lua") / "counter.lua"
    program.write_text(COUNTER)
    said = puna("process", "spawn", program, "--name", "Counter", "--tag", "Colour=red", home=up.home)
    assert said.status == 0, said.err
    return said.out.strip()


def test_a_process_is_spawned_from_a_file_and_found_again(up, counter):
    assert counter in puna("process", "ls", home=up.home).out.splitlines()[0]
    shown = puna("process", "show", counter, "--json", home=up.home).json()
    assert (shown["id"], shown["name"], shown["owner"]) == (counter, "Counter", up.places["wallet"]["address"])
    assert ["Colour", "red"] in shown["tags"] and shown["authorities"] == [up.places["authority"]]
    assert puna("process", "result", counter, home=up.home).status == 0


def test_messages_are_sent_their_results_read_and_all_of_it_listed(up, counter):
    sent = puna("process", "send", counter, "--action", "Inc", "--tag", "By=41", "--json", home=up.home).json()
    assert sent["error"] is None and sent["process"] == counter
    assert puna("process", "eval", counter, "Count = Count + 1; return Count", home=up.home).out.strip() == "42"
    assert puna("process", "result", counter, sent["message"], "--json", home=up.home).json()["error"] is None
    log = puna("process", "log", counter, "--after", "0", "--json", home=up.home).json()["messages"]
    assert [place["nonce"] for place in log] == list(range(1, len(log) + 1)) and log[0]["id"] == sent["message"]
    assert ["By", "41"] in log[0]["tags"]


def test_standing_programs_go_by_their_names_and_dry_runs_leave_no_message(up):
    before = len(puna("process", "log", "herder", "--json", home=up.home).json()["messages"])
    asked = puna("process", "dry-run", "herder", "--action", "Info", "--json", home=up.home).json()
    assert ["Action", "Info-Response"] in asked["messages"][0]["tags"]
    assert asked["process"] == up.places["herder"]
    assert len(puna("process", "log", "herder", "--json", home=up.home).json()["messages"]) == before


def test_a_failing_process_is_told_with_a_status_of_1(up, counter):
    said = puna("process", "eval", counter, "error('no grass')", home=up.home)
    assert said.status == 1 and "The process failed" in said.err and "no grass" in said.err
    said = puna("process", "eval", counter, "error('no grass')", "--json", home=up.home)
    assert said.status == 1 and "no grass" in said.json()["error"]


def test_a_network_elsewhere_is_reached_by_its_gateway_with_another_wallet(up, counter, tmp_path):
    save_wallet(new_ed25519_wallet(), tmp_path / "other.json")
    there = ("--url", up.places["gateway"], "--wallet", tmp_path / "other.json")
    assert puna("process", "ls", *there).out == ""
    spawned = puna("process", "spawn", *there)
    assert spawned.status == 0, spawned.err
    assert spawned.out.strip() in puna("process", "ls", *there).out
    refused(puna("process", "send", counter, "--url", up.places["gateway"]), "no wallet")


def test_a_process_is_watched_until_the_user_has_enough(up, counter):
    words = [*COMMAND, "process", "watch", counter, "--json", "--home", str(up.home)]
    watching = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "Listening" in watching.stderr.readline()
    sent = puna("process", "send", counter, "--json", home=up.home).json()
    events = []
    while not events or events[-1]["kind"] != "evaluated":
        events.append(json.loads(watching.stdout.readline()))
    assert {event["process"] for event in events} == {counter} and events[-1]["message"] == sent["message"]
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate()
    assert watching.returncode == 130 and "Traceback" not in err, err


def test_without_a_node_the_network_of_the_home_is_embedded(raised, tmp_path):
    home = copy_of(raised, tmp_path / "home")
    spawned = puna("process", "spawn", "--json", home=home)
    assert spawned.status == 0, spawned.err
    assert puna("process", "eval", spawned.json()["process"], "return 6 * 7", home=home).out.strip() == "42"


@pytest.mark.parametrize(
    "words, told",
    [
        (("show", "nope"), "'nope' is not an id"),
        (("send", "token", "--tag", "Quantity"), "--tag 'Quantity' is no tag"),
        (("send", "token", "--data", "x", "--data-file", "y"), "Both --data and --data-file"),
        (("send", "token", "--data-file", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("spawn", "nowhere.lua"), "nowhere.lua cannot be read"),
        (("ls", "--url", "localhost:4000", "--wallet", "nowhere.json"), "no wallet file nowhere.json"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_started(words, told, tmp_path):
    home = [] if "--url" in words else ["--home", tmp_path / "home"]
    refused(puna("process", *words, *home), told)
    assert not (tmp_path / "home").exists()


def test_an_id_that_begins_with_a_dash_is_an_id(up):
    dashed = "-" + "A" * 42
    for words in (("show", dashed), ("log", dashed), ("result", "token", dashed), ("eval", dashed, "1"),
                  ("send", dashed, "--tag", "A=b")):  # fmt: skip
        refused(puna("process", *words, home=up.home), dashed)
    assert "No such option" in puna("process", "show", "-x", home=up.home).err


def test_what_is_not_there_is_told(up):
    refused(puna("process", "show", "A" * 43, home=up.home), "A" * 43)
    refused(puna("process", "send", "A" * 43, home=up.home), "A" * 43)
    refused(puna("process", "ls", "--url", "http://127.0.0.1:9", home=up.home), "Both --url and --home")
    refused(puna("process", "ls", "--url", "http://127.0.0.1:9"), "not within reach")
