"""Verifying answers in headless Chromium: its parts against those in Python, and whole receipts, true and not."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect
from web.receipts import receipt

from puna.arweave.dataitem import decode_item, verify_item
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.llm.sampler import GREEDY, Sampling, sample

# --- the parts, against those in Python ---


def numbers(logits) -> list[float]:
    return [float(each) for each in logits]


def test_the_sampler_of_the_browser_chooses_what_the_nodes_does(window):
    chance = np.random.default_rng(6)
    cases = []
    for step in range(300):
        logits = (chance.normal(size=40) * chance.choice([0.1, 3, 30])).astype(np.float32)
        logits[chance.integers(40, size=4)] = logits[0]  # ties
        logits[3:5] = [0.0, -0.0]
        options = {
            "temperature": float(chance.choice([0, 0.05, 0.7, 1, 2, 100])),
            "seed": int(chance.integers(-(2**62), 2**62)),
            "top_p": float(chance.choice([0.01, 0.5, 0.95, 1])), "top_k": int(chance.choice([0, 1, 3, 40])),
        }  # fmt: skip
        cases.append((logits, options, step))
    told = [[numbers(logits), {**options, "seed": str(options["seed"])}, step] for logits, options, step in cases]
    chosen = window.open("verify").evaluate(
        """async (cases) => { const { sample } = await import("/web/verify/sampler.js");
           return cases.map(([logits, options, step]) => sample(Float32Array.from(logits), options, step)) }""",
        told,
    )
    assert chosen == [sample(logits, Sampling(**options), step) for logits, options, step in cases]


def test_items_that_a_browser_signs_are_those_that_everybody_reads(window, node):
    messages = [
        {"target": node.places["token"], "data": "ñandú 🦙", "tags": [{"name": "Ácción", "value": "🦙"}]},
        {"target": "", "data": "", "tags": []},
        {"target": "", "data": "", "tags": []},
        {"target": "", "data": "x" * 5000, "tags": [{"name": f"N{at}", "value": "v" * at} for at in range(1, 80)]},
    ]
    signed = window.open("verify").evaluate(
        """async (messages) => {
           const { ownWallet } = await import("/web/explorer/purse.js");
           const { toBase64url } = await import("/web/dataitem.js");
           const wallet = await ownWallet();
           return Promise.all(messages.map(async (message) => {
             const { id, raw } = await wallet.sign(message);
             return [id, toBase64url(raw), wallet.address];
           }));
        }""",
        messages,
    )
    assert len({id for id, _, _ in signed}) == len(messages), "two messages of equal words are two"
    for message, (id, raw, address) in zip(messages, signed, strict=True):
        item = decode_item(b64url_decode(raw))
        verify_item(item)
        assert (item.id, item.address, item.target) == (id, address, message["target"])
        assert bytes(item.data).decode() == message["data"]
        assert [{"name": tag.name, "value": tag.value} for tag in item.tags] == message["tags"]


def test_token_numbers_in_tags_are_read_and_cut_ones_refused(window):
    ids = [0, 1, 127, 128, 300, 16383, 16384, 2**31 - 1]
    encoded = bytearray()
    for id in ids:
        while id >= 128:
            encoded.append(id % 128 + 128)
            id //= 128
        encoded.append(id)
    read = """async (text) => { const { tokenIds } = await import("/web/verify/bytes.js");
              try { return tokenIds(text) } catch (error) { return error.message } }"""
    page = window.open("verify")
    assert page.evaluate(read, b64url_encode(bytes(encoded))) == ids
    assert "cut off" in page.evaluate(read, b64url_encode(bytes(encoded[:-1])))
    assert "too large" in page.evaluate(read, b64url_encode(b"\xff" * 9))
    assert isinstance(page.evaluate(read, "%%%"), str)


# --- verifying in the browser ---

RECEIPTS = {
    "greedy": ("What is a llama?", 60, GREEDY, ()),
    "sampled": ("Tell me a joke about cats", 24, Sampling(temperature=1.6, seed=2**63 + 7), ()),
    "cut": ("What is a llama?", 7, GREEDY, ()),
    "top-p, stopped": ("Who are you?", 40, Sampling(temperature=0.7, seed=5, top_p=0.8, top_k=20), (".",)),
}


@pytest.fixture(scope="module")
def receipts(node):
    return {name: receipt(node.places["model"], *words) for name, words in RECEIPTS.items()}


def verify(window, told) -> str:
    page = window.page
    page.fill("#receipt-text", told if isinstance(told, str) else json.dumps(told))
    page.click("form button.main")
    verdict = page.locator(".verdict")
    expect(page.locator("form button.main")).to_be_enabled(timeout=60_000)
    return verdict.inner_text()


def test_true_receipts_are_verified_bit_by_bit_in_the_browser(window, receipts):
    window.open("verify")
    for name, told in receipts.items():
        said = verify(window, told)
        assert "the same answer, bit for bit" in said, (name, said)
        assert "the one its publisher signed" in said
    window.page.locator(".verdict").scroll_into_view_if_needed()
    window.picture("verified")


def tampered(told: dict) -> dict[str, dict]:
    """The same receipt, wrong in one thing each."""
    ids = told["output_ids"]
    return {
        "a token": {**told, "output_ids": [*ids[:3], ids[3] + 1, *ids[4:]]},
        "a token less": {**told, "output_ids": ids[:-1]},
        "a token more": {**told, "output_ids": [*ids, ids[0]]},
        "the text": {**told, "text": told["text"].replace("a", "e", 1)},
        "the end": {**told, "finish": "length"},
        "the prompt": {**told, "prompt_ids": [*told["prompt_ids"][:-1], told["prompt_ids"][-1] - 1]},
    }


def test_a_receipt_that_was_tampered_with_fails(window, receipts):
    window.open("verify")
    for what, told in tampered(receipts["greedy"]).items():
        assert "another answer" in verify(window, told), what
    seeded = {**receipts["sampled"], "parameters": {**receipts["sampled"]["parameters"], "seed": 8}}
    assert "another answer" in verify(window, seeded)
    window.page.locator(".verdict").scroll_into_view_if_needed()
    window.picture("tampered")


def test_a_receipt_that_cannot_be_replayed_is_refused_with_the_reason(window, receipts, node):
    window.open("verify")
    true = receipts["greedy"]
    for told, words in (
        ("nonsense", "This is no receipt"),
        ("[1]", "no JSON object"),
        ({**true, "arithmetic": "llama.cpp"}, "Only canonical-1"),
        ({**true, "model": {"id": "../../etc"}}, "names no model"),
        ({**true, "model": {"id": node.places["module"]}}, "not a GGUF file"),
        ({**true, "output_ids": ["1"]}, "no output_ids"),
        ({**true, "prompt_ids": [2**30]}, "does not have"),
        ({**true, "parameters": {"seed": "x"}}, "no whole number"),
        ({**true, "parameters": {"temperature": 1, "piece": 8}}, "sampled in pieces"),
    ):
        assert words in verify(window, told), words
