"""Wallet files: what is written, who may read it, and what a stranger's file is told."""

import json
import os
import stat

import pytest
from arweave.conftest import RSA_WALLET_FILE

from puna.arweave.dataitem import sign_item, verify_item
from puna.arweave.wallet import load_wallet, new_ed25519_wallet, new_rsa_wallet, save_wallet, wallet_from_jwk
from puna.errors import Invalid, Missing, NodeError


def test_a_saved_wallet_loads_as_the_same_one(each_wallet, tmp_path):
    path = tmp_path / "keys" / "wallet.json"
    save_wallet(each_wallet, path)
    again = load_wallet(path)
    assert (again.owner, again.address, again.signature_type, again.to_jwk()) == (
        each_wallet.owner,
        each_wallet.address,
        each_wallet.signature_type,
        each_wallet.to_jwk(),
    )
    verify_item(sign_item(again, b"signed after loading"))
    assert os.listdir(path.parent) == ["wallet.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_its_user_may_read_a_wallet(wallet, tmp_path):
    save_wallet(wallet, tmp_path / "w.json")
    assert stat.S_IMODE((tmp_path / "w.json").stat().st_mode) == 0o600


def test_saving_never_replaces_a_file(wallet, tmp_path):
    path = tmp_path / "w.json"
    path.write_text("precious")
    with pytest.raises(NodeError, match="exists already"):
        save_wallet(wallet, path)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["w.json"]


def test_saving_works_where_there_are_no_hard_links(wallet, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    save_wallet(wallet, tmp_path / "w.json")
    assert load_wallet(tmp_path / "w.json").address == wallet.address
    with pytest.raises(NodeError, match="exists already"):
        save_wallet(wallet, tmp_path / "w.json")
    assert os.listdir(tmp_path) == ["w.json"]


def test_an_rsa_wallet_has_the_fields_that_clients_expect(rsa_wallet):
    jwk = rsa_wallet.to_jwk()
    assert set(jwk) == {"kty", "e", "n", "d", "p", "q", "dp", "dq", "qi"}
    assert (jwk["kty"], jwk["e"], len(rsa_wallet.owner)) == ("RSA", "AQAB", 512)


def test_new_wallets_differ():
    assert new_ed25519_wallet().address != new_ed25519_wallet().address
    assert new_rsa_wallet().signature_type == 1


def changed(**fields):
    jwk = json.loads(RSA_WALLET_FILE.read_text())
    return json.dumps({name: value for name, value in (jwk | fields).items() if value is not None})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not JSON"),
        ("\x00\x80", "not JSON"),
        ("[" * 30000, "not JSON|not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "key type"),
        ('{"kty": "RSA"}', "'e' is missing"),
        ('{"kty": ["RSA"]}', "key type"),
        ('{"kty": "OKP", "crv": "Ed25519", "d": "AAAA"}', "not sound"),
        ('{"kty": "EC", "crv": "secp256k1", "d": "AAAA"}', "not sound"),
        (changed(d=None), "'d' is missing"),
        (changed(n="AQAB"), "4096 bits"),
        (changed(e="Aw"), "e=AQAB"),
        (changed(p="secret!"), "'p' is not base64url"),
        (changed(p="AQAB"), "not sound"),
        (changed(d=7), "'d' is missing"),
        ('{"kty": "OKP", "crv": "Ed25519", "d": "' + "A" * 43 + '", "x": "' + "A" * 43 + '"}', "not belong together"),
    ],
)
def test_a_file_that_is_no_wallet_is_told_why_and_what_to_do(content, why, tmp_path):
    path = tmp_path / "w.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(Invalid, match=why) as caught:
        load_wallet(path)
    assert "is not a wallet" in caught.value.what
    assert "Give the JSON key file" in caught.value.todo
    assert "secret!" not in str(caught.value)


def test_a_missing_wallet_file_is_missing(tmp_path):
    with pytest.raises(Missing, match="no wallet file"):
        load_wallet(tmp_path / "none.json")
    with pytest.raises(NodeError, match="cannot be"):
        load_wallet(tmp_path)


def test_a_key_never_shows_in_print(wallet):
    assert wallet.to_jwk()["d"] not in repr(wallet)


def test_a_bare_private_key_is_enough_for_ed25519():
    full = new_ed25519_wallet().to_jwk()
    assert wallet_from_jwk({k: v for k, v in full.items() if k != "x"}).to_jwk() == full
