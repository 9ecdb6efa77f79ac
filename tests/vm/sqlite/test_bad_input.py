"""What programs do wrong with a database, or do to it: named, never more than the message's own failure."""

import pytest
from vm.bench import MIB
from vm.sqlite.databases import database, lua, shown


@pytest.fixture
def db():
    return database()


@pytest.fixture(scope="module")
def shared():
    bench = database()
    bench.output("must(db:exec'create table t(id integer primary key, a text not null unique check(a <> \\'bad\\'))')")
    bench.output("must(db:exec[[insert into t values(1, 'x')]])")
    return bench


@pytest.mark.parametrize(
    ("sql", "code", "text"),
    [
        ("selec 1", 1, 'near "selec": syntax error'),
        ("select 'open", 1, 'unrecognized token: "\'open"'),
        ("select (1", 1, "incomplete input"),
        ("select a from nowhere", 1, "no such table: nowhere"),
        ("select b from t", 1, "no such column: b"),
        ("select nofunction(1)", 1, "no such function: nofunction"),
        ("insert into t values(1, 'y')", 19, "UNIQUE constraint failed: t.id"),
        ("insert into t values(2, 'x')", 19, "UNIQUE constraint failed: t.a"),
        ("insert into t values(2, null)", 19, "NOT NULL constraint failed: t.a"),
        ("insert into t values(2, 'bad')", 19, "CHECK constraint failed: a <> 'bad'"),
        ("insert into t values('two', 'y')", 20, "datatype mismatch"),
        ("select abs(-9223372036854775807 - 1)", 1, "integer overflow"),
        ("select zeroblob(2000000000)", 18, "string or blob too big"),
        ("select json('{')", 1, "malformed JSON"),
        ("attach 'file.db' as f", 14, "unable to open database: file.db"),
        ("select load_extension('x')", 1, "no such function: load_extension"),
        ("commit", 1, "cannot commit - no transaction is active"),
        ("create table t(a)", 1, "table t already exists"),
    ],
)
def test_errors_of_sql_are_sqlite_s(shared, sql, code, text):
    assert shared.output(f"return show(db:exec({lua(sql)}), db:errcode(), db:errmsg())") == shown(code, code, text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("db:nrows('selec')", 'near "selec": syntax error'),
        ("for a in db:urows('select abs(-9223372036854775807 - 1)') do end", "integer overflow"),
        ("db:exec()", "bad argument #1 to 'exec' (string expected, got no value)"),
        ("db:exec('select 1', 'f')", "bad argument #2 to 'exec' (function expected, got string)"),
        ("db.exec('select 1')", "bad argument #1 to 'exec' (:sqlite3 expected, got string)"),
        ("db:prepare('select ?'):bind(1, {})", "index (1) - invalid data type for bind (table)"),
        ("db:prepare('select ?'):bind(1, print)", "index (1) - invalid data type for bind (function)"),
        ("db:prepare('select ?'):bind(2, 1)", "bind index out of range [1..1]"),
        ("db:prepare('select ?'):bind(1 << 40, 1)", "bind index out of range [1..1]"),
        ("db:prepare('select ?'):bind(1.5, 1)", "number has no integer representation"),
        ("db:prepare('select ?'):bind_values(1, 2)", "incorrect number of parameters to bind (2 given, 1 to bind)"),
        ("db:prepare('select ?'):bind_values()", "incorrect number of parameters to bind (0 given, 1 to bind)"),
        ("db:prepare('select ?'):bind_names(1)", "table expected, got number"),
        ("db:prepare('select :a'):bind_names({a = {}})", "index (1) - invalid data type for bind (table)"),
        ("db:prepare('select 1'):get_value(0)", "misuse of function"),
        ("local s = db:prepare('select 1') s:step() s:get_value(1)", "index out of range [0..0]"),
        ("local s = db:prepare('select 1') s:step() s:step() s:get_values()", "misuse of function"),
        ("local s = db:prepare('select 1') s:finalize() s:step()", "attempt to use closed sqlite virtual machine"),
        ("local s = db:prepare('select 1') s:finalize() s:finalize()", "attempt to use closed sqlite virtual machine"),
        ("local f, s = db:urows('') f(s)", "attempt to use closed sqlite virtual machine"),
        ("local s = db:prepare('select 1') db:close_vm() s:step()", "attempt to use closed sqlite virtual machine"),
        ("local s = db:prepare('select 1') db:close() s:step()", "attempt to use closed sqlite virtual machine"),
        ("db:close() db:exec('select 1')", "attempt to use closed sqlite database"),
        ("db:close() db:close()", "attempt to use closed sqlite database"),
        ("db:close() db:errmsg()", "attempt to use closed sqlite database"),
        ("db:create_function('f', 1, 2)", "function expected, got number"),
        ("db:create_function('f', 1 << 40, print)", "not a number of arguments"),
        ("db:create_aggregate('f', 1, print)", "function expected, got no value"),
        ("sqlite3.open(nil)", "string expected, got nil"),
        ("sqlite3.backup_init(db, 'main', db)", "string expected, got no value"),
        ("local b = sqlite3.backup_init(sqlite3.open_memory(), 'main', db, 'main') b:finish() b:step(1)",
         "attempt to use closed sqlite database backup"),
        ("db:exec('select ' .. ('1 collate nocase collate '):rep(5001) .. 'x')", "more than 5000 times COLLATE"),
    ],
)  # fmt: skip
def test_misuse_is_an_error_of_lua(shared, code, text):
    before = shared.root
    assert text in shared.error(code)
    assert shared.root == before


def test_closed_things_say_so(db):
    assert db.output("s = db:prepare('') return tostring(s) .. tostring(s:isopen())") == (
        "sqlite virtual machine (closed)false"
    )
    assert db.output("return show(db:close(), db:isopen()) .. tostring(db)") == "i0,falsesqlite database (closed)"


@pytest.mark.parametrize("path", ["world.db", "/tmp/x", "../x", "file:x?mode=rwc"])
def test_there_are_no_files(db, path):
    text = (
        "unable to open database file: a process has no files; "
        "sqlite3.open_memory() keeps a database in the process itself"
    )
    assert db.output(f"return show(sqlite3.open({lua(path)}))") == shown(None, 14, text)
    assert (
        db.output("return tostring(sqlite3.open(':memory:'):isopen()) .. tostring(sqlite3.open(''):isopen())")
        == "truetrue"
    )
    assert db.output("return show(db:load_extension('x'))") == "false," + shown(
        "a process has no files to load extensions from"
    )


def test_errors_of_functions_become_sql_s(db):
    db.output("must(db:exec'create table t(a)')")
    db.output("db:create_function('bad', 1, function(ctx, how) if how == 1 then error('first', 0) elseif how == 2 then "
              "ctx:result_error('second') elseif how == 3 then error({}) else ctx:result({}) end end)")  # fmt: skip
    assert [db.output(f"return rows('select bad({how})')") for how in (1, 2, 3)] == [
        "error: first", "error: second", "error: (error object is not a string)",
    ]  # fmt: skip
    assert db.output("return rows('select bad(4)')").endswith("invalid result type table")
    assert db.output("db:exec('begin; insert into t values(1)') return show(db:exec('insert "
        "into t values(2), (bad(1))')) "
                     ".. rows('select a from t')") == "i1i1"  # fmt: skip
    db.output("db:create_aggregate('fails', 1, function() error('step', 0) end, function(ctx) Ended = true end)")
    assert db.output("return rows('select fails(1)') .. tostring(Ended)") == "error: stepnil"
    db.output("db:create_aggregate('fails', 1, function() end, function(ctx) error('end', 0) end)")
    assert db.output("return rows('select fails(1)')") == "error: end"


def test_what_a_collation_raises_fails_the_message_before_an_index_is_in_no_order(db):
    db.output(
        "db:create_collation('c', function(a, b) if Fail then error(Fail, 0) end return a < b and -1 or "
        "a > b and 1 or 0 end)"
    )
    db.output(
        "must(db:exec[[create table t(a collate c); create index i on t(a); insert into t values('b'), ('a'), ('c')]])"
    )
    before = db.root
    for code in ("db:exec[[insert into t values('aa')]]", "db:prepare[[insert into t values('aa')]]:step()"):
        assert db.error(f"Fail = 'no order' {code}") == "no order"
        assert db.root == before
    assert "not enough memory" in db.error("Fail = setmetatable({}, {}) db:create_collation('c', function() local "
        "t = {} "
                                           "for i = 1, 1e9 do t[i] = {i} end end) rows('select a from t order by "
                                               "+a collate c')")  # fmt: skip
    assert db.output("return rows('pragma integrity_check')") == shown("ok")
    assert db.output("return rows('select a from t order by a')") == "\n".join(map(shown, "abc"))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("db:close()", "the database is in use"),
        ("db:close_vm()", "the database is in use"),
        ("S:finalize()", "the statement is running"),
        ("S:reset()", "the statement is running"),
        ("S:step()", "the statement is running"),
        ("S:bind(1, 1)", "the statement is running"),
        ("S:get_value(0)", "misuse of function"),
        ("for a in S:urows() do end", "the statement is running"),
        ("sqlite3.backup_init(sqlite3.open_memory(), 'main', db, 'main')", "the database is in use"),
        ("coroutine.yield()", "attempt to yield across a C-call boundary"),
    ],
)
def test_a_function_cannot_pull_the_statement_from_under_itself(db, body, text):
    db.output(f"db:create_function('f', 0, function(ctx) {body} ctx:result(1) end) S = db:prepare('select f(), ?')")
    assert text in db.output("return tostring(coroutine.wrap(function() return S:step() end)()) .. db:errmsg()")
    assert db.output("return show(S:reset() ~= 0, S:finalize(), db:close())") == "true," + shown(0, 0)


@pytest.mark.parametrize("hook", ["update_hook", "trace", "rollback_hook", "commit_hook"])
def test_a_hook_cannot_use_the_database_that_called_it(db, hook):
    db.output("must(db:exec'create table t(a)')")
    db.output(f"db:{hook}(function() Ok, Error = pcall(db.exec, db, 'insert into t values(2)') end)")
    db.output("db:exec'begin; insert into t values(1); commit' db:exec'begin; rollback'")
    assert "a hook cannot use the database that called it" in db.output("return tostring(Ok) .. Error")
    assert db.output("return rows('select a from t')") == "i1"


def test_what_becomes_garbage_inside_a_query_waits_for_its_end(db):
    db.output("must(db:exec'create table t(a); insert into t values(1), (2), (3)')")
    db.output("""
      db:create_function('litter', 1, function(ctx, x)
        for i = 1, 30 do
          local s = db:prepare('select a from t where a >= ' .. i % 3)
          s:step()
          for a in db:urows('select a from t') do break end
          setmetatable({}, { __gc = function() db:exec('insert into t values(0)') pcall(db.close, db) end })
        end
        collectgarbage()
        ctx:result(x)
      end)
    """)
    assert db.output("return rows('select sum(litter(a)) from t where a > 0')") == "i6"
    assert db.output("return rows('pragma integrity_check')") == shown("ok")
    assert db.output("collectgarbage() return show(db:exec('drop table t'), db:close())") == shown(0, 0)


def test_a_context_is_good_for_its_call_only(db):
    db.output("db:create_function('keep', 0, function(ctx) Kept = ctx ctx:result(1) end)")
    db.output("rows('select keep()')")
    assert "invalid sqlite context" in db.error("Kept:result(2)")
    db.output("db:create_function('keep', 0, function(ctx) ctx:get_aggregate_data() end)")
    assert "attempt to call aggregate method from scalar function" in db.output("return rows('select keep()')")


def test_a_query_inside_a_query_inside_a_query_ends(db):
    db.output("db:create_function('deep', 1, function(ctx, n) for v in db:urows('select deep(' .. n + 1 .. ')') do "
              "ctx:result(v) end end)")  # fmt: skip
    assert "C stack overflow" in db.output("return rows('select deep(1)')")
    assert db.output("return rows('select 1')") == "i1"


@pytest.mark.parametrize(
    "code",
    [
        "('select x from ('):rep(20000) .. 'select 1 as x' .. (')'):rep(20000)",
        "'select ' .. ('('):rep(50000) .. '1' .. (')'):rep(50000)",
        "('with a as ('):rep(20000) .. 'select 1' .. (') select * from a'):rep(20000)",
        "'select ' .. ('- '):rep(50000) .. '1'",
    ],
)
def test_sql_that_nests_without_end_is_an_error_of_sql(shared, code):
    assert shared.output(f"return show(db:exec({code}), db:errmsg())") == shown(1, "parser stack overflow")


def test_what_nests_by_names_nests_to_the_same_depth_on_every_machine():
    db = database(memory=256 * MIB, gas=100_000_000_000)
    triggers = """
      local all = {'create table t0(a);'}
      for n = 1, COUNT do
        all[#all + 1] = 'create table t' .. n .. '(a);create trigger g' .. n .. ' after insert on t' .. n
          .. ' begin insert into t' .. n - 1 .. ' values(new.a); end;'
      end
      must(db:exec(table.concat(all) .. 'insert into t' .. COUNT .. ' values(1)'))
    """
    db.output(triggers.replace("COUNT", "100"))
    assert db.output("return rows('select a from t0')") == "i1"
    queries = """
      local all = {'with a0 as (select 1 as x)'}
      for n = 1, COUNT do
        all[#all + 1] = ', a' .. n .. ' as (select x from a' .. n - 1 .. ' where x > 0 limit 1)'
      end
      return rows(table.concat(all) .. 'select * from a' .. COUNT)
    """
    assert db.output(queries.replace("COUNT", "100")) == "i1"
    assert "stack overflow (SQL is nested too deeply)" in db.error(queries.replace("COUNT", "2500"))


def test_memory_that_sqlite_cannot_have_fails_the_message_alone():
    db = database(memory=16 * MIB)
    db.output("must(db:exec'create table t(a); insert into t values(1)')")
    before = db.root
    many = "with recursive c(x) as (select 1 union all select x + 1 from c) insert into t select zeroblob(9999) from c"
    for code in (
        f"db:exec[[{many}]]",
        f"local s = db:prepare[[{many}]] s:step()",
        "for a in db:urows('select hex(randomblob(9000000))') do end",
        "db:prepare('select ?'):bind_values(('x'):rep(9 << 20))",
        "db:create_function('f', 0, function() local t = {} for i = 1, 1e9 do t[i] = {i} end end) db:exec'select f()'",
        "db:exec('select 1', function() local t = {} for i = 1, 1e9 do t[i] = {i} end end)",
    ):
        assert "not enough memory" in db.error(code), code
        assert db.root == before
    assert db.output(f"return tostring(pcall(db.exec, db, [[{many}]])) .. rows('select count(*) from t')") == "falsei1"
    assert db.output("return rows('pragma integrity_check')") == shown("ok")


def test_a_query_without_end_runs_out_of_gas():
    db = database(gas=500_000_000)
    db.output("must(db:exec'create table t(a); insert into t values(1)')")
    before = db.root
    endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
    evaluation = db.run(f"db:exec[[delete from t; {endless}]]")
    assert evaluation.error == "out of gas: the message used all 500000000 units it may"
    assert evaluation.gas_used == 500_000_000 and db.root == before
    assert db.output("return rows('select a from t')") == "i1"


def test_large_blobs_pass_whole(db):
    db.output("must(db:exec'create table t(a)') B = ('0123456789'):rep(500000)")
    db.output("local s = db:prepare('insert into t values(?)') s:bind_blob(1, B) s:step() s:finalize()")
    assert db.output("for a in db:urows('select a from t') do return tostring(a == B) .. #a end") == "true5000000"
