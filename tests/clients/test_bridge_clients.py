"""The Arweave client that people pay with, unmodified, on its way over the bridge."""

import shutil
from pathlib import Path

from cli.conftest import puna
from clients.driving import drive

WALLET = Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json"


async def test_arweave_js_makes_a_deposit_that_is_minted_to_the_recipient_it_names(node, tmp_path):
    shutil.copy(WALLET, tmp_path / "wallet.json")
    keeper = node.places["scheduler"]  # an address that nobody else pays
    seen = await drive("bridge.mjs", node.places["gateway"], str(tmp_path / "wallet.json"), keeper)
    assert seen["posted"] == 200 and seen["statuses"][-1] == "success"
    entry = seen["entry"]
    assert (entry["sender"], entry["recipient"], entry["quantity"]) == (seen["address"], keeper, "1250000000000")
    assert puna("wallet", "balance", keeper, "--json", home=node.home).json()["war"] == "1.25"
    books = puna("bridge", "status", "--json", home=node.home).json()
    assert books["holds"] and books["surplus"] == "0"
