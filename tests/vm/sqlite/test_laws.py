"""Laws: what is put in comes out, and statements mean what they mean to Python's own sqlite3."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.sqlite.databases import database, lua, shown

INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    st.none(), INTEGERS, st.floats(allow_nan=False), st.text(st.characters(exclude_categories=["Cs"])), st.binary()
)


@pytest.fixture(scope="module")
def db():
    bench = database()
    bench.output("must(db:exec'create table kept(id integer primary key, v)')")
    return bench


@given(st.lists(VALUES, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_is_inserted_comes_back(db, values):
    blobs = [isinstance(value, bytes) for value in values]
    binds = " ".join(
        f"s:bind{'_blob' if blob else ''}(1, {lua(value)}) s:step() s:reset()"
        for value, blob in zip(values, blobs, strict=True)
    )
    db.output(f"db:exec'delete from kept' local s = db:prepare('insert into kept(v) values(?)') {binds} s:finalize()")
    assert db.output("return rows('select v from kept order by id')") == "\n".join(shown(value) for value in values)
    kinds = {type(None): "null", int: "integer", float: "real", str: "text", bytes: "blob"}
    assert db.output("return rows('select typeof(v) from kept order by id')") == "\n".join(
        shown(kinds[type(value)]) for value in values
    )


# Statements over one small table. Rows are asked for in a whole order, so that there is one right answer.

LITERALS = st.one_of(
    st.sampled_from(["null", "''", "'a'", "'B'", "'10'", "x''", "x'61'", "0.0", "-1.5", "1e3", "9223372036854775807"]),
    st.integers(-3, 12).map(str),
)
COLUMNS = st.sampled_from("abc")
EXPRESSIONS = st.recursive(
    LITERALS | COLUMNS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+ - * / % || = <> < >= is and or & | <<".split()), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        st.tuples(st.sampled_from(["-", "not ", "~"]), inner).map(lambda parts: f"({''.join(parts)})"),
        st.tuples(inner, inner).map(lambda two: f"coalesce({two[0]}, {two[1]})"),
        st.tuples(inner, inner, inner).map(lambda three: "case when {} then {} else {} end".format(*three)),
        st.tuples(st.sampled_from(["length", "typeof", "abs", "upper", "hex"]), inner).map(
            lambda call: "{}({})".format(*call)
        ),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} in ({two[1]}, 1, 'a'))"),
        # As texts: whether a blob can be like anything, null included, is an option of each build.
        st.tuples(inner, inner).map(lambda two: f"(cast({two[0]} as text) like cast({two[1]} as text))"),
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    st.tuples(LITERALS, LITERALS, LITERALS).map(lambda row: "insert into t values({}, {}, {})".format(*row)),
    st.tuples(LITERALS, LITERALS).map(lambda row: "insert or replace into t(a, b) values({}, {})".format(*row)),
    st.tuples(COLUMNS, EXPRESSIONS, EXPRESSIONS).map(lambda set_: "update t set {} = {} where {}".format(*set_)),
    EXPRESSIONS.map(lambda where: f"delete from t where {where}"),
    st.tuples(EXPRESSIONS, EXPRESSIONS).map(
        lambda two: "select {}, a, b, c from t where {} order by 1, 2, 3, 4".format(*two)
    ),
    EXPRESSIONS.map(lambda key: f"select {key}, count(*), min(b), max(c) from t group by 1 order by 1, 2, 3, 4"),
    EXPRESSIONS.map(lambda one: f"select count({one}), total(a), count(distinct {one}) from t"),
    LITERALS.map(lambda value: f"select x.a, y.b from t x left join t y on x.a = y.c and y.b <> {value} order by 1, 2"),
    st.sampled_from(["begin", "commit", "rollback", "savepoint s", "rollback to s", "release s"]),
)
TABLE = "create table t(a integer, b text unique, c)"


@given(st.lists(STATEMENTS, min_size=1, max_size=8))
@settings(max_examples=120, deadline=None)
def test_statements_mean_what_they_mean_elsewhere(db, statements):
    theirs = sqlite3.connect(":memory:", isolation_level=None)
    theirs.execute(TABLE)
    ours = " ".join(f"out[#out + 1] = rows({lua(sql)})" for sql in statements)
    told = db.output(f"local before = db db = sqlite3.open_memory() db:exec'{TABLE}' local out = {{}} {ours} "
                     "db:close() db = before return table.concat(out, '|')")  # fmt: skip
    assert told == "|".join(elsewhere(theirs, sql) for sql in statements)
    theirs.close()


def elsewhere(connection: sqlite3.Connection, sql: str) -> str:
    try:
        return "\n".join(shown(*row) for row in connection.execute(sql))
    except (sqlite3.Error, OverflowError) as error:
        return f"error: {error}"


# A program made of numbers: each picks what to do and to which thing, also inside functions, hooks and finalizers.
MONKEY = r"""
function monkey(tape)
  local at, dbs, statements, backups, nested = 0, { sqlite3.open_memory() }, {}, {}, 0
  local function pick(n)
    at = at + 1
    return (tape[at] or 0) % n + 1
  end
  local function one(things) return things[pick(math.max(#things, 1))] end
  local act
  local function inside(...)
    if nested > 3 or at > #tape then return 0 end
    nested = nested + 1
    for _ = 1, pick(3) do act() end
    nested = nested - 1
    return pick(2) - 1
  end
  local sql = {
    "create table if not exists t(a, b collate c)", "create index if not exists i on t(b)", "drop table if exists t",
    "insert into t values(random() % 9, f(1)), (2, 'x')", "select a, b, f(a) from t order by b",
    "select g(a) from t group by b",
    "update t set a = f(a)", "delete from t", "begin", "commit", "rollback", "savepoint s", "release s", "vacuum",
    "with recursive r(x) as (select 1 union all select x + 1 from r limit 40) select g(x), f(x) from r", "", "bogus",
    "insert into t select a, b from t limit 20 returning f(a)", "select ?, :n", "pragma integrity_check", "reindex",
  }
  local function keep()
    statements[pick(math.min(#statements + 1, 8))] = one(dbs):prepare(one(sql)) or one(statements)
  end
  local acts = {
    function() dbs[pick(math.min(#dbs + 1, 3))] = sqlite3.open_memory() end,
    keep, keep, keep,
    function() one(dbs):close() end,
    function() one(dbs):close_vm(pick(2) == 1) end,
    function() one(dbs):exec(one(sql), inside) end,
    function() one(dbs):exec(one(sql)) end,
    function() one(statements):step() end,
    function() one(statements):step() end,
    function() one(statements):step() end,
    function() one(statements):reset() end,
    function() one(statements):finalize() end,
    function() one(statements):bind(1, setmetatable) end,
    function() one(statements):bind_values(pick(9), "x") end,
    function() one(statements):bind_names(setmetatable({}, { __index = function() inside() return 1 end })) end,
    function() show(one(statements):get_uvalues()) end,
    function() show(one(statements):get_names(), one(statements):get_types(), one(statements):columns()) end,
    function() for _ in one(statements):nrows() do if inside() == 1 then break end end end,
    function() for _ in one(dbs):urows(one(sql)) do if inside() == 1 then break end end end,
    function()
      one(dbs):create_function("f", 1, function(ctx, x) Context = ctx inside() ctx:result(x) end)
    end,
    function()
      one(dbs):create_aggregate("g", 1, function(ctx, x) Context = ctx ctx:set_aggregate_data(x) inside() end,
        function(ctx) inside() ctx:result(ctx:get_aggregate_data()) end)
    end,
    function()
      one(dbs):create_collation("c", function(a, b) inside() return a < b and -1 or a > b and 1 or 0 end)
    end,
    function() one(dbs):create_collation("c", nil) end,
    function()
      local name = one({ "trace", "update_hook", "commit_hook", "rollback_hook", "busy_handler" })
      one(dbs)[name](one(dbs), pick(3) > 1 and inside or nil)
    end,
    function() one(dbs):progress_handler(pick(50), pick(3) > 1 and inside or nil) end,
    function() one(dbs):interrupt() end,
    function() backups[1] = sqlite3.backup_init(one(dbs), "main", one(dbs), "main") end,
    function() one(backups):step(pick(3) - 2) end,
    function() one(backups):finish() end,
    function() Context:result(show(Context:user_data(), Context:aggregate_count())) end,
    function() setmetatable({}, { __gc = inside }) end,
    function() statements = {} backups = {} end,
    function() collectgarbage() end,
    function() error("x") end,
  }
  function act() acts[pick(#acts)]() end
  while at < #tape do
    pcall(act)
    nested = 0
  end
  statements, backups, Context = nil, nil, nil
  collectgarbage()
  collectgarbage()
  for _, each in ipairs(dbs) do pcall(each.close, each) end
  return at
end
"""


@pytest.fixture(scope="module")
def wild():
    bench = database()
    bench.output(MONKEY)
    return bench


@given(st.lists(st.integers(0, 999), max_size=400))
@settings(max_examples=60, deadline=None)
def test_whatever_a_program_does_it_never_stops_the_module(wild, tape):
    evaluation = wild.run(f"return monkey({{{','.join(map(str, tape))}}})")
    assert evaluation.error is None or not evaluation.error.startswith("the module"), evaluation.error
    assert wild.output("return rows('select 1')") == "i1"
