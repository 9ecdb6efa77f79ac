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
        st.tuples(inner, inner).map(lambda two: f"({two[0]} like {two[1]})"),
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
