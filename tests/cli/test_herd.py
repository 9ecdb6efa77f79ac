"""Before paying and beside paying: `puna quote` and `puna herd`, as a user has them."""

import os
import pty
import signal
import subprocess

import pytest
from cli.conftest import COMMAND, Up, puna
from rich.console import Console
from services.herd_story import HERDER, HerdStory
from services.story import ALICE
from services.story_link import StoryLink

from puna.cli.herd import _page
from puna.services.herder.herd import herd as herd_of

QUESTION = "What is the meaning of life?"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A node whose herd these tests may order about."""
    node = Up(tmp_path_factory.mktemp("herd") / "home")
    yield node
    node.stop()


def quote(node, *words) -> dict:
    said = puna("quote", *words, "--json", home=node.home)
    assert said.status == 0, said.err
    return said.json()


def herd(node) -> dict:
    return puna("herd", "--json", home=node.home).json()


def test_a_quote_is_what_is_then_paid(own):
    told = quote(own, QUESTION, "--tokens", 20)
    paid = puna("ask", QUESTION, "--tokens", 20, "--json", home=own.home).json()
    assert told["price_winston"] == paid["paid_winston"] == 1 + 6 + 20
    assert told["prompt"] == {"count": 6, "counted": "words"}
    assert told["model_id"] in own.places["model"] or told["model"] == paid["model"]


def test_a_quote_for_a_named_model_counts_its_tokens(own):
    by_words = quote(own, QUESTION, "--tokens", 20)
    by_tokens = quote(own, QUESTION, "--tokens", 20, "--model", by_words["model"])
    assert by_tokens["prompt"]["counted"] == "tokens"
    paid = puna("ask", QUESTION, "--tokens", 20, "--model", by_words["model"], "--json", home=own.home).json()
    assert by_tokens["price_winston"] == paid["paid_winston"]


def test_a_quote_tells_place_time_and_memory_and_costs_nothing(own):
    before = herd(own)["credits"]
    told = quote(own, QUESTION, "--tokens", 20)
    assert told["queue"] == {"length": 0, "ahead": 0}
    assert told["workers"]["idle"] == told["workers"]["in_service"] == 2
    assert told["seconds"]["total"] == told["seconds"]["wait"] + told["seconds"]["generate"] > 0
    assert told["memory_bytes"]["weights"] > 4_000_000 > told["memory_bytes"]["context"] > 0
    assert told["balance_winston"] > 0 and herd(own)["credits"] == before


def test_the_time_of_a_quote_follows_what_was_measured(own):
    puna("ask", QUESTION, "--tokens", 20, home=own.home)
    assert quote(own, QUESTION, "--tokens", 20)["seconds"]["generate"] != 20 * 0.05, "the guess of a new herd"


def test_a_quote_reads_well(own):
    said = puna("quote", QUESTION, "--tokens", 20, home=own.home)
    assert "(1 + 1 x (6 words + 20 tokens)) x 1" in said.out
    for name in ("price", "model", "place", "time", "memory"):
        assert f"\n{name} " in f"\n{said.out}"


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["  "], "empty"),
        ([QUESTION, "--tokens", "0"], "--tokens 0"),
        ([QUESTION, "--tokens", "ten"], "--tokens 'ten'"),
        ([QUESTION, "--tokens", "100000"], "too many"),
        ([QUESTION, "--model", "no-such-model"], "no model"),
        (["x" * 40_000], "32768"),
    ],
)
def test_what_cannot_be_run_has_no_price(own, words, wrong):
    said = puna("quote", *words, home=own.home)
    assert said.status == 1 and wrong in said.err and not said.out


def test_the_herd_shows_its_books_and_what_each_worker_earned(own):
    before = herd(own)
    paid = puna("ask", QUESTION, "--tokens", 20, "--json", home=own.home).json()
    after = herd(own)
    assert after["earned"] - before["earned"] == paid["fee_winston"]
    assert after["credits"] == after["earned"] + after["refunded"] + after["held"]
    assert sum(int(worker["earned"]) for worker in after["workers"]) == after["earned"]
    assert {worker["state"] for worker in after["workers"]} == {"idle"}


def test_the_herd_as_text_fits_a_terminal(own):
    said = puna("herd", home=own.home, env=os.environ | {"COLUMNS": "80"})
    assert "2 workers" in said.out and "0 waiting" in said.out and "credits" in said.out
    assert "fails" in said.out and "…\n" not in said.out


async def test_of_a_worker_that_runs_several_jobs_at_once_the_herd_tells_how_many():
    it = HerdStory(workers=0)
    it.register(0, Batch="8")
    for _ in range(4):
        it.pay(ALICE, 1000)
    it.answer()
    now = await herd_of(StoryLink(it), HERDER)
    (worker,) = now.workers
    assert (worker.state, worker.job, worker.jobs) == ("busy", "job-2", 3)
    assert (now.running, now.queue_length) == (3, 0)
    console = Console(width=80)
    with console.capture() as shown:
        console.print(_page(now, 0))
    assert "job-2 +2" in shown.get()


def test_the_herd_is_drawn_live_until_stopped(own):
    terminal, inside = pty.openpty()
    watching = subprocess.Popen([*COMMAND, "herd", "--home", str(own.home)], stdout=inside, stderr=inside)
    os.close(inside)
    seen = b""
    while b"waiting" not in seen:
        seen += os.read(terminal, 4096)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=30) == 0
    assert b"workers" in seen
    os.close(terminal)


def test_the_owner_pauses_the_herd_and_nobody_pays_in_vain(own):
    assert puna("herd", "pause", "--json", home=own.home).json()["action"] == "Paused"
    try:
        assert herd(own)["paused"] is True
        refused = puna("ask", QUESTION, home=own.home)
        assert refused.status == 1 and "paused" in refused.err
    finally:
        assert puna("herd", "resume", home=own.home).status == 0
    assert puna("ask", QUESTION, "--tokens", 5, home=own.home).status == 0


def test_the_owner_sets_prices(own):
    assert puna("herd", "price", "--base", 5, "--token", 2, home=own.home).status == 0
    try:
        assert quote(own, QUESTION, "--tokens", 20)["price_winston"] == 5 + 2 * 26
    finally:
        puna("herd", "price", "--base", 1, "--token", 1, home=own.home)
    assert puna("herd", "price", home=own.home).status == 1
    assert "refused" in puna("herd", "price", "--base", -1, home=own.home).err


def test_a_drained_worker_gets_nothing_more_until_it_is_added_again(own):
    worker = own.places["workers"][0]
    assert puna("herd", "drain", worker, "--json", home=own.home).json()["State"] == "retired"
    told = puna("ask", QUESTION, "--tokens", 5, "--json", home=own.home).json()
    assert told["processes"]["worker"] != worker
    assert puna("herd", "add", worker, "--json", home=own.home).json()["State"] == "idle"
    assert "no such worker" in puna("herd", "drain", "x" * 43, home=own.home).err


def test_the_owner_takes_out_what_was_earned_and_no_more(own):
    puna("ask", QUESTION, "--tokens", 5, home=own.home)
    state, recipient = herd(own), "A" * 43
    left = state["earned"] - state["withdrawn"]
    assert "At most" in puna("herd", "withdraw", recipient, "--winston", left + 1, home=own.home).err
    assert puna("herd", "withdraw", recipient, home=own.home).status == 0
    assert herd(own)["withdrawn"] == state["earned"]
    balances = (puna("wallet", "balance", recipient, "--json", home=own.home).json()["winston"] for _ in range(20))
    assert str(left) in balances, "the payment is on its way when the herder has answered"


def test_a_watch_needs_a_node(tmp_path):
    terminal, inside = pty.openpty()
    done = subprocess.run([*COMMAND, "herd", "--home", str(tmp_path)], stdout=inside, stderr=subprocess.PIPE)
    os.close(inside)
    os.close(terminal)
    assert done.returncode == 1 and b"puna up" in done.stderr
