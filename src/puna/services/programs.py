"""Where the Lua sources of the standing programs lie. Read by genesis and by tests."""

from pathlib import Path

_HERE = Path(__file__).parent

TOKEN = _HERE / "token" / "token.lua"
HERDER = _HERE / "herder" / "herder.lua"
WORKER = _HERE / "worker" / "worker.lua"
BRIDGE = _HERE / "bridge" / "bridge.lua"  # loaded into the token, beside its own program
REGISTRY = _HERE / "apm" / "registry.lua"
_PROMPT = _HERE / "worker" / "prompt.lua"
LLAMA_HERDER = _HERE / "llama_herder" / "llama-herder.lua"  # a package for processes, not a process


# What a program shares with others stands before it.
_SHARED = {HERDER: (_PROMPT,), WORKER: (_PROMPT,)}


def source(path: Path) -> bytes:
    """A program's source with plain line ends: the same bytes, and so the same process id, on every system."""
    parts = (*_SHARED.get(path, ()), path)
    return b"\n".join(part.read_bytes().replace(b"\r\n", b"\n") for part in parts)
