"""The paid answer, as a user gets it."""

import shutil
import signal
import subprocess

import pytest
from cli.conftest import COMMAND, Up, puna

QUESTION = "What is the meaning of life?"


def winston(home) -> int:
    return int(puna("wallet", "balance", "--json", home=home).json()["winston"])


def copy_of(home, target):
    return shutil.copytree(home, target, ignore=shutil.ignore_patterns("*.sock", "lock"))


def test_a_fresh_home_answers_the_question_with_its_price_and_ids(tmp_path):
    said = puna("ask", QUESTION, "--tokens", 20, home=tmp_path / "home")
    assert said.status == 0, said.err
    answer, receipt = said.out.split("\n\n", 1)
    assert answer[0].isupper() and answer.rstrip()[-1] in ".!?"
    for name in ("fee", "model", "time", "transfer", "inference", "response", "token", "herder", "worker"):
        assert name in receipt


def test_json_is_one_object_with_all_that_was_promised(up):
    said = puna("ask", QUESTION, "--tokens", 20, "--json", home=up.home)
    assert said.status == 0, said.err
    told = said.json()
    assert set(told) == {
        "answer", "tokens", "model", "fee_winston", "paid_winston", "refund_winston",
        "reference", "messages", "processes", "seconds", "canonical",
    }  # fmt: skip
    assert set(told["messages"]) == {"transfer", "inference", "response"}
    assert set(told["processes"]) == {"token", "herder", "worker"}
    assert set(told["seconds"]) == {"total", "first_token", "generate"}
    assert told["canonical"] is True and 1 <= told["tokens"] <= 20
    assert told["processes"]["token"] == up.places["token"] and told["processes"]["worker"] in up.places["workers"]


def test_the_same_question_gives_the_same_answer_however_it_is_asked(up, raised, tmp_path):
    home = copy_of(raised, tmp_path / "home")
    streamed = puna("ask", QUESTION, "--tokens", 20, home=up.home).out.split("\n\n", 1)[0]
    whole = puna("ask", QUESTION, "--tokens", 20, "--no-stream", home=up.home).out.split("\n\n", 1)[0]
    embedded = puna("ask", QUESTION, "--tokens", 20, "--json", home=home).json()["answer"]
    again = puna("ask", QUESTION, "--tokens", 20, "--json", home=home).json()["answer"]
    assert streamed == whole == embedded == again


def test_the_fee_leaves_the_wallet_and_nothing_else_does(raised, tmp_path):
    home = copy_of(raised, tmp_path / "home")
    before = winston(home)
    told = puna("ask", QUESTION, "--tokens", 20, "--json", home=home).json()
    assert winston(home) == before - told["fee_winston"]
    assert told["paid_winston"] == 1 + 6 + 20, "base, six words, twenty tokens at one winston each"
    assert told["fee_winston"] == 1 + 6 + told["tokens"] == told["paid_winston"] - told["refund_winston"]


@pytest.mark.parametrize("process", ["token", "herder", "worker"])
def test_what_was_asked_can_be_verified_from_the_log(up, process):
    puna("ask", QUESTION, "--tokens", 20, home=up.home)
    said = puna("verify", process, "--json", home=up.home)
    assert said.status == 0, said.out + said.err
    told = said.json()
    assert told["agrees"] and told["replayed"] == told["assignments"] == told["attestations"] >= 2
    assert len(told["state_root"]) == 43


def test_a_process_by_its_id_is_verified_too(up):
    said = puna("verify", up.places["token"], home=up.home)
    assert said.status == 0 and "verified" in said.out and up.places["token"] in said.out


def test_stopping_with_a_signal_is_clean_and_the_network_comes_back_the_same(raised, tmp_path):
    home = copy_of(raised, tmp_path / "home")
    first = Up(home)
    assert puna("ask", QUESTION, "--tokens", 20, home=home).status == 0
    after_asking = winston(home)
    for how in (signal.SIGTERM, signal.SIGINT):
        said = first.stop(how)
        assert said.status == 0 and said.err == ""
        second = Up(home)
        same = ("token", "herder", "workers", "module", "model", "scheduler", "authority")
        assert [second.places[name] for name in same] == [first.places[name] for name in same]
        assert winston(home) == after_asking
        first = second
    first.stop()


def test_ctrl_c_in_the_middle_says_so_and_loses_nothing(raised, tmp_path):
    home = copy_of(raised, tmp_path / "home")
    before = winston(home)
    asking = subprocess.Popen(
        [*COMMAND, "ask", QUESTION, "--tokens", "20", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    asking.stdout.read(1)  # the first letter: it is paid, and the model is at work
    asking.send_signal(signal.SIGINT)
    _, err = asking.communicate()
    assert asking.returncode == 130
    assert len(err.decode().strip().splitlines()) == 1 and "goes on" in err.decode()
    # The request is finished by whichever node runs next, and is paid once.
    told = puna("ask", QUESTION, "--tokens", 20, "--json", home=home).json()
    assert winston(home) == before - 2 * told["fee_winston"]
