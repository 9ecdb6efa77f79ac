"""A Lua file and the local files it requires, made into one text to evaluate.

Pure but for the function that reads files. Each file becomes a chunk of its own, named after the file: an error, now
or in a handler a year from now, says `chat.lua:12`, and its locals stay its own. Dependencies come first, each once;
what a file gives back becomes `package.loaded[name]`, replacing what was there. A name with no file is left to the
process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from puna.errors import Invalid, Missing

from .lua import quoted, requires

# What aos itself is made of: a local file of that name never takes its place.
RUNTIME = frozenset(
    (".ao", ".assignment", ".base64", ".bint", ".boot", ".chance", ".crypto", ".default", ".dump", ".eval",
     ".handlers", ".handlers-utils", ".message", ".pretty", ".process", ".result", ".stringify", ".utils")
)  # fmt: skip
CHUNK_NAME_MAX = 56  # Lua cuts longer ones at the front

_PRELUDE = """local function chunk(source, name)
  local compiled, failure = load(source, name, "t", _G)
  return compiled or error(failure, 0)
end
local function provide(name, value)
  if value == nil then value = package.loaded[name] end
  package.loaded[name] = value == nil or value
end
"""

Read = Callable[[Path], bytes | None]


@dataclass(frozen=True)
class Bundle:
    """`code` is what is evaluated; `sources` the text of each chunk by the name its errors bear; `files` what is in it,
    dependencies first.
    """

    code: str
    sources: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def read_file(path: Path) -> bytes | None:
    """The file's bytes, None when there is no such file. Raises Invalid when it cannot be read."""
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error


def bundle(main: Path, read: Read = read_file) -> Bundle:
    """The bundle of one file. Raises Missing or Invalid, naming the file or the circle of files."""
    if main.suffix != ".lua":
        raise Invalid(f"{main} is not a Lua file.", "Name a file that ends in .lua")
    return _Gathering(main.parent, read).whole(main)


class _Gathering:
    """One walk through the files. `_loading` is the way from the main file to the one that is read now."""

    def __init__(self, folder: Path, read: Read):
        self._folder = folder
        self._read = read
        self._loading: list[Path] = []
        self._names: dict[Path, str] = {}
        self._parts: list[str] = []
        self._sources: dict[str, str] = {}

    def whole(self, main: Path) -> Bundle:
        text = self._text(main)
        if text is None:
            raise Missing(f"There is no file {main}.", "Check the path: it counts from where you started the console.")
        chunk = self._gather(main, text)
        code = f"{_PRELUDE}{''.join(self._parts)}return {chunk}()\n"
        return Bundle(code, self._sources, tuple(self._sources))

    def _gather(self, path: Path, text: str) -> str:
        """Everything `text` requires goes to the parts; answers the Lua expression of its own chunk."""
        self._loading.append(path)
        for name in requires(text):
            found = self._find(name, path)
            if found is None:
                continue
            if found[0] not in self._names:
                self._module(name, *found)
            elif (known := self._names[found[0]]) != name:
                self._parts.append(f"provide({quoted_name(name)}, package.loaded[{quoted_name(known)}])\n")
        self._loading.pop()
        shown = self._shown(path)
        self._sources[shown] = text
        return f"chunk({quoted(text)}, {quoted_name('@' + shown)})"

    def _module(self, name: str, path: Path, text: str) -> None:
        if path in self._loading:
            circle = [*self._loading[self._loading.index(path) :], path]
            way = " -> ".join(self._shown(each) for each in circle)
            raise Invalid(f"These files require each other in a circle: {way}.", "Take one of the requires out.")
        chunk = self._gather(path, text)
        self._names[path] = name
        quoted_as = quoted_name(name)
        self._parts.append(f"provide({quoted_as}, ({chunk}({quoted_as})))\n")

    def _find(self, name: str, user: Path) -> tuple[Path, str] | None:
        """The local file of a required name: beside the main file, else beside the one that requires it."""
        if name in RUNTIME or name.startswith((".crypto", "/")) or ".." in PurePath(name).parts:
            return None
        place = name.lstrip("./").removesuffix(".lua").replace(".", "/")
        for folder in dict.fromkeys((self._folder, user.parent)):
            for path in (folder / f"{place}.lua", folder / place / "init.lua"):
                text = self._text(path) if place else None
                if text is not None:
                    return path, text
        return None

    def _text(self, path: Path) -> str | None:
        content = self._read(path)
        if content is None:
            return None
        try:
            text = content.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise Invalid(f"{path} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
        return "--" + text if text.startswith("#") else text  # a line for the shell, which `load` does not skip

    def _shown(self, path: Path) -> str:
        try:
            shown = path.relative_to(self._folder).as_posix()
        except ValueError:
            shown = path.name
        return shown if len(shown) <= CHUNK_NAME_MAX else path.name[-CHUNK_NAME_MAX:]


def quoted_name(name: str) -> str:
    """A name as a short Lua string."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
