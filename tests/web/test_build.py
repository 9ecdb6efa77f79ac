"""Fetching what browsers need of others: pinned, from the cache, and without a network."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "src" / "puna" / "web" / "build.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("puna_build_web", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def offline(monkeypatch, script):
    """A machine whose every tool fails at once, as without a network."""
    monkeypatch.delenv("PUNA_NPM", raising=False)
    refused = subprocess.CompletedProcess([], 1, "", "no route to host")
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: refused)


def index_of(folder: Path) -> dict:
    return json.loads((folder / "vendor" / "index.json").read_text())


def test_without_a_network_the_build_goes_on_and_writes_down_what_is_missing(script, offline, tmp_path, capsys):
    script.build(tmp_path / "out", tmp_path / "cache")
    assert "no route to host" in index_of(tmp_path / "out")["missing"]
    assert not (tmp_path / "out/vendor/pixi.js").exists()
    assert "charts, signing and the game" in capsys.readouterr().err


def test_the_build_fails_instead_when_told_that_it_must_not_go_without(script, offline, tmp_path, monkeypatch):
    monkeypatch.setenv("PUNA_NPM", "required")
    with pytest.raises(RuntimeError, match="no route to host"):
        script.build(tmp_path / "out", tmp_path / "cache")


def test_what_was_missing_is_fetched_by_the_next_build_that_can(script, offline, tmp_path):
    script.build(tmp_path / "out", tmp_path / "cache")
    kept = tmp_path / "cache" / f"web-{script._fingerprint()[:16]}"
    kept.mkdir(parents=True)
    (kept / "uplot.js").write_text("export default 1;")
    script.build(tmp_path / "out", tmp_path / "cache")  # from the cache alone
    assert (tmp_path / "out/vendor/uplot.js").exists() and index_of(tmp_path / "out")["missing"] == ""


def test_a_tarball_of_another_hash_is_refused(script, tmp_path, monkeypatch):
    def pack(command, *, cwd, **_):
        (cwd / "uplot-1.6.32.tgz").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(script.shutil, "which", lambda name: name)
    monkeypatch.setattr(script.subprocess, "run", pack)
    monkeypatch.setenv("PUNA_NPM", "required")
    with pytest.raises(RuntimeError, match="another hash"):
        script.build(tmp_path / "out", tmp_path / "cache")
    assert not (tmp_path / "out/vendor").exists()
