"""What a user does wrong gets one line: what, why, what to do; and nothing is lost by it."""

import resource
import socket
import struct

import pytest
from cli.conftest import puna
from cli.test_ask import copy_of, winston

from puna.models import DEMO_MODEL


def refused(said, *words: str) -> None:
    """One line of explanation with these words in it, nothing on standard output, a status that is not zero."""
    assert said.status not in (0, 70), said.err
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    for word in words:
        assert word in lines[0], lines[0]
    assert said.out == ""


@pytest.mark.parametrize("prompt", ["", "   ", "\n"])
def test_an_empty_prompt(prompt, tmp_path):
    refused(puna("ask", prompt, home=tmp_path / "home"), "prompt is empty", "puna ask")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("tokens", ["0", "-5", "abc", "1.5", "0x10", ""])
def test_tokens_that_are_no_number_of_tokens(tokens, tmp_path):
    refused(puna("ask", "hello", "--tokens", tokens, home=tmp_path / "home"), "--tokens", "20")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("tokens", ["513", "100000", "9" * 30])
def test_more_tokens_than_the_herd_gives(up, tokens):
    before = winston(up.home)
    refused(puna("ask", "hello", "--tokens", tokens, home=up.home), tokens, "1 to 512")
    assert winston(up.home) == before


def test_a_prompt_longer_than_the_herder_keeps(up):
    before = winston(up.home)
    refused(puna("ask", "word " * 7000, home=up.home), "35000 bytes", "nothing was paid")
    assert winston(up.home) == before


def test_a_prompt_longer_than_the_context_is_refunded(up):
    before = winston(up.home)
    prompt = "".join(chr(0x4E00 + 7 * n) for n in range(900))  # 2,700 bytes, each a token of its own
    refused(puna("ask", prompt, "--tokens", 20, home=up.home), "context full", "came back", "Shorten the prompt")
    assert winston(up.home) == before


def test_a_model_nobody_has(up):
    refused(puna("ask", "hello", "--model", "gpt-9", home=up.home), "no model gpt-9", "puna-demo")
    refused(puna("ask", "hello", "--model", "/nowhere/x.gguf", home=up.home), "no model file /nowhere/x.gguf")


def test_a_truncated_model_file(tmp_path):
    (tmp_path / "cut.gguf").write_bytes(DEMO_MODEL.read_bytes()[:100_000])
    refused(puna("ask", "hello", "--model", tmp_path / "cut.gguf", home=tmp_path / "home"), "cut.gguf")
    refused(puna("up", "--port", 0, "--model", tmp_path / "cut.gguf", home=tmp_path / "home"), "cut.gguf")


def test_a_model_of_an_unknown_family(tmp_path):
    def family(name: bytes) -> bytes:
        return b"general.architecture" + struct.pack("<IQ", 8, len(name)) + name  # 8: text

    strange = DEMO_MODEL.read_bytes().replace(family(b"llama"), family(b"alpac"))
    assert strange != DEMO_MODEL.read_bytes()
    (tmp_path / "strange.gguf").write_bytes(strange)
    refused(puna("ask", "hello", "--model", tmp_path / "strange.gguf", home=tmp_path / "home"), "alpac", "llama")


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "text.gguf").write_text("I am a text")
    refused(puna("ask", "hello", "--model", tmp_path / "text.gguf", home=tmp_path / "home"), "text.gguf")


def test_a_wallet_without_enough(up, tmp_path):
    said = puna("wallet", "new", tmp_path / "poor.json", "--json")
    address = said.json()["address"]
    refused(puna("ask", "hello", "--wallet", tmp_path / "poor.json", home=up.home), "Not enough wAR", address, "0 wAR")


@pytest.mark.parametrize(
    "content", ["", "{}", "not json", '{"kty":"RSA"}', '{"kty":"oct","k":"aaaa"}', "[1]", "\0\xff"]
)
def test_a_wallet_file_that_is_no_wallet(content, tmp_path):
    (tmp_path / "wallet.json").write_text(content, encoding="latin-1")
    refused(puna("ask", "hello", "--wallet", tmp_path / "wallet.json", home=tmp_path / "home"), "wallet.json")
    assert not (tmp_path / "home").exists()


def test_a_wallet_file_that_is_not_there(tmp_path):
    refused(puna("wallet", "address", "--wallet", tmp_path / "none.json"), "none.json")


def test_a_wallet_is_never_overwritten(tmp_path):
    assert puna("wallet", "new", tmp_path / "w.json").status == 0
    before = (tmp_path / "w.json").read_bytes()
    refused(puna("wallet", "new", tmp_path / "w.json"), "never overwritten")
    assert (tmp_path / "w.json").read_bytes() == before


def test_an_address_that_is_none(up):
    refused(puna("wallet", "balance", "nobody", home=up.home), "'nobody' is not an address")


def test_a_second_node_on_the_same_home(up):
    refused(puna("up", home=up.home), str(up.home), "--home", up.places["gateway"])


def test_a_second_node_on_the_same_port(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(puna("up", "--port", port, home=tmp_path / "home"), f"Port {port}", "--port")


@pytest.mark.parametrize("size", ["lots", "0-gb", "-1-gb", ""])
def test_a_memory_limit_that_is_no_size(size, tmp_path):
    refused(puna("up", "--port", 0, "--memory-max", size, home=tmp_path / "home"), "--memory-max", "4-gb")


def test_a_home_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    refused(puna("ask", "hello", home=tmp_path / "file"), "not a folder", "--home")


def test_verifying_where_there_is_nothing(tmp_path, up):
    refused(puna("verify", "token", home=tmp_path / "home"), "no network", "--home")
    refused(puna("verify", "A" * 43, home=up.home), "A" * 43)


def test_a_disk_that_is_full_while_the_network_is_raised_leaves_nothing_half_written(tmp_path):
    home = tmp_path / "home"

    def small_disk() -> None:
        # The system refuses every file to grow past this: smaller than the model.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

    said = puna("ask", "hello", home=home, preexec_fn=small_disk)
    refused(said, "disk")
    assert puna("ask", "hello", "--json", home=home).status == 0, "with room again it goes on where it was"


def test_a_damaged_log_is_found_and_named(up, tmp_path, raised):
    """Somebody alters a stored result: the replay tells which."""
    import sqlite3

    home = copy_of(raised, tmp_path / "home")
    assert puna("verify", "token", home=home).status == 0
    (database,) = [path for path in (home / "weave").iterdir() if path.suffix in (".db", ".sqlite", ".sqlite3")]
    with sqlite3.connect(database) as db:
        (table,) = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table' AND name='items'")
        ]
        rows = db.execute(f"SELECT rowid, * FROM {table}").fetchall()
        assert rows
        column = _spoil_a_result(db, table)
    said = puna("verify", "token", "--json", home=home)
    assert said.status == 1, (column, said.out, said.err)
    assert said.json()["divergences"]


def _spoil_a_result(db, table) -> str:
    """Change one byte of the data of a result of the token process."""
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    for column in columns:
        for rowid, value in db.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
            if isinstance(value, bytes) and b'"GasUsed":' in value and b"Mint-Notice" in value:
                spoiled = value.replace(b"Mint-Notice", b"Mint-Motice")
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (spoiled, rowid))
                return column
    raise AssertionError("no stored result found")


def test_help_of_every_command_is_there():
    assert "ask" in puna("--help").out
    for name in ("ask", "up", "wallet", "verify"):
        assert puna(name, "--help").status == 0


def test_a_model_whose_weights_are_no_numbers_is_not_published(tmp_path):
    from puna.llm.gguf import open_gguf

    tensor = open_gguf(DEMO_MODEL).tensors["blk.0.attn_q.weight"]
    broken = bytearray(DEMO_MODEL.read_bytes())
    broken[tensor.offset : tensor.offset + 2] = struct.pack("<e", float("inf"))  # the scale of its first block
    (tmp_path / "inf.gguf").write_bytes(broken)
    said = puna("ask", "hello", "--model", tmp_path / "inf.gguf", home=tmp_path / "home")
    refused(said, "inf.gguf", "blk.0.attn_q.weight", "infinite")
