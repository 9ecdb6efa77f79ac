"""Keys: made, listed and revoked by the real command, with and without a running node; their money and their files."""

import json
import os
import stat

import pytest
from api.conftest import MODEL, Door
from cli.conftest import Up, puna

from puna.api.keys import ACTIVE, NEW, Keys
from puna.api.refusals import Refusal
from puna.cli.key import Amount
from puna.errors import Invalid, Missing

JOKE = [{"role": "user", "content": "Tell me a joke about cats"}]


def ask(door: Door, key: str, **more):
    return door.post("/v1/chat/completions", {"model": MODEL, "messages": JOKE, "max_tokens": 2} | more, key)


def test_a_revoked_key_is_refused_at_once_and_what_is_left_goes_home(door):
    user = door.node.places["wallet"]["address"]
    before = door.balance(user)
    key = door.key(budget="0.000000001wAR", name="mine")
    assert key["budget_winston"] == 1000 and door.balance(user) == before - 1000
    fee = ask(door, key["key"]).json()["puna"]["fee_winston"]
    listed = next(each for each in puna("key", "ls", "--json", home=door.home).json()["keys"] if each["name"] == "mine")
    assert (listed["wallet"], listed["left_winston"], listed["state"]) == (key["wallet"], 1000 - fee, "active")
    assert key["key"] not in json.dumps(listed)
    said = puna("key", "revoke", "mine", "--json", home=door.home).json()
    assert (said["returned_winston"], said["to"]) == (1000 - fee, user) and door.balance(user) == before - fee
    refused = ask(door, key["key"])
    assert refused.status_code == 401 and "was revoked" in refused.json()["error"]["message"]
    again = puna("key", "revoke", listed["id"], "--json", home=door.home).json()
    assert again["returned_winston"] == 0


def test_a_key_made_without_a_running_node_holds_when_one_runs(tmp_path):
    home = tmp_path / "home"
    assert puna("key", "ls", home=home).out == "There are no keys. Make one with: puna key create\n"
    said = puna("key", "create", "--budget", "5000", "--json", home=home)
    assert said.status == 0, said.err
    key = said.json()
    node = Up(home)
    try:
        assert ask(Door(node), key["key"]).status_code == 200
        text = puna("key", "ls", home=home).out
        assert key["wallet"] in text and "of 0.000000005 wAR left" in text
    finally:
        node.stop()
    returned = puna("key", "revoke", key["key"], "--json", home=home).json()["returned_winston"]
    assert 4900 < returned < 5000


def test_a_budget_that_the_wallet_has_not_is_refused_and_leaves_no_key(door):
    before = {path.name for path in (door.home / "api-keys").glob("*")}
    said = puna("key", "create", "--budget", "11wAR", home=door.home)
    assert said.status == 1 and "less than 11" in said.err
    assert {path.name for path in (door.home / "api-keys").glob("*")} == before


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1.5", "1e3", "0x10", "", "war", "0.wAR", "0.0000000000001wAR", "1 AR", "²"]
)
def test_an_amount_that_is_none_is_refused(amount):
    with pytest.raises(Invalid) as caught:
        Amount().convert(amount, None, None)
    assert caught.value.todo.startswith("Give ")


@pytest.mark.parametrize(
    "amount, winston", [("1", 1), ("0.5wAR", 5 * 10**11), ("2 WAR", 2 * 10**12), (".1wAR", 10**11)]
)
def test_an_amount_is_winston_or_war(amount, winston):
    assert Amount().convert(amount, None, None) == winston


def test_a_key_that_is_not_there_is_told(door):
    said = puna("key", "revoke", "nobody", home=door.home)
    assert said.status == 1 and "There is no key" in said.err
    assert puna("key", "create", "--name", "x" * 65, home=door.home).status == 1


# The files


def test_the_files_of_a_key_are_its_users_alone_and_hold_no_key(tmp_path):
    keys = Keys(tmp_path / "keys")
    shown, key = keys.make("mine", 7)
    for path in keys.folder.iterdir():
        assert shown not in path.read_text()
        if os.name == "posix":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(list(keys.folder.iterdir())) == 2


def test_only_the_whole_key_opens_and_only_when_its_budget_was_paid_in(tmp_path):
    keys = Keys(tmp_path / "keys")
    shown, key = keys.make("mine", 7)
    assert key.state == NEW
    for wrong in (shown, shown[:-1], shown + "x", key.id, key.hash, "", None, "../" + key.id, "\udcff"):
        with pytest.raises(Refusal) as caught:
            keys.account(wrong)
        assert caught.value.status == 401 and "puna key create" in str(caught.value)
        assert not wrong or wrong == key.id or wrong not in str(caught.value) or len(wrong) < 5
    keys.keep(type(key)(**{**{name: getattr(key, name) for name in key.__struct_fields__}, "state": ACTIVE}))
    account = keys.account(shown)
    assert account.wallet.address == key.wallet and keys.find("mine").id == keys.find(shown).id == key.id
    with pytest.raises(Missing):
        keys.find("other")
    keys.make("mine", 7)
    with pytest.raises(Invalid, match="2 keys"):
        keys.find("mine")
