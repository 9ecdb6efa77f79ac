"""`puna verify` of one answer: by receipt, payment or response; and of a receipt that was tampered with."""

import json

import msgspec
import pytest
from cli.conftest import puna

from puna.arweave.dataitem import encode_item
from puna.arweave.wallet import load_wallet
from puna.services.receipts import Receipt, read_receipt, receipt_item


@pytest.fixture(scope="module")
def asked(up):
    said = puna("ask", "Tell me a joke about cats", "--tokens", "12", "--json", home=up.home)
    assert said.status == 0, said.err
    return said.json()


def fetch(up, path: str) -> bytes:
    from urllib.request import urlopen

    with urlopen(up.places["gateway"] + path) as reply:
        return reply.read()


def post(up, item) -> None:
    from urllib.request import Request, urlopen

    request = Request(up.places["gateway"] + "/tx", encode_item(item), {"Content-Type": "application/octet-stream"})
    urlopen(request).close()


def test_an_answer_is_verified_by_any_of_its_names(up, asked):
    receipt = asked["receipt"]
    assert receipt and json.loads(fetch(up, f"/receipts/{receipt}"))["text"] == asked["answer"]
    for name, how in ((receipt, []), (asked["messages"]["transfer"], ["--quick"])):
        said = puna("verify", name, *how, "--json", home=up.home)
        assert said.status == 0, said.err
        told = said.json()
        assert told["agrees"] and told["receipt"] == receipt and told["first_divergence"] is None
        assert how or (told["replay"]["agrees"] and told["replay"]["replayed"] > 1)
        whats = {each["what"] for each in told["checks"]}
        assert {"signature of the receipt", "payer", "attestation in the receipt", "text of the answer",
                "token ids of the answer", "paid = fee + refund"} <= whats  # fmt: skip
    text = puna("verify", asked["messages"]["response"], "--quick", home=up.home).out
    assert text.startswith(f"{asked['messages']['response']} verified\n") and "NOT" not in text


def test_graphql_finds_the_receipts_of_a_payer(up, asked):
    from urllib.request import Request, urlopen

    payer = up.places["wallet"]["address"]
    tags = '{name:"Type",values:["Inference-Receipt"]},{name:"Payer",values:["%s"]}'
    query = "{transactions(tags:[" + tags + "]){edges{node{id}}}}"
    body = json.dumps({"query": query % payer}).encode()
    request = Request(up.places["gateway"] + "/graphql", body, {"Content-Type": "application/json"})
    with urlopen(request) as reply:
        edges = json.load(reply)["data"]["transactions"]["edges"]
    assert asked["receipt"] in [edge["node"]["id"] for edge in edges]


@pytest.mark.parametrize("field, value, what", [("fee", "1", "fee"), ("text", "lies", "attested answer is")])
def test_a_tampered_receipt_is_named_and_ends_with_1(up, asked, field, value, what):
    receipt = msgspec.json.decode(fetch(up, f"/receipts/{asked['receipt']}"), type=Receipt)
    lie = msgspec.structs.replace(receipt, **{field: value})
    forged = receipt_item(load_wallet(up.home / "keys" / "operator.json"), lie)
    assert read_receipt(forged) == lie
    post(up, forged)
    said = puna("verify", forged.id, "--quick", home=up.home)
    assert said.status == 1 and "DIVERGES" in said.out
    assert what in said.out[said.out.index("first divergence:") :]


def test_what_has_no_receipt_is_told(up, asked):
    said = puna("verify", asked["messages"]["inference"], home=up.home)
    assert said.status == 1 and "neither a process nor a message that has a receipt" in said.err
    assert puna("verify", "x" * 43, home=up.home).status == 1
