"""SQLite in a process: the published module and ours, the same programs in the same compute unit, by turns.

    python bench/sqlite.py [--rounds N]

First what a process costs before it does anything: the plain module and the one with SQLite. `compiled` is processor
time, spent once on a machine; `start` and `boot` begin from compiled code; memory is what the process was seen to
write. Then milliseconds of processor time for each program, median over the rounds, and theirs over ours. The
published module comes from npm into `.npm-cache`.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from vm.published import samples  # noqa: E402

from puna.vm.extensions import Host  # noqa: E402
from puna.vm.machine import Machine  # noqa: E402
from puna.vm.process import Process  # noqa: E402
from puna.vm.program import Program  # noqa: E402

BUILT = ROOT / "src/puna/vm/module/_built"
FORMAT = "wasm32-puna-lua-1"
MEMORY = 512 << 20
GAS = 9_000_000_000_000

PREPARE = """
db = require('lsqlite3').open_memory()
db:exec('create table t(id integer primary key, name text, n integer, x real); create index tn on t(n)')
return 1
"""
PROGRAMS = {
    "insert 20,000 rows": """
      db:exec('delete from t; begin')
      local s = db:prepare('insert into t(name, n, x) values(?, ?, ?)')
      for i = 1, 20000 do s:bind_values('name' .. i, (i * 7919) % 1000, i / 3) s:step() s:reset() end
      s:finalize() db:exec('commit') return 1""",
    "read them as tables": "local s = 0 for r in db:nrows('select * from t') do s = s + r.n end return s",
    "join by an index": """
      local s = 0
      for a, b in db:urows('select a.id, b.id from t a join t b on a.n = b.n where a.id < 2000') do s = s + b end
      return s""",
    "5,000 small queries": """
      local s = 0
      for i = 1, 5000 do for a in db:urows('select name from t where id = ' .. i) do s = s + #a end end
      return s""",
    "compute in SQL": """
      local sql = "with recursive c(x) as (select 1 union all select x + 1 from c limit 100000) "
        .. "select sum(x), max(json_extract('{\\"a\\":' || x || '}', '$.a')) from c"
      for sum in db:urows(sql) do return sum end""",
}


class Side:
    def __init__(self, path: Path, format_: str):
        environment = samples.compact(samples.ENVIRONMENT)
        program = Program(str(path), path.name, MEMORY, GAS, (), environment, {}, format_)
        begun = time.process_time()
        self.process = Process(samples.machine(), program, Host())
        self.start_ms = 1000 * (time.process_time() - begun)
        begun = time.process_time()
        self.process.apply(samples.compact(samples.boot()), "boot")
        self.boot_ms = 1000 * (time.process_time() - begun)
        self.held_kib = self.process.held_bytes // 2048
        self.number = 0

    def milliseconds(self, code: str) -> float:
        self.number += 1
        message = samples.compact(samples.message(self.number, code, Action="Eval"))
        begun = time.process_time()
        evaluation = self.process.apply(message, "m").evaluation()
        took = 1000 * (time.process_time() - begun)
        if evaluation.error:
            raise SystemExit(evaluation.error)
        return took


def describe(name: str, path: Path) -> None:
    wasm = path.read_bytes()
    begun = time.process_time()
    Machine().compile(wasm)
    compiled = time.process_time() - begun
    Side(path, FORMAT)
    sides = [Side(path, FORMAT) for _ in range(5)]
    start, boot = (statistics.median(getattr(side, each) for side in sides) for each in ("start_ms", "boot_ms"))
    side = sides[0]
    pages = side.process._instance.size >> 16
    side.milliseconds("return 1")
    before = side.process.held_bytes
    opened = ""
    if "sqlite" in path.name:
        side.milliseconds(PREPARE)
        opened = f", {(side.process.held_bytes - before) // 2048} KiB more with a database"
    print(f"{name:10} {len(wasm):>9,} bytes, compiled {compiled:.2f} s, start {start:.1f} ms, boot {boot:.1f} ms, "
          f"{pages} pages of which {side.held_kib} KiB written{opened}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    describe("plain", BUILT / "puna-lua.wasm")
    describe("sqlite", BUILT / "puna-sqlite.wasm")
    published = Side(samples.module("sqlite"), samples.ALL["sqlite"])
    ours = Side(BUILT / "puna-sqlite.wasm", FORMAT)
    times: dict[str, tuple[list, list]] = {name: ([], []) for name in PROGRAMS}
    for side in (published, ours):
        side.milliseconds(PREPARE)
    for _ in range(rounds):
        for name, code in PROGRAMS.items():
            for side, taken in zip((published, ours), times[name], strict=True):
                taken.append(side.milliseconds(code))
    print(f"\n{'':24}{'published':>12}{'ours':>10}")
    for name, pair in times.items():
        theirs, own = map(statistics.median, pair)
        print(f"{name:24}{theirs:9.1f} ms{own:7.1f} ms{theirs / own:7.1f} x")


if __name__ == "__main__":
    main()
