"""The same on every unit: two instances, one that went on from a snapshot, and the module as it ships."""

import json

import pytest
from vm.bench import BUILT, MIB, ROOT, Bench, bare_module, bare_sqlite_module, build_script, machine, program
from vm.sqlite.databases import PRELUDE, database

SHIPPED = ROOT / "src/puna/vm/module/_built/puna-sqlite.wasm"

LIFE = [
    "must(db:exec[[create table t(id integer primary key, name text, n); create index i on t(n)]])",
    "local s = db:prepare('insert into t(name, n) values(?, random())') for i = 1, 300 do "
    "s:bind_values('n' .. i) s:step() "
    "s:reset() end return rows('select sum(n) from t')",
    "open = db:prepare('select id, name from t order by n') for i = 1, 7 do open:step() end return "
    "show(open:get_uvalues())",
    "must(db:exec'begin; delete from t where id % 3 = 0; update t set name = hex(randomblob(20)) where id % 5 = 0')",
    "db:create_function('twice', 1, function(ctx, x) ctx:result(x * 2) end) return rows('select "
    "twice(id) from t limit 3')",
    "open:step() return show(open:get_uvalues()) .. tostring(open) .. tostring(db)",
    "open:finalize() must(db:exec'rollback; vacuum') return rows('select count(*), max(name) from t where n > 0')",
]


def test_two_instances_and_one_from_a_snapshot_after_every_message_agree():
    one, other, restarted = database(), database(), database()
    for code in LIFE:
        restarted = restarted.restored()
        evaluations = [each.run(code) for each in (one, other, restarted)]
        assert evaluations[0].error is None
        assert evaluations[0] == evaluations[1] == evaluations[2]
        assert one.root == other.root == restarted.root


def test_66_a_table_made_in_message_1_is_there_in_message_2_and_chance_is_the_same_on_two_units():
    one, other = database(), database()
    for each in (one, other):
        each.output("must(db:exec'create table t(a)')")
        each.output("must(db:exec'insert into t values(7)')")
        assert each.output("return rows('select a from t')") == "i7"
    numbers = [
        each.output("return rows('select random(), hex(randomblob(8)) from (values(1),(2))')") for each in (one, other)
    ]
    assert numbers[0] == numbers[1]
    assert len(set(numbers[0].replace("\n", ",").split(","))) == 4


def test_chance_differs_from_process_to_process():
    def first(id_: str) -> str:
        bench = Bench(program(module=bare_sqlite_module(), memory=64 * MIB))
        bench.output(f"ao = {{id = '{id_}'}}" + PRELUDE)
        return bench.output("return rows('select random()')")

    assert first("p" * 43) == first("p" * 43) != first("q" * 43)


def test_the_module_imports_what_the_plain_one_does_and_has_its_one_global():
    plain, module = (machine().load(path).module for path in (bare_module(), bare_sqlite_module()))
    assert {(each.module, each.name) for each in module.imports} == {("host", "call"), ("host", "take")}
    assert {each.name for each in module.exports} == {each.name for each in plain.exports}


def test_the_plain_module_has_no_sqlite():
    assert "module 'lsqlite3' not found" in Bench().error("require('lsqlite3')")


def test_nothing_of_sqlite_is_in_the_memory_of_a_process_that_does_not_ask_for_it():
    bench = Bench(program(module=bare_sqlite_module()))
    assert bench.output("return tostring(package.loaded.lsqlite3)") == "nil"
    assert bench.output("package.preload = {} return tostring(require('lsqlite3') == require('lsqlite3'))") == "true"


def test_the_same_inputs_make_the_same_module(tmp_path):
    build_script().build_sqlite_module(tmp_path / "again.wasm", ROOT / "tests/vm/bare", BUILT.parent)
    assert (tmp_path / "again.wasm").read_bytes() == bare_sqlite_module().read_bytes()


def test_another_sqlite_than_the_one_we_know_stops_the_build():
    with pytest.raises(RuntimeError, match="exactly one"):
        build_script().adapted_sqlite("int sqlite3_is_different;")


def test_the_shipped_module_keeps_a_database_under_the_whole_runtime():
    if not SHIPPED.exists():
        pytest.skip("run `python hatch_build.py` first")
    environment = json.dumps(
        {
            "Process": {"Id": "p", "Owner": "o", "Tags": [{"name": "Module", "value": "m"}]},
            "Module": {"Id": "m", "Tags": []},
        }
    ).encode()
    bench = Bench(program(module=SHIPPED, memory=64 * MIB, environment=environment))
    fields = {
        "From": "o",
        "Owner": "o",
        "Target": "p",
        "Tags": [{"name": "Action", "value": "Eval"}],
        "Block-Height": 1,
    }

    def data(code: str, number: int) -> str:
        evaluation = bench.run(code, Id=f"i{number}", **fields)
        assert evaluation.error is None, evaluation.error
        return evaluation.output["data"]

    data("db = require('lsqlite3').open_memory() db:exec[[create table t(a); insert into t values('kept')]]", 1)
    assert data("for a, now in db:urows([[select a, datetime('now') from t]]) do return a .. now end", 2) == (
        "kept2023-11-14 22:13:20"
    )
