"""What a process may ask of its node beyond its own memory: one file and one row each.

A process gets the extensions its `Extension` tags name. `bind(host)` returns the function that answers requests, bytes
to bytes. It raises Invalid or Missing to refuse, which Lua sees as nil and the text; NotYet to give the evaluation up
without a result; anything a process can observe of it must be the same on every node.
"""

from collections.abc import Callable, Iterable

from . import llama, permanent
from .host import Host

__all__ = ["EXTENSIONS", "Host", "bind_all"]

EXTENSIONS: dict[str, Callable[[Host], Callable[[bytes], bytes]]] = {
    "Llama": llama.bind,
    "WeaveDrive": permanent.bind,
}


def bind_all(names: Iterable[str], host: Host) -> dict[str, Callable[[bytes], bytes]]:
    """The extensions of a process by name. Names nobody knows are left out: asking for one then says so."""
    return {name: EXTENSIONS[name](host) for name in names if name in EXTENSIONS}
