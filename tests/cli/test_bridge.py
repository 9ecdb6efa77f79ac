"""`puna bridge` as a user works it, beside a running node, and the bridge's HTTP as others ask it."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cli.conftest import COMMAND, puna
from cli.test_bad_input import refused

from puna.arweave.wallet import load_wallet
from puna.services.bridge.rules import AR

WALLET = Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json"
ADDRESS = load_wallet(WALLET).address
WINSTON = 10**12
FRIEND = "F" * 42 + "A"


def ask(url: str, body: object = None):
    """Status and JSON of an answer."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data)) as reply:
            return reply.status, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def at(up):
    """The running node's gateway; the test's own wallet has 100 AR there."""
    gateway = up.places["gateway"]
    with urllib.request.urlopen(f"{gateway}/mint/{ADDRESS}/{100 * WINSTON}"):
        return gateway


def led_to_end(gateway: str, id: str) -> dict:
    """The entry at its end; blocks come as fast as they are asked for."""
    while (entry := ask(f"{gateway}/bridge/tx/{id}")[1])["status"] not in ("success", "failed", "notOnChain"):
        ask(f"{gateway}/mine")
    return entry


def backed(up) -> dict:
    said = puna("bridge", "status", "--json", home=up.home)
    assert said.status == 0, said.err
    books = said.json()
    assert books["holds"] and books["surplus"] == "0" and books["trouble"] == []
    assert int(books["vault"]) == int(books["supply"]) + int(books["pending"])
    return books


def test_ar_becomes_war_and_war_becomes_ar(up, at):
    backed(up)
    said = puna("bridge", "deposit", "12.5", "--wallet", WALLET, "--no-wait", "--json", home=up.home)
    assert said.status == 0, said.err
    begun = said.json()
    assert begun["status"] in ("unPackaged", "waiting") and begun["amount"] == "12.5"
    entry = led_to_end(at, begun["txId"])
    assert (entry["status"], entry["sender"], entry["recipient"]) == ("success", ADDRESS, ADDRESS)
    said = puna("wallet", "balance", ADDRESS, "--json", home=up.home)
    assert (said.json()["war"], said.json()["ar"]) == ("12.5", "87.499935")

    words = [*COMMAND, "bridge", "withdraw", "2.5", "--to", FRIEND, "--wallet", str(WALLET), "--home", str(up.home)]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while running.poll() is None:  # it waits for confirmations, and they come
        ask(f"{at}/mine")
    out, err = running.communicate()
    assert running.returncode == 0, err
    assert "2.2 AR" in out and FRIEND in out and "fee 0.3 wAR" in out
    burn = out.split()[-1]
    assert puna("bridge", "status", burn, "--json", home=up.home).json()["status"] == "success"
    with urllib.request.urlopen(f"{at}/wallet/{FRIEND}/balance") as reply:
        assert int(reply.read()) == 22 * WINSTON // 10
    backed(up)
    (newest, older) = ask(f"{at}/bridge/txs?address={ADDRESS}&count=2")[1]["txs"]
    assert (newest["txId"], newest["txType"], older["txId"]) == (burn, "burn", begun["txId"])


def test_the_network_tells_its_vault_and_the_bridge_its_terms(up, at):
    vault = ask(f"{at}/network")[1]["vault"]
    status, info = ask(f"{at}/bridge/info")
    assert status == 200 and info["arLocker"] == vault and info["bridgePid"] == up.places["token"]
    (war,) = info["wrappedTokens"]
    assert (war["minBurnAmt"], war["burnFee"], war["mintFee"]) == ("500000000000", "300000000000", "0")
    (ar,) = info["chainTokens"]
    assert (ar["tokenId"], ar["wrappedTokenId"], ar["stableRange"]) == (AR, up.places["token"], 3)
    assert info["closeServer"] == {"closeArweaveMint": False, "closeArweaveBurn": False, "closeTransfer": False}


@pytest.mark.parametrize("words, told", [
    (("deposit", "0"), ("not an amount", "1.5")),
    (("deposit", "2000.1"), ("at most 2000 AR", "Send less")),
    (("deposit", "1900"), ("AR", "fee", "Deposit less")),
    (("deposit", "1", "--to", "bob"), ("'bob'", "not an address")),
    (("withdraw", "0.1"), ("at least 0.5 wAR", "fee")),
    (("withdraw", "5000.1"), ("at most 5000 wAR",)),
    (("withdraw", "4000"), ("less than 4000",)),
    (("withdraw", "1", "--to", "0x" + "a" * 40), ("not an Arweave address",)),
    (("status", "nothing"), ("not an id",)),
    (("status", "A" * 43), ("no deposit or burn",)),
])  # fmt: skip
def test_what_cannot_be_done_is_told_before_anything_is_sent(up, at, words, told):
    wallet = () if words[0] == "status" else ("--wallet", WALLET)
    refused(puna("bridge", *words, *wallet, home=up.home), *told)


def test_an_ed25519_wallet_has_no_layer_1_and_is_told_so(up, at, tmp_path):
    shutil.copy(up.home / "keys" / "messenger.json", tmp_path / "key.json")
    key = ("--wallet", tmp_path / "key.json")
    address = load_wallet(tmp_path / "key.json").address
    with urllib.request.urlopen(f"{at}/mint/{address}/{WINSTON}"):
        refused(puna("bridge", "deposit", "0.01", *key, home=up.home), "Only RSA wallets")
    refused(puna("bridge", "withdraw", "1", *key, home=up.home), "only RSA keys", "--to")


@pytest.mark.parametrize("words", [("deposit", "1"), ("status",)])
def test_without_a_running_node_it_says_what_to_do(words, tmp_path):
    refused(puna("bridge", *words, home=tmp_path / "home"), "No node runs", "puna up")


def announced(up, **other) -> dict:
    return {
        "txType": "mint", "chainType": "arweave", "tokenId": AR, "wrappedTokenId": up.places["token"],
        "txId": "Z" * 42 + "A", "sender": ADDRESS, "recipient": FRIEND, "amount": "5",
    } | other  # fmt: skip


def test_an_announced_transfer_is_unpackaged_until_it_comes(up, at):
    status, told = ask(f"{at}/bridge/cacheUnPackagedTx", announced(up))
    assert (status, told["status"]) == (200, "unPackaged")
    assert ask(f"{at}/bridge/tx/{told['txId']}")[1]["status"] == "unPackaged"
    assert told["txId"] in [entry["txId"] for entry in ask(f"{at}/bridge/txs?address={FRIEND}")[1]["txs"]]


@pytest.mark.parametrize(
    "name", ["txType", "chainType", "tokenId", "wrappedTokenId", "txId", "sender", "recipient", "amount"]
)
def test_an_announcement_with_a_wrong_field_is_refused_by_name(up, at, name):
    for value in (None, "", "-5", "abc", "1.5", True, -1, [], {}, "9" * 100, "0x10"):
        status, told = ask(f"{at}/bridge/cacheUnPackagedTx", announced(up, **{name: value}))
        assert status == 400 and name in told["error"], value


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"1", b"{}", b"x" * 5000])
def test_an_announcement_that_is_no_object_is_refused(at, body):
    status, told = ask(f"{at}/bridge/cacheUnPackagedTx", body)
    assert status == 400 and told["error"]


@pytest.mark.parametrize(
    "query", ["count=0", "count=101", "count=-1", "count=x", "cursor=-1", "cursor=1e3", "address=x"]
)
def test_a_page_out_of_bounds_is_refused(at, query):
    status, told = ask(f"{at}/bridge/txs?{query}")
    assert status == 400 and told["error"]


def test_a_cursor_beyond_the_end_is_an_empty_or_first_page(at):
    assert ask(f"{at}/bridge/txs?cursor={'9' * 15}")[0] == 200
    assert ask(f"{at}/bridge/txs?cursor=1")[1] == {"txs": [], "cursor": None}
