"""The explorer in headless Chromium, on a real node: what a person sees, asks and follows."""

import asyncio
import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli.conftest import Up, puna
from playwright.sync_api import expect
from web.browser import PHONE, Window

from puna.client import connect

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


@pytest.fixture(scope="module")
def asked(node):
    """A question that was asked from the command line, with the ids of its messages."""
    said = puna("ask", "What is a llama?", "--json", home=node.home)
    assert said.status == 0, said.err
    return said.json()


def ask(page, prompt: str, temperature: str = "0") -> None:
    page.fill("textarea[name=prompt]", prompt)
    page.fill("input[name=temperature]", temperature)
    page.click("#ask button.main")


def test_a_new_visitor_asks_gets_a_gift_a_streamed_answer_and_a_receipt(window):
    page = window.open()
    expect(page.locator("#feed li").first).to_be_visible()
    # Every state of the answer is noted: a streamed one grows.
    page.evaluate("""() => { window.grown = new Set(); new MutationObserver(() => {
        const answer = document.querySelector("#answer"); if (answer) window.grown.add(answer.textContent.length);
    }).observe(document.body, { subtree: true, childList: true, characterData: true }) }""")
    ask(page, "What is a llama?")
    expect(page.locator("#receipt")).to_contain_text("winston")
    expect(page.locator("#answer")).to_contain_text("Andes")
    # Nothing, its first word, and the rest in as many pieces as the engine is slow.
    assert page.evaluate("window.grown.size") > 2, "the answer came in one piece"
    expect(page.locator("#receipt")).to_contain_text("puna-demo")
    window.picture("ask")
    page.locator("#receipt a").nth(1).click()  # the payment
    expect(page.locator("#tree")).to_contain_text("Inference-Response")


@pytest.fixture
def lonely(tmp_path):
    """A node with one worker."""
    node = Up(tmp_path / "home", "--workers", 1)
    yield node
    node.stop()


@contextmanager
def engine_held(node):
    """Nothing is computed meanwhile: the process of the node's engine stands still."""
    engine = next(pid for pid in children(node.process.pid) if "puna.llm" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(engine, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(engine, signal.SIGCONT)


def children(process: int) -> list[int]:
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(pid) for each in lists for pid in each.read_text().split()]


def ask_all(node, prompts: list[str]) -> list[str]:
    async def answers():
        async with connect(node.places["gateway"], wallet=node.places["wallet"]["path"]) as ao:
            return await asyncio.gather(*(ao.ask(prompt, 60) for prompt in prompts))

    return [answer.text for answer in asyncio.run(answers())]


def until_so_many_wait(node, count: int) -> None:
    while puna("herd", "--json", home=node.home).json()["queue_length"] < count:
        pass


# A page with this hears what is stored for wallets, so the end of its question, when `goOn()` is called.
ENDS_ARE_HELD_BACK = """window.EventSource = class extends EventSource {
  set onmessage(hear) {
    const held = [];
    window.goOn = () => { window.goOn = null; held.forEach(hear) };
    super.onmessage = (told) => window.goOn && JSON.parse(told.data).kind === "stored" ? held.push(told) : hear(told);
  }
}"""


def test_of_questions_that_are_answered_together_the_page_shows_the_answer_to_its_own(browser, lonely):
    context = browser.new_context()
    context.add_init_script(ENDS_ARE_HELD_BACK)
    window = Window(context, lonely.places["gateway"])
    page = window.open()
    with ThreadPoolExecutor() as others, engine_held(lonely):
        before = others.submit(ask_all, lonely, ["Tell me a joke about cats", "Tell me a story", "Who are you?"])
        until_so_many_wait(lonely, 2)
        ask(page, "What is a llama?")
        until_so_many_wait(lonely, 3)
        after = others.submit(ask_all, lonely, ["Tell me a joke about dogs", "What is the sea?"])
        until_so_many_wait(lonely, 5)
    told = before.result() + after.result()
    answer = page.locator("#answer")
    expect(answer).to_have_text(re.compile("^A llama is .* softly.$"))
    streamed = answer.text_content()
    assert streamed not in told
    page.evaluate("goOn()")
    expect(page.locator("#receipt")).to_contain_text("winston")
    assert answer.text_content() == streamed
    with connect(lonely.places["gateway"]) as ao:
        response = ao.item(page.locator("#receipt a").last.get_attribute("href").rpartition("/")[2])
        inference = ao.item(response.tags["Inference"])
    assert response.text == streamed
    assert inference.tags["Action"] == "Inference-Batch"
    assert [order["Job"] for order in json.loads(inference.text)].index(response.tags["Job"]) == 2
    # Beside it, the live feed tells the answers one by one, and the page of the herd has them all.
    live = page.locator(f'#feed li:has(a[href="#/message/{inference.id}"]) .said').all_text_contents()
    assert len(set(live)) == 5 and {streamed} < set(live) < {streamed, *told}
    page = window.open("herd")
    expect(page.locator("ul.feed li")).to_have_count(len(told) + 1)
    expect(page.locator(f'ul.feed a[href="#/message/{response.id}"]')).to_contain_text("tokens")
    context.close()
    assert window.wrong == []


def test_what_happens_elsewhere_is_seen_at_once(window, node):
    page = window.open()
    expect(page.locator("#feed li").first).to_be_visible()
    said = puna("process", "spawn", "--name", "seen live", "--json", home=node.home)
    process = said.json()["process"]
    row = page.locator(f'#feed li:has(a[href="#/message/{process}"])')
    expect(row).to_contain_text("New process seen live")
    expect(row.locator(".state")).to_contain_text("gas")


def test_a_message_shows_the_tree_from_click_to_coin(window, asked):
    page = window.open(f"message/{asked['messages']['response']}")
    tree = page.locator("#tree")
    expect(tree.locator(".node.here")).to_have_attribute("data-action", "Inference-Response")
    causes = """(node) => { const found = [];
        for (; node; node = document.querySelector(`#tree [data-id="${node.dataset.parent}"]`))
            found.unshift(node.dataset.action);
        return found }"""
    chain = ["Transfer", "Credit-Notice", "Inference", "Inference-Response", "Inference-Response"]
    assert tree.locator(".node.here").evaluate(causes) == chain
    window.picture("message")
    page.click("#tree a:has-text('Transfer')")
    expect(page.locator("h1")).to_contain_text("Transfer")
    expect(page.locator("#result")).to_contain_text("Credit-Notice")


def test_a_coins_process_shows_schedule_balances_gas_and_reads_its_state(window, node, asked):
    page = window.open(f"process/{node.places['token']}")
    expect(page.locator("h1")).to_contain_text("wAR")
    expect(page.locator("#schedule")).to_contain_text("Mint")
    expect(page.locator("#schedule")).to_contain_text("#0")
    expect(page.locator("#balances")).to_contain_text("Llama herder")
    expect(page.locator("figure .uplot canvas").first).to_be_visible()
    page.fill("input[name=action]", "Balance")
    page.click("summary:has-text('Further tags')")
    page.fill("textarea[name=tags]", f"Recipient={node.places['wallet']['address']}")
    page.click("#read button.main")
    expect(page.locator("#state")).to_contain_text("Balance-Response")
    page.fill("textarea[name=tags]", "nonsense")
    page.click("#read button.main")
    expect(page.locator("#state")).to_contain_text("Write Name=Value")
    window.picture("process")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("herd", "Nobody waits"),
        ("models", "puna-demo"),
        ("blocks", "Block 0"),
        ("block/0", "Hash"),
        ("verify", "What is checked"),
        ("wallet/{wallet[address]}", "wAR"),
        ("item/{module}", "application/wasm"),
    ],
)
def test_every_page_shows_what_it_is_for_and_fits_a_phone(window, node, asked, place, words):
    page = window.open(place.format(**node.places))
    expect(page.locator("main")).to_contain_text(words)
    window.picture(place.split("/")[0])
    page.set_viewport_size(PHONE)
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")  # charts follow a moment later
    named = "(each) => each.hidden || each.textContent.trim() || each.labels?.length || each.ariaLabel"
    unnamed = page.locator("button, a, input, select, textarea").evaluate_all(
        f"(all) => all.filter((each) => !({named})(each)).length"
    )
    assert unnamed == 0, "something cannot be told apart by one who does not see it"


def test_the_herd_page_tells_workers_prices_and_what_was_answered(window, node, asked):
    page = window.open("herd")
    expect(page.locator("#workers tbody tr")).to_have_count(len(node.places["workers"]))
    expect(page.locator("main")).to_contain_text("1 winston")
    expect(page.locator(f'a[href="#/message/{asked["messages"]["response"]}"]')).to_contain_text("tokens")


def test_search_finds_by_name_by_id_and_by_the_keyboard_alone(window, node, asked):
    page = window.open()
    expect(page.locator("#feed li").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("herd")
    expect(page.locator("#search-hits [role=option]").first).to_contain_text("Llama herder")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Process Llama herder")
    for id, title in (
        (asked["messages"]["transfer"], "Message"),
        (node.places["token"], "Process wAR"),
        (node.places["wallet"]["address"], "Wallet"),
        ("0", "Block 0"),
    ):
        page.fill("#search-text", id)
        expect(page.locator("#search-hits [role=option]").first).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text(title)
    page.fill("#search-text", "no such thing")
    expect(page.locator("#search-hits")).to_contain_text("Nothing is called that")


def test_names_and_texts_of_strangers_are_text(window, node):
    said = puna("process", "spawn", "--name", HOSTILE, "--tag", f"Extra={HOSTILE}", "--json", home=node.home)
    process = said.json()["process"]
    sent = puna("process", "send", process, "--tag", f"Action={HOSTILE}", "--data", HOSTILE, "--json", home=node.home)
    message = sent.json()["message"]
    page = window.open()
    expect(page.locator("#feed")).to_contain_text("<img src=x")
    for place in (f"process/{process}", f"message/{message}", f"wallet/{node.places['wallet']['address']}"):
        window.open(place)
        expect(page.locator("main")).to_contain_text("<img src=x")
    page.fill("#search-text", "onerror")
    expect(page.locator("#search-hits")).to_contain_text("<img src=x")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize(
    "place", ["process/nothing", "message/%3Cscript%3E", "block/-1", "wallet", "nowhere", "block/99999999"]
)
def test_a_page_that_is_not_there_says_so(window, place):
    page = window.open(place)
    expect(page.locator("main")).to_contain_text(
        re.compile("There is no|no height|not found|Invalid|could not be shown", re.I)
    )
    window.wrong = [words for words in window.wrong if "status of 4" not in words]  # the node's own refusals


def test_the_page_says_when_the_node_is_away_and_goes_on_when_it_is_back(window):
    window.page.route("**/events", lambda route: route.abort())
    page = window.open()
    expect(page.locator("#connection")).to_contain_text("does not answer")
    page.unroute("**/events")
    expect(page.locator("#connection")).to_be_hidden()
    window.wrong = [words for words in window.wrong if "ERR_FAILED" not in words]


def test_without_the_files_of_others_the_page_says_what_is_missing(window, asked):
    window.page.route("**/vendor/uplot.js", lambda route: route.fulfill(status=404, body="There is no file"))
    page = window.open("process/" + asked["processes"]["token"])
    expect(page.locator("figure.card")).to_contain_text("Charts are missing in this build")
    window.wrong = [words for words in window.wrong if "404" not in words]
