"""Set Puna up in `.venv` beside this file and run it, from nothing but Python 3.11+ and pip.

    python3 run.py ask "What is the meaning of life?"     any `puna` command
    python3 run.py test                                   the whole test suite (further words go to pytest)

Set-up happens when something it depends on has changed, and then only the part that changed:
packages when pyproject.toml changed, the compiled parts when a C or Lua source changed.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
OLDEST_PYTHON = (3, 11)
PROCESSES_MAX = 4  # each runs nodes of its own
COMPILED_SUFFIXES = (".c", ".h", ".s", ".lua", "build.py", "INDEX", "-source.txt")


def main(arguments: list[str]) -> int:
    if sys.version_info < OLDEST_PYTHON:
        return fail(f"Python {sys.version.split()[0]} is too old: Puna needs 3.11 or newer. Run this with a newer one.")
    if not arguments:
        print(__doc__.strip())
        return 2
    testing = arguments[0] == "test"
    try:
        set_up(extra="[test]" if testing else "")
    except subprocess.CalledProcessError as error:
        return fail(f"Setting up failed while running: {' '.join(map(str, error.cmd))}\nIts words are above.")
    pytest = [PYTHON, "-m", "pytest", *(arguments[1:] or side_by_side())]
    command = pytest if testing else [PYTHON, "-m", "puna.cli.main", *arguments]
    if os.name == "nt":
        return subprocess.call(command, cwd=ROOT if testing else None)
    if testing:
        os.chdir(ROOT)
    os.execv(command[0], command)


def side_by_side() -> list[str]:
    """The whole suite in several processes, a file of tests in one of them: much of it waits for nodes and browsers."""
    return ["-n", str(min(os.cpu_count() or 1, PROCESSES_MAX)), "--dist", "loadfile"] if os.name != "nt" else []


def set_up(extra: str) -> None:
    """Bring `.venv` up to date with this checkout."""
    if not PYTHON.exists():
        say("making .venv")
        venv.create(VENV, with_pip=True, clear=VENV.exists())
    packages = fingerprint([ROOT / "pyproject.toml"])
    sources = fingerprint(compiled_sources())
    if is_stale("packages" + extra, packages):
        say("installing packages (a minute or two, once)")
        quietly("-m", "pip", "install", "--upgrade", "pip")
        quietly("-m", "pip", "install", *build_requirements())
        say("building the inference kernel, Lua and SQLite (a minute or two, once), installing Puna")
        quietly("-m", "pip", "install", "--no-build-isolation", "--editable", f"{ROOT}{extra}")
        mark_fresh("sources", sources)
        mark_fresh("packages", packages)
        mark_fresh("packages" + extra, packages)
    elif is_stale("sources", sources):
        say("rebuilding what changed")
        quietly(ROOT / "hatch_build.py")
        mark_fresh("sources", sources)


def build_requirements() -> list[str]:
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]


def compiled_sources() -> list[Path]:
    return sorted(path for path in (ROOT / "src").rglob("*") if path.name.endswith(COMPILED_SUFFIXES))


def fingerprint(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_stale(name: str, value: str) -> bool:
    mark = VENV / f".puna-{name}"
    return not mark.exists() or mark.read_text() != value


def mark_fresh(name: str, value: str) -> None:
    (VENV / f".puna-{name}").write_text(value)


def quietly(*arguments: object) -> None:
    """Run the environment's Python; show what it printed only when it fails."""
    command = [str(PYTHON), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout, file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)


def say(text: str) -> None:
    print(f"puna set-up: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
