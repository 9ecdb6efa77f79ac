"""`puna aos` with words instead of a person: `--run`, `--load`, lines from a pipe, lists, and what is refused."""

import json

import pytest
from cli.conftest import puna
from cli.test_bad_input import refused
from cryptography.hazmat.primitives.asymmetric import ec

from puna.arweave.ids import b64url_encode


def ran(home, *words, **options):
    said = puna("aos", *words, home=home, **options)
    assert said.status == 0, said.out + said.err
    return said


def test_run_evaluates_once_prints_and_leaves(up):
    said = ran(up.home, "run", "--run", "{ 1, 2 }")
    assert said.out == "{ 1, 2 }\n" and said.err == ""
    assert ran(up.home, "run", "--run", "x = 1").out == ""


def test_run_that_fails_is_status_one_and_shows_the_line(up):
    said = puna("aos", "run", "--run", "local a = nil\nreturn a.b", home=up.home)
    assert said.status == 1
    assert '[string "aos"]:2: attempt to index' in said.out and "return a.b" in said.out and "^" in said.out
    assert "\x1b" not in said.out


def test_json_is_one_object(up):
    told = ran(up.home, "run", "--run", "return 6 * 7", "--json").out
    told = json.loads(told)
    assert set(told) == {"message", "process", "result"} and len(told["message"]) == 43
    assert told["result"]["Output"]["data"] == "42" and told["result"]["GasUsed"] > 0
    failed = puna("aos", "run", "--run", "error('x')", "--json", home=up.home)
    assert failed.status == 1 and "x" in failed.json()["result"]["Error"]


def test_files_are_loaded_in_order_before_the_code(up, tmp_path):
    (tmp_path / "a.lua").write_text("A = 1")
    (tmp_path / "b.lua").write_text('local lib = require("lib")\nB = A + lib')
    (tmp_path / "lib.lua").write_text("return 10")
    said = ran(up.home, "loads", "--load", tmp_path / "a.lua", "--load", tmp_path / "b.lua", "--run", "B")
    assert said.out == "11\n"


def test_a_file_that_fails_keeps_the_code_from_running(up, tmp_path):
    (tmp_path / "bad.lua").write_text("Before = 1\nerror('no')")
    said = puna("aos", "loads", "--load", tmp_path / "bad.lua", "--run", "Ran = true", home=up.home)
    assert said.status == 1 and "bad.lua:2: no" in said.out
    assert ran(up.home, "loads", "--run", "tostring(Ran) .. tostring(Before)").out == "nilnil\n"


def test_a_new_process_has_the_tags_and_the_data_it_was_given(up, tmp_path):
    (tmp_path / "boot.lua").write_text("Booted = 'by its own data'; return 'hello from boot'")
    said = ran(
        up.home, "tagged", "--tag-name", "On-Boot", "--tag-value", "Data", "--tag-name", "Colour",
        "--tag-value", "blue", "--data", tmp_path / "boot.lua", "--cron", "10-minutes", "--run", "Booted",
    )  # fmt: skip
    assert said.out == "hello from boot\nby its own data\n"
    tags = "local t = ao.env.Process.Tags; return table.concat({ t.Colour, t['Cron-Interval'], t['Cron-Tag-Action'], "
    tags += "t['App-Name'], t.Name, t['Aos-Version'] or t['aos-Version'] }, ' ')"
    assert ran(up.home, "tagged", "--run", tags).out == "blue 10-minutes Cron aos tagged 2.0.4\n"
    assert ran(up.home, "tagged", "--monitor", "--run", "1").out.endswith("1\n")
    late = ran(up.home, "tagged", "--cron", "1-day", "--run", "1")
    assert late.out == "1\n" and "--cron is for new processes" in late.err


def test_boot_code_that_fails_is_shown_and_the_process_is_there(up, tmp_path):
    (tmp_path / "boot.lua").write_text("error('not today')")
    words = ["badboot", "--tag-name", "On-Boot", "--tag-value", "Data", "--data", tmp_path / "boot.lua", "--run", "1"]
    said = puna("aos", *words, home=up.home)
    assert said.status == 1 and "not today" in said.out
    assert ran(up.home, "badboot", "--run", "'alive'").out == "alive\n"


def test_lines_from_a_pipe_are_done_one_after_the_other(up):
    lines = "function twice(x)\n\n  return 2 * x\nend\ntwice(21)\n.dump twice(4)\n"
    lines += "x y\n'after the mistake'\n.exit\n'never'\n"
    said = puna("aos", "piped", home=up.home, input=lines)
    assert said.status == 1, "one of the lines failed"
    assert "42\n8\n" in said.out and "syntax error" in said.out
    assert said.out.endswith("after the mistake\n")


def test_a_blueprint_is_loaded_by_its_name_and_one_that_is_not_there_names_those_that_are(up):
    lines = ".load-blueprint token\nTicker .. ' ' .. Denomination\n.load-blueprint nosuch\n"
    said = puna("aos", "coin", "--tag-name", "Ticker", "--tag-value", "COIN", home=up.home, input=lines)
    assert said.status == 1 and " 12\n" in said.out
    assert "There is no blueprint 'nosuch'" in said.out and "chatroom" in said.out and "staking" in said.out


def test_a_list_shows_the_processes_of_a_wallet(up, tmp_path):
    wallet = tmp_path / "wallet.json"
    address = puna("wallet", "new", wallet, "--json").json()["address"]
    assert "has no processes" in ran(up.home, "--list", "--wallet", wallet).out
    process = json.loads(ran(up.home, "listed", "--wallet", wallet, "--run", "1", "--json").out)["process"]
    assert process in ran(up.home, "--list", "--wallet", wallet).out
    told = json.loads(ran(up.home, "--list", "--wallet", wallet, "--json").out)
    assert told["address"] == address
    assert [(each["id"], each["name"]) for each in told["processes"]] == [(process, "listed")]
    assert ran(tmp_path / "home", "--list", "--wallet", wallet, "--url", up.places["gateway"], "--json").out


def test_a_network_elsewhere_is_reached_by_one_url_or_by_its_units(up, tmp_path):
    elsewhere = tmp_path / "another home"
    said = ran(elsewhere, "far", "--url", up.places["gateway"], "--run", "Far = 'away'; return Far")
    assert said.out == "away\n" and not (elsewhere / "weave").exists()
    units = [word for name in ("gateway", "mu", "su", "cu") for word in (f"--{name}-url", up.places[name])]
    assert ran(elsewhere, "far", *units, "--run", "Far").out == "away\n"
    by_id = json.loads(ran(elsewhere, "far", *units, "--run", "ao.id", "--json").out)["process"]
    assert ran(elsewhere, by_id, *units, "--run", "Far").out == "away\n"


def test_a_dry_run_sends_nothing(up):
    ran(up.home, "dry", "--run", "x = 1")
    assert ran(up.home, "dry", "--dry-run", "--run", "x = 2; return x").out == "2\n"
    assert ran(up.home, "dry", "--run", "x").out == "1\n"


def test_a_process_with_sqlite_is_made_by_asking_for_it(up):
    code = "return require('lsqlite3').open_memory():isopen()"
    assert ran(up.home, "worldly", "--sqlite", "--run", code).out == "true\n"
    said = puna("aos", "plain", "--run", code, home=up.home)
    assert said.status == 1 and "module 'lsqlite3' not found" in said.out + said.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tag-name", "X"], ["1 --tag-name and 0 --tag-value"]),
        ([" "], ["name is empty"]),
        (["--tag-name", "", "--tag-value", "x"], ["--tag-name is empty"]),
        (["--load", "/nowhere/x.lua"], ["There is no file /nowhere/x.lua"]),
        (["--load", "/etc/hostname"], [".lua"]),
        (["--data", "/nowhere/data"], ["There is no file /nowhere/data"]),
        (["--wallet", "/nowhere/wallet.json"], ["/nowhere/wallet.json"]),
        (["--url", "ftp://x"], ["--url ftp://x is not a URL"]),
        (["--mu-url", "http://127.0.0.1:1"], ["--cu-url"]),
        (["--url", "http://127.0.0.1:1"], ["not within reach"]),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_started(words, why, tmp_path):
    refused(puna("aos", *words, "--run", "1", home=tmp_path / "home"), *why)
    assert not (tmp_path / "home" / "weave").exists()


def test_a_wallet_file_that_is_none(tmp_path):
    (tmp_path / "wallet.json").write_text("{}")
    refused(puna("aos", "--wallet", tmp_path / "wallet.json", "--run", "1", home=tmp_path / "home"), "wallet.json")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["A" * 43], ["There is no process " + "A" * 43]),
        (["--watch", "B" * 42 + "A"], ["There is no process"]),
        (["--watch", "name"], ["is not an id"]),
        (["crons", "--cron", "often"], ["often"]),
        (["modules", "--module", "nosuch"], ["no module called nosuch"]),
        (["modules", "--module", "A" * 43], ["no module " + "A" * 43]),
    ],
)
def test_what_the_network_does_not_have_is_named(up, words, why):
    refused(puna("aos", *words, "--run", "1", home=up.home), *why)


def test_an_item_that_is_no_process_and_a_process_that_is_no_aos(up):
    refused(puna("aos", up.places["module"], "--run", "1", home=up.home), "no process but a module")
    refused(puna("aos", "x", "--module", up.places["token"], "--run", "1", home=up.home), "is no module")
    ran(up.home, "deaf", "--run", "Handlers.evaluate = function() end")
    refused(puna("aos", "deaf", "--run", "1", home=up.home), "is not an aos", "--watch")


def test_a_process_given_to_another_wallet_is_that_wallets(up, tmp_path):
    wallet = tmp_path / "wallet.json"
    address = puna("wallet", "new", wallet, "--json").json()["address"]
    process = json.loads(ran(up.home, "given", "--run", f"Owner = '{address}'", "--json").out)["process"]
    assert ran(up.home, process, "--wallet", wallet, "--run", "Mine = 'mine now'; return Mine").out == "mine now\n"
    refused(puna("aos", process, "--run", "Mine", home=up.home), "its owner is neither")


def test_an_ethereum_key_has_a_process_of_its_own(up, tmp_path):
    private = ec.generate_private_key(ec.SECP256K1())
    point = private.public_key().public_numbers()
    numbers = {"x": point.x, "y": point.y, "d": private.private_numbers().private_value}
    jwk = {"kty": "EC", "crv": "secp256k1"} | {
        name: b64url_encode(number.to_bytes(32, "big")) for name, number in numbers.items()
    }
    (tmp_path / "ethereum.json").write_text(json.dumps(jwk))
    words = ["ether", "--wallet", tmp_path / "ethereum.json", "--run"]
    assert ran(up.home, *words, "Owner == ao.env.Process.Owner and Owner:sub(1, 2)").out == "0x\n"
    ran(up.home, *words, "x = 1")
    assert ran(up.home, *words, "x").out == "1\n"


def test_an_id_that_begins_with_a_dash_is_an_id(up):
    dashed = "-" + "A" * 42
    refused(puna("aos", dashed, "--run", "-1", home=up.home), "There is no process " + dashed)
    refused(puna("aos", "--run", "1", "--watch", dashed, home=up.home), "There is no process " + dashed)
    refused(puna("verify", dashed, home=up.home), dashed)
    assert puna("wallet", "balance", dashed, "--json", home=up.home).json()["winston"] == "0"
    assert puna("wallet", "send", "--json", dashed, 7, home=up.home).json()["to"] == dashed
    assert "No such option" in puna("aos", "-x", home=up.home).err


def test_wars_are_sent_and_what_cannot_be_sent_is_refused(up, tmp_path):
    address = puna("wallet", "new", tmp_path / "w.json", "--json").json()["address"]
    said = puna("wallet", "send", address, 12345, "--json", home=up.home)
    assert said.json()["winston"] == "12345" and len(said.json()["message"]) == 43
    owned = puna("wallet", "balance", address, "--json", home=up.home).json()
    assert owned["winston"] == "12345"
    said = puna("wallet", "send", up.places["token"], 12346, "--wallet", tmp_path / "w.json", home=up.home)
    refused(said, "less than", "Send less")
    for amount in ("0", "-1", "1.5", "much", "0x10"):
        refused(puna("wallet", "send", "--home", up.home, "--", address, amount), "not an amount")
    refused(puna("wallet", "send", "nobody", 1, home=up.home), "'nobody' is not an address")
