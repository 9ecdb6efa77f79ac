"""A petition in the explorer: the tree from the click that laid it before the King to the coin that was paid for it."""

from cli.conftest import puna
from playwright.sync_api import expect

LAND_MS = 120_000  # Llama Land is raised after the rest
GRADED_MS = 60_000
CAUSES = """(node) => { const found = [];
    for (; node; node = document.querySelector(`#tree [data-id="${node.dataset.parent}"]`))
        found.unshift(node.dataset.action);
    return found }"""


def send(node, process: str, action: str, **tags: str) -> str:
    named = [word for name, value in tags.items() for word in ("--tag", f"{name.replace('_', '-')}={value}")]
    said = puna("process", "send", process, "--action", action, *named, "--json", home=node.home)
    assert said.status == 0, said.err
    return said.json()["message"]


def test_the_tree_of_a_petition_leads_from_the_click_to_the_coin(window, node):
    page = window.open()
    expect(page.locator("#to-land")).to_be_visible(timeout=LAND_MS)
    land = page.evaluate("async () => (await (await fetch('/network')).json()).land")
    gift = send(node, land["giver"], "GetDonation")
    window.open(f"message/{gift}")
    expect(page.locator("#tree")).to_contain_text("Credit-Notice")
    petition = send(
        node, land["coin"], "Transfer", Recipient=land["banker"], Quantity=str(10**12),
        X_Petition="Please help me feed the orphans.", X_Sender_Name="Ann",
    )  # fmt: skip
    window.open(f"message/{petition}")
    coin = page.locator('#tree [data-action="Grant-Notice"]')
    expect(coin).to_be_visible(timeout=GRADED_MS)  # the tree grows while it is looked at
    expect(coin).to_contain_text("LLAMA")
    way = iter(coin.evaluate(CAUSES))
    for step in ("Transfer", "Credit-Notice", "Petition", "Inference", "Inference-Response", "Grade-Petition", "Grant"):
        assert step in way, f"there is no {step} at its place between click and coin"
    coin.scroll_into_view_if_needed()
    window.picture("petition")


def test_an_answer_is_verified_where_it_was_asked(window):
    page = window.open()
    page.fill("textarea[name=prompt]", "Tell me a joke about cats")
    page.fill("input[name=temperature]", "0.8")
    page.click("#ask button.main")
    expect(page.locator("#receipt")).to_contain_text("Came back")
    page.click("#receipt button.verify")
    expect(page.locator(".verdict")).to_contain_text("the same answer, bit for bit", timeout=60_000)
    page.locator(".verdict").scroll_into_view_if_needed()
    window.picture("verified-answer")
    # The node may not have written its receipt yet; then the page reads what the answer says itself.
    window.wrong = [words for words in window.wrong if "404" not in words]
