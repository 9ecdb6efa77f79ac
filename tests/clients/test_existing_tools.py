"""The page "Use your existing tools": its JavaScript is run as it stands, against a node with other ports."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest
from clients.driving import installed

PAGE = Path(__file__).parents[2] / "docs" / "existing-tools.md"
PORTS = {"gateway": 4000, "mu": 4002, "su": 4003, "cu": 4004}
ETHEREUM_OWNER = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
EXPECTED = ["2", ETHEREUM_OWNER, "hello, weave"]

SNIPPETS = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_every_snippet_has_an_expectation():
    assert len(SNIPPETS) == len(EXPECTED)


@pytest.mark.parametrize(
    "snippet, expected", list(zip(SNIPPETS, EXPECTED, strict=False)), ids=["rsa", "ethereum", "arweave"]
)
async def test_the_code_on_the_page_does_what_it_says(node, tmp_path, snippet, expected):
    for door, port in PORTS.items():
        here = node.places[door].rpartition(":")[2]
        snippet = snippet.replace(f"http://localhost:{port}", f"http://127.0.0.1:{here}")
        snippet = snippet.replace(f'host: "localhost", port: {port} ', f'host: "127.0.0.1", port: {here} ')
    assert not any(re.search(rf"\b{port}\b", snippet) for port in PORTS.values())  # which ours may begin with
    shutil.copy(node.places["wallet"]["path"], tmp_path / "wallet.json")
    # Node.js looks for packages beside the file, and the file reads its wallet from where it is run.
    folder = await asyncio.to_thread(installed)
    (tmp_path / "node_modules").symlink_to(folder / "node_modules", target_is_directory=True)
    (tmp_path / "snippet.mjs").write_text(snippet)
    running = await asyncio.create_subprocess_exec(
        "node", "snippet.mjs", cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await running.communicate()
    assert running.returncode == 0, err.decode()[-2000:]
    assert out.decode().strip().splitlines()[-1] == expected
