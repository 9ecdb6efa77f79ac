"""What pages sign: data items made by the page's own code, read and checked by the node's."""

import json
from pathlib import Path

import pytest
from web.players import players

from puna.arweave.dataitem import decode_item, verify_item
from puna.arweave.wallet import new_ed25519_wallet, wallet_from_jwk

HERE = Path(__file__).parent
RSA = (HERE.parent / "arweave" / "rsa-test-wallet.json").read_text()
ROOM = HERE.parent.parent / "src" / "puna" / "web"

SIGN = """async ([file, items]) => {
  const wallets = await import("/web/wallet.js"), { idOf } = await import("/web/dataitem.js");
  const wallet = await wallets.importWallet(file);
  const kept = await wallets.browserWallet();
  const signed = [];
  for (const item of items) {
    const bytes = new Uint8Array(await wallet.signDataItem(item));
    signed.push([Array.from(bytes), idOf(bytes)]);
  }
  return { address: wallet.address, kept: kept.address, exported: wallets.exported(wallet), signed };
}"""
ITEMS = [
    {"data": "", "tags": []},
    {"data": "¡hola! 🦙", "target": "A" * 43, "tags": [{"name": "Action", "value": "ChatMessage"}]},
    {"data": "x" * 5000, "target": "B" * 42 + "A", "anchor": "a" * 32,
     "tags": [{"name": f"Tag-{n}", "value": "ñ" * (n * 11 + 1)} for n in range(12)]},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_items_signed_in_the_page_are_valid_and_the_saved_key_is_a_wallet_of_punas(node, kind):
    file = RSA if kind == "rsa" else json.dumps(new_ed25519_wallet().to_jwk())
    wallet = wallet_from_jwk(json.loads(file))
    async with players() as arrive:
        player = await arrive("Key")
        await player.page.goto(node.places["gateway"] + "/land")
        seen = await player.page.evaluate(SIGN, [file, ITEMS])
    assert seen["address"] == seen["kept"] == wallet.address
    assert wallet_from_jwk(json.loads(seen["exported"])).address == wallet.address
    for asked, (signed, id) in zip(ITEMS, seen["signed"], strict=True):
        item = decode_item(bytes(signed))
        verify_item(item)
        assert item.id == id and item.address == wallet.address
        assert bytes(item.data).decode() == asked["data"] and item.target == asked.get("target", "")
        assert item.anchor.decode() == asked.get("anchor", "")
        assert [{"name": name, "value": value} for name, value in item.tags] == asked["tags"]


def test_nothing_in_the_game_can_make_markup_or_code_of_text():
    sources = [*ROOM.glob("*.js"), *(ROOM / "land").glob("*.js")]
    assert len(sources) > 8
    for path in sources:
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
            assert word not in text, f"{path.name} uses {word}"
