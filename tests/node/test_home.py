"""The home folder: keys, one node at a time, and what a stranger's file there leads to."""

import os
import stat
import subprocess
import sys

import pytest

from puna.errors import Invalid, Missing
from puna.node.home import Home, Running, default_home

RUNNING = Running(pid=1, gateway="http://g", mu="http://m", su="http://s", cu="http://c")


def test_the_home_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PUNA_HOME", str(tmp_path / "here"))
    assert default_home() == tmp_path / "here"


def test_keys_are_made_once_and_only_the_owner_may_read_them(tmp_path):
    home = Home(tmp_path / "home")
    home.create()
    first, second = home.keys(), home.keys()
    assert first.operator.address == second.operator.address
    assert len({key.address for key in (first.operator, first.scheduler, first.messenger, first.compute)}) == 4
    if os.name == "posix":
        for file in (tmp_path / "home" / "keys").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_vaults_key_is_made_once_and_only_the_owner_may_read_it(tmp_path):
    home = Home(tmp_path / "home")
    home.create()
    home.keys()
    assert not home.vault_path.exists(), "only a home with a bridge has one"
    assert home.vault().address == home.vault().address
    if os.name == "posix":
        assert stat.S_IMODE(home.vault_path.stat().st_mode) == 0o600


def test_one_node_at_a_time_has_the_home(tmp_path):
    first, second = Home(tmp_path), Home(tmp_path)
    assert first.lock()
    assert second.is_locked()
    assert not second.lock()
    first.unlock()
    assert second.lock()
    second.unlock()


def test_a_node_is_running_only_while_it_holds_the_home(tmp_path):
    node, other = Home(tmp_path), Home(tmp_path)
    assert node.lock()
    assert other.running() is None, "it has not announced itself yet"
    node.announce(RUNNING)
    assert other.running() == RUNNING
    node.unlock()
    assert other.running() is None


def test_what_a_killed_node_announced_is_not_believed(tmp_path):
    program = """
import os, signal, sys
from puna.node.home import *
home = Home(Path(sys.argv[1]))
assert home.lock()
home.announce(Running(1, "g", "m", "s", "c"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    home = Home(tmp_path)
    assert (tmp_path / "running.json").exists()
    assert home.running() is None
    assert home.lock()
    assert not (tmp_path / "running.json").exists()
    home.unlock()


def test_a_file_in_place_of_the_home_is_told_apart(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Invalid, match="not a folder"):
        Home(tmp_path / "file").create()


def test_a_home_without_a_wallet_says_how_to_make_one(tmp_path):
    with pytest.raises(Missing, match="puna wallet new"):
        Home(tmp_path).wallet()
