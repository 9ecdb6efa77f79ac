"""The page "The Python client": its Python is run as it stands, in programs of their own beside a node."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from puna.client import Client

PAGE = Path(__file__).parents[2] / "docs" / "python-client.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)

# What each prints, line by line.
EXPECTED = {
    "counter": ["3"],
    "asynchronous": ["42 True None"],
    "url": [r"[\w-]{43} \d+"],
    "embedded": [r"(.*\n)*.+ 15 True"],
    "errors": ["True", "missing: .*A{43}.*"],
    "inbox": ["Hit True"],
    "events": ["evaluated: sent", "stored: hello True"],
}


def test_every_snippet_has_an_expectation_and_about_ten_lines():
    assert len(SNIPPETS) == len(EXPECTED)
    assert all(snippet.count("\n") <= 16 for snippet in SNIPPETS)


@pytest.mark.parametrize("name, snippet", list(zip(EXPECTED, SNIPPETS, strict=False)), ids=list(EXPECTED))
def test_the_code_on_the_page_does_what_it_says(node, own_home, tmp_path, name, snippet):
    home = own_home if name == "embedded" else node.home
    snippet = snippet.replace("http://localhost:4000", node.places["gateway"])
    (tmp_path / "wallet.json").symlink_to(node.places["wallet"]["path"])
    run = subprocess.run(
        [sys.executable, "-W", "default", "-c", snippet], cwd=tmp_path, env={**os.environ, "PUNA_HOME": str(home)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert re.fullmatch("\n".join(EXPECTED[name]), run.stdout.strip()), run.stdout
    assert "never" not in run.stderr and "Unclosed" not in run.stderr, run.stderr


def test_every_method_of_the_client_is_on_the_page():
    page = PAGE.read_text()
    public = [name for name in vars(Client) if not name.startswith("_") and name not in ("close", "network", "wallet")]
    assert not [name for name in public if not re.search(rf"\b{name}\b", page)]
