"""Builds the process modules: Lua 5.3 and our Lua runtime as one WebAssembly file, puna-lua.wasm, and the same with
SQLite in it, puna-sqlite.wasm.

Called by the build hook, by `python hatch_build.py`, and by the tests (for modules with another runtime).
The C sources of Lua and SQLite are not in this repository: they are taken from pinned, hashed source distributions
and kept in the cache folder. Nothing is done when no input has changed.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from build_support.zig import compile_c

HERE = Path(__file__).resolve().parent


class Source(NamedTuple):
    """C source inside a source distribution."""

    name: str
    pin: Path  # its last line is the requirement, hash included
    folder: str  # where in the distribution it lies
    files: tuple[str, ...]  # which files of the folder are taken, as patterns


class Library(NamedTuple):
    """A C library that a module has beside Lua's own, and opens by `open_function` when it is first required."""

    name: str
    open_function: str
    sources: Sequence[Path]
    headers: Sequence[Path]
    include: Sequence[Path]


LUA = Source("Lua", HERE / "lua-source.txt", "third-party/lua53", ("*.c", "*.h"))
# Interpreter and compiler programs, a test aid, and nothing else, are left out.
NOT_LIBRARY = {"lua.c", "luac.c", "ltests.c"}

SQLITE_DIR = HERE / "sqlite"
SQLITE = Source("SQLite", SQLITE_DIR / "sqlite-source.txt", "sqlite", ("sqlite3.c", "sqlite3.h"))
# Its parser's stack would grow as long as there is memory. YYSTACKDEPTH is its limit again, as before 3.46, with the
# error of that time.
SQLITE_CHANGES = {
    "#define YYDYNSTACK 1\n": "#define YYDYNSTACK 0\n",
    "\n  sqlite3OomFault(pParse->db);\n/******** End %stack_overflow": (
        '\n  sqlite3ErrorMsg(pParse, "parser stack overflow");\n/******** End %stack_overflow'
    ),
}
# After this line of sqlite3.c the distribution has a few of its own, which call for what we do not take.
SQLITE_END = "/************************** End of sqlite3.c ******************************/\n"

STACK_BYTES = 2 << 20  # 200 nested C calls (Lua's own limit), each with a 4 KiB string buffer, and as much again

# Calls of Lua's libraries into libc that would reach the host: world.c answers them.
RENAMED = "fopen freopen tmpfile tmpnam remove rename system getenv exit clock time".split()

COMPILER = [
    *"-target wasm32-wasi -O2 -DNDEBUG -mexec-model=reactor -w".split(),
    # setjmp and longjmp, which Lua's errors and coroutines stand on, become WebAssembly exceptions.
    *"-mexception-handling -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false".split(),
    *"-D_WASI_EMULATED_SIGNAL -Dl_signalT=int -DL_tmpnam=1 -DLUA_COMPAT_5_2".split(),
    # Lua salts its hashes and picks sort pivots by the clock; here both are fixed.
    *["-Dluai_makeseed()=0x70756e61u", "-Dl_randomizePivot()=0u"],
]
SQLITE_OPTIONS = [
    # The system is ours (sqlite/system.c); everything is in memory, and there is one thread.
    *"-DSQLITE_OS_OTHER=1 -DSQLITE_TEMP_STORE=3 -DSQLITE_THREADSAFE=0 -DSQLITE_DEFAULT_MEMSTATUS=0".split(),
    *"-DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DSQLITE_OMIT_SHARED_CACHE -DSQLITE_OMIT_DESERIALIZE".split(),
    # No stack of a parser, or of a pattern that calls itself, is deeper than the machine's: see sqlite/system.h.
    *"-DYYSTACKDEPTH=2500 -DSQLITE_MAX_LIKE_PATTERN_LENGTH=10000 -DSQLITE_OMIT_LOOKASIDE".split(),
    # What the published module has beside the default.
    *"-DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_MATH_FUNCTIONS".split(),
]
LINKER = [
    # zig's linker puts the stack below all data: running over its end traps instead of overwriting.
    *f"-s -Wl,-z,stack-size={STACK_BYTES}".split(),
    *"-Wl,--export-memory -Wl,--export=__stack_pointer".split(),
]


def build(out_dir: Path, cache_dir: Path) -> None:
    """Bring both modules in `out_dir` up to date. Raises RuntimeError with the failing tool's words."""
    build_module(out_dir / "puna-lua.wasm", HERE / "lua", cache_dir)
    build_sqlite_module(out_dir / "puna-sqlite.wasm", HERE / "lua", cache_dir)


def build_sqlite_module(output: Path, lua_dir: Path, cache_dir: Path) -> None:
    """Build what `build_module` does, with `lsqlite3` to be required."""
    build_module(output, lua_dir, cache_dir, [sqlite_library(cache_dir)])


def build_module(output: Path, lua_dir: Path, cache_dir: Path, libraries: Sequence[Library] = ()) -> None:
    """Build Lua with the runtime in `lua_dir`, which must hold `process.lua` and a `json`, into `output`."""
    lua = fetch(LUA, cache_dir)
    embedded = embedded_files(lua_dir)
    generated = cache_dir / "embedded" / output.stem / "embedded.c"
    write_if_changed(generated, embedding_c(embedded, {each.name: each.open_function for each in libraries}))
    sources = [source for source in sorted(lua.glob("*.c")) if source.name not in NOT_LIBRARY]
    own = [HERE / "process.c", HERE / "heap.c", HERE / "world.c", HERE / "tag.s", generated]
    headers = [HERE / "process.h", *sorted(lua.glob("*.h"))]
    arguments = [*COMPILER, *LINKER, f"-I{lua}", f"-I{HERE}", *(f"-D{name}=puna_{name}" for name in RENAMED)]
    for library in libraries:
        own += library.sources
        headers += library.headers
        arguments += [f"-I{folder}" for folder in library.include]
    # world.c itself defines the renamed functions by their new names, so the renaming may reach it too.
    compile_c(output, [*sources, *own], arguments, inputs=[*headers, *sorted({path for path, _ in embedded})])


def sqlite_library(cache_dir: Path) -> Library:
    """SQLite behind the interface of lsqlite3. Its object file is kept, for compiling it takes half a minute."""
    sqlite = fetch(SQLITE, cache_dir)
    compiled, header = cache_dir / "objects" / "sqlite3.o", sqlite / "sqlite3.h"
    amalgamation = cache_dir / "objects" / "sqlite3.c"
    write_if_changed(amalgamation, adapted_sqlite((sqlite / "sqlite3.c").read_text()))
    compile_c(compiled, [amalgamation], ["-c", *COMPILER, *SQLITE_OPTIONS], inputs=[header])
    own = [SQLITE_DIR / "lsqlite3.c", SQLITE_DIR / "system.c", compiled]
    return Library("lsqlite3", "luaopen_lsqlite3", own, [SQLITE_DIR / "system.h", header], [SQLITE_DIR, sqlite])


def embedded_files(lua_dir: Path) -> list[tuple[Path, str]]:
    """Every Lua file below `lua_dir` with each of its require names, in the order of the names' files.

    `handlers.lua` is required as ".handlers", `a/b.lua` as ".a.b"; lines of the file INDEX, `<file> <name> ...`,
    add further names. Raises RuntimeError when INDEX names a file that is not there.
    """
    found = []
    for path in sorted(lua_dir.rglob("*.lua")):
        found.append((path, "." + ".".join(path.relative_to(lua_dir).with_suffix("").parts)))
    index = lua_dir / "INDEX"
    for line in index.read_text().splitlines() if index.exists() else []:
        file, *names = line.split("#")[0].replace(",", " ").split() or [""]
        if file and not (lua_dir / file).exists():
            raise RuntimeError(f"{index} names {file}, which is not there")
        found += [(lua_dir / file, name) for name in names if (lua_dir / file, name) not in found]
    return found


def embedding_c(embedded: list[tuple[Path, str]], libraries: Mapping[str, str] | None = None) -> str:
    """The C text that holds the embedded files, the table of their names, and that of libraries and their openers."""
    libraries = libraries or {}
    numbers = {path: number for number, path in enumerate(dict.fromkeys(path for path, _ in embedded))}
    lines = ['#include "process.h"', ""]
    for path, number in numbers.items():
        values = ",".join(map(str, path.read_bytes() or b"\n"))
        lines.append(f"static const unsigned char file{number}[] = {{{values}}};")
    lines += ["", "const puna_embedded puna_embedded_files[] = {"]
    for path, name in embedded:
        lines.append(f'  {{"{name}", file{numbers[path]}, sizeof file{numbers[path]}}},')
    lines += ["  {0, 0, 0},", "};", ""]
    lines += [f"int {opener}(struct lua_State *);" for opener in libraries.values()]
    lines.append("const puna_library puna_libraries[] = {")
    lines += [f'  {{"{name}", {opener}}},' for name, opener in libraries.items()]
    return "\n".join([*lines, "  {0, 0},", "};", ""])


def write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def adapted_sqlite(text: str) -> str:
    """SQLite's amalgamation as we compile it. Raises RuntimeError when a place to change is not there exactly once."""
    for old, new in {SQLITE_END: SQLITE_END, **SQLITE_CHANGES}.items():
        if text.count(old) != 1:
            raise RuntimeError(f"sqlite3.c does not have exactly one {old!r}")
        text = text.replace(old, new)
    return text[: text.index(SQLITE_END) + len(SQLITE_END)]


# --- foreign source -----------------------------------------------------------------------------------------------

# pip asks an sdist's build backend for metadata before it hands the file over. That backend would compile for a
# minute and want further tools; we only want the file. This one, found first on the path, answers without looking.
BACKEND = """
import pathlib, types

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info = pathlib.Path(metadata_directory, "{name}-{version}.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return info.name

__legacy__ = types.SimpleNamespace(**globals())
"""


def fetch(source: Source, cache_dir: Path) -> Path:
    """The folder with this C source, fetched through pip when the cache lacks it; its hash is checked by pip."""
    requirement = source.pin.read_text().splitlines()[-1]
    name, version = requirement.split()[0].split("==")
    ready = cache_dir / f"{source.name.lower()}-{name}-{version}-{requirement.rpartition(':')[2][:16]}"
    if ready.exists():
        return ready
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        work = Path(folder)
        _download(source, work, name, version)
        [archive] = work.glob("*.tar.gz")
        _unpack(source, archive, work / "source")
        try:
            os.replace(work / "source", ready)
        except OSError:  # another build was faster
            if not ready.exists():
                raise
    return ready


def _download(source: Source, work: Path, name: str, version: str) -> None:
    backend = work / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build_meta.py").write_text(BACKEND.format(name=name, version=version))
    path = os.pathsep.join(filter(None, [str(backend.parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", name, "--no-build-isolation"]
    command += ["--require-hashes", "-r", str(source.pin), "-d", str(work), "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    if done.returncode != 0:
        words = (done.stdout + done.stderr)[-3000:]
        raise RuntimeError(f"could not fetch {source.name}'s source ({name} {version}) through pip:\n{words}")


def _unpack(source: Source, archive: Path, into: Path) -> None:
    into.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            folder, _, file = member.name.partition("/")[2].rpartition("/")
            if member.isfile() and folder == source.folder and any(fnmatch(file, each) for each in source.files):
                with tar.extractfile(member) as packed, open(into / file, "wb") as target:
                    shutil.copyfileobj(packed, target)
