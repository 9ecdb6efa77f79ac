"""From a process to the program that runs it: its module, limits, extensions and environment.

Called by `unit.py` and `verify.py`. Source: protocol reference 4.2, 4.7, 4.9.
"""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from puna.arweave.archive import Item
from puna.arweave.store.port import Store
from puna.arweave.tags import Tag
from puna.errors import Invalid, NotYet
from puna.vm.formats import FORMATS, OURS

from ..message import owner_address, tag, tag_list
from .port import Program

View = Callable[[str], Item | None]

MODULE_FORMATS = frozenset(FORMATS)
MODULE_FORMAT_OURS = OURS
ENCODING = "JSON-1"

_SIZE_UNITS = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_SIZE = re.compile(r"(\d{1,15})-?([kmg]?b)", re.IGNORECASE)


class Unsupported(Invalid):
    """The module is of a kind that this unit cannot run (on the wire: 422)."""


class TooLarge(Invalid):
    """The process asks for more than this unit grants (on the wire: 413)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What this unit grants: ceilings, and what a process gets that names no limit. Bytes, and units of gas."""

    memory_max: int = 1024**3
    gas_max: int = 9_000_000_000_000
    memory_default: int = 512 * 1024**2
    gas_default: int = 100_000_000_000  # about a minute and a half of an endless loop


class ModuleFiles:
    """Modules as files, which is how they are compiled: the store's own file where it keeps one, else a copy.

    `folder` holds the copies; without one, a temporary folder that `close` removes.
    """

    def __init__(self, store: Store, folder: Path | None = None):
        self._store = store
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def path(self, module: Item) -> Path:
        kept = self._store.payload_path(module.id)
        return kept if kept is not None else self._copy(module)

    def close(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def _copy(self, module: Item) -> Path:
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="puna-modules-")
            self._folder = Path(self._temporary.name)
        path = self._folder / f"{module.id}.wasm"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".part")
            draft.write_bytes(bytes(module.data))
            draft.replace(path)  # nobody ever sees half a module
        return path


def needs_of(process: Item) -> tuple[str, ...]:
    """The ids of what a process cannot run without: its module first, and the model that its program asks for."""
    return tuple(value for value in (tag(process, "Module"), tag(process, "Model")) if value)


def program_of(view: View, process: Item, limits: Limits, files: ModuleFiles) -> Program:
    """The program of a process.

    Raises Invalid when the process or its module cannot run here, NotYet while the module is not on this node.
    """
    module_id = _check_process(process)
    module = view(module_id)
    if module is None:
        raise NotYet(f"module {module_id} is not on this node", "Upload it; evaluation goes on by itself then.")
    _check_module(module)
    extensions = _extensions(process, module)
    return Program(
        module_path=files.path(module),
        module_id=module_id,
        memory_limit=_limit(process, module, "Memory-Limit", parse_size, limits.memory_default, limits.memory_max),
        gas_limit=_limit(process, module, "Compute-Limit", parse_count, limits.gas_default, limits.gas_max),
        extensions=extensions,
        environment=environment_json(process, module),
        options=_options(process, module, extensions),
        module_format=tag(module, "Module-Format"),
    )


def environment_json(process: Item, module: Item) -> bytes:
    """The environment object of 4.7, as JSON bytes."""
    return msgspec.json.encode({"Process": _party(process), "Module": _party(module)})


def parse_size(text: str) -> int | None:
    """`500-mb`, `1-gb` as bytes, powers of 1024; None when it is no size."""
    match = _SIZE.fullmatch(text.strip())
    return int(match[1]) * _SIZE_UNITS[match[2].lower()] if match else None


def parse_count(text: str) -> int | None:
    """A whole number of units of gas; None when it is not one."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _check_process(process: Item) -> str:
    for name, wanted in (("Data-Protocol", "ao"), ("Type", "Process")):
        if Tag(name, wanted) not in process.tags:
            raise Invalid(f"Process {process.id} has no tag {name}={wanted}")
    module_id = tag(process, "Module")
    if not module_id:
        raise Invalid(f"Process {process.id} has no tag Module")
    return module_id


def _check_module(module: Item) -> None:
    if tag(module, "Module-Format") not in MODULE_FORMATS:
        raise Unsupported(f'Module-Format for module "{module.id}" is not supported')
    for name in ("Input-Encoding", "Output-Encoding"):
        if tag(module, name) not in (None, ENCODING):
            raise Unsupported(f'{name} for module "{module.id}" is not supported')


def _limit(
    process: Item, module: Item, name: str, parse: Callable[[str], int | None], default: int, ceiling: int
) -> int:
    text = tag(process, name) or tag(module, name)
    value = default if text is None else parse(text)
    if value is None or not 0 < value <= ceiling:
        figures = f"It asks for {text if value is None else value}, and this node grants {ceiling} at most."
        raise TooLarge(f'{name} for process "{process.id}" exceeds supported limit', figures)
    return value


def _extensions(process: Item, module: Item) -> tuple[str, ...]:
    named = [value for item in (process, module) for name, value in item.tags if name == "Extension"]
    return tuple(dict.fromkeys(named))


def _options(process: Item, module: Item, extensions: tuple[str, ...]) -> dict[str, str]:
    """Tags that begin with an extension's name are its options; the process's win."""
    options: dict[str, str] = {}
    for item in (process, module):
        for name, value in item.tags:
            if any(name.startswith(extension) for extension in extensions):
                options.setdefault(name, value)
    return options


def _party(item: Item) -> dict[str, object]:
    return {"Id": item.id, "Owner": owner_address(item), "Tags": tag_list(item.tags)}
