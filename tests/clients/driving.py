"""Runs the clients of Arweave, as npm publishes them, in Node.js: installed once, into a folder that git ignores."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from once import one_at_a_time

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".build-cache"
NPM = ("install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")


def installed() -> Path:
    """The folder with the packages of package.json; a change to that file makes another folder."""
    for program in ("node", "npm"):
        assert shutil.which(program), f"{program} is needed to run real clients: install Node.js 18 or newer"
    wanted = (HERE / "package.json").read_bytes()
    folder = CACHE / f"layer1-clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    with one_at_a_time(folder):
        if not (folder / "ready").exists():
            (folder / "package.json").write_bytes(wanted)
            done = subprocess.run([shutil.which("npm"), *NPM], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "ready").touch()
    return folder


async def drive(script: str, *words: str) -> dict:
    """What a script of this folder prints, as JSON. It is run where the packages lie."""
    folder = await asyncio.to_thread(installed)
    running = await asyncio.create_subprocess_exec(
        "node", str(HERE / script), *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await running.communicate()
    assert running.returncode == 0, f"{script}: {err.decode()[-3000:]}"
    return json.loads(out)
