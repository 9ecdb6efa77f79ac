"""Stories of databases inside a process: what lsqlite3 documents, kept from message to message."""

import pytest
from vm.sqlite.databases import database, lua, shown


@pytest.fixture
def db():
    return database()


def test_a_table_made_in_one_message_is_there_in_the_next(db):
    db.output(
        "must(db:exec[[create table world(id integer primary key, name text); insert into world values(7, 'x')]])"
    )
    assert db.output("return rows('select * from world')") == shown(7, "x")
    assert db.restored().output("return rows('select * from world')") == shown(7, "x")


def test_a_failed_message_leaves_database_and_statements_as_they_were(db):
    db.output(
        "must(db:exec'create table t(a); insert into t values(1),(2)') s = db:prepare('select a from t') s:step()"
    )
    before = db.root
    error = db.error(
        "db:exec'insert into t values(3)' s:step() db:exec'drop table if exists u' s:finalize() error('no')"
    )
    assert "no" in error and db.root == before
    assert db.output("return show(s:get_value(0)) .. show(s:step(), s:get_value(0), s:step())") == "i1" + shown(
        100, 2, 101
    )
    assert db.output("return rows('select count(*) from t')") == "i2"


def test_a_transaction_may_span_messages_and_be_taken_back(db):
    db.output("must(db:exec'create table t(a); begin; insert into t values(1)')")
    db.output("must(db:exec'savepoint s; insert into t values(2); rollback to s')")
    assert db.output("return rows('select a from t')") == "i1"
    db.output("must(db:exec'rollback')")
    assert db.output("return rows('select a from t')") == ""


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("select null, 1, -9223372036854775808, 9223372036854775807", (None, 1, -(2**63), 2**63 - 1)),
        ("select 1.0, -0.5, 1e999, 9223372036854775807 + 1", (1.0, -0.5, float("inf"), 2.0**63)),
        ("select 'añ🦙', '', char(97, 0, 98)", ("añ🦙", "", "a\0b")),
        ("select x'00ff', x'', zeroblob(3)", (b"\0\xff", b"", bytes(3))),
        ("select json_extract('{\"a\":[1,2.5]}', '$.a[1]'), '[1,2]' ->> 1", (2.5, 2)),
        ("select sqrt(16.0), format('%05.1f', 2.5), group_concat(column1) from (values(1),(2))", (4.0, "002.5", "1,2")),
    ],
)
def test_values_come_as_lua_s_own(db, sql, values):
    assert db.output(f"return rows({lua(sql)})") == shown(*values)


def test_parameters_are_bound_by_place_and_by_name(db):
    db.output("s = db:prepare('select ?, :name, @at, $dollar')")
    names = "s:bind_parameter_name(1), s:bind_parameter_name(2), s:bind_parameter_name(3), s:bind_parameter_name(4)"
    assert db.output(f"return show(s:bind_parameter_count(), {names})") == shown(4, None, ":name", "@at", "$dollar")
    code = (
        "s:reset() return show(s:bind_names({10, 20, name = 'n', at = true, dollar = 1.5}), s:step(), s:get_uvalues())"
    )
    assert db.output(code) == shown(0, 100, 10, "n", 1, 1.5)
    assert db.output(
        "n = db:prepare('select ?2, ?1') return show(n:bind_names({10, 20}), n:step(), n:get_uvalues())"
    ) == (shown(0, 100, 20, 10))
    assert db.output("s:reset() s:bind_values(nil, 'b', false, 2^53) s:step() return show(s:get_uvalues())") == shown(
        None, "b", 0, 2.0**53
    )
    assert db.output("s:reset() s:bind_blob(1, 'x\\0') s:bind(2) s:step() return show(s:get_uvalues())") == shown(
        b"x\0", None, 0, 2.0**53
    )
    assert db.output("s = db:prepare('select typeof(?), typeof(?)') s:bind(1, 'x') s:bind_blob(2, 'x') s:step() "
                     "return table.concat(s:get_values(), ' ')") == "text blob"  # fmt: skip


def test_rows_come_as_lists_tables_and_values(db):
    db.output(
        "must(db:exec'create table t(id integer primary key, n numeric); insert into t values(1, 2.5),(2, null)')"
    )
    assert db.output(
        "local r = '' for row in db:nrows('select * from t') do r = r .. show(row.id, row.n) end return r"
    ) == (shown(1, 2.5) + shown(2, None))
    assert db.output(
        "local r = '' for row in db:rows('select * from t') do r = r .. show(row[1], row[2]) end return r"
    ) == (shown(1, 2.5) + shown(2, None))
    assert db.output("local r = '' for a, b in db:urows('select * from t') do r = r .. show(a, b) end return r") == (
        shown(1, 2.5) + shown(2, None)
    )
    again = """
      local s, r = db:prepare('select id from t'), ''
      for round = 1, 2 do for row in s:nrows() do r = r .. row.id end for a in s:urows() do r = r .. a end end
      for row in s:rows() do r = r .. row[1] end
      return r .. tostring(s:isopen())
    """
    assert db.output(again) == "1212121212true"


def test_columns_tell_their_names_and_declared_types(db):
    db.output("must(db:exec'create table t(id integer primary key, name varchar(9))')")
    db.output("s = db:prepare('select id, name, id + 1 as more from t')")
    assert db.output("return show(s:columns(), s:get_name(2), s:get_type(1), s:get_type(2))") == shown(
        3, "more", "varchar(9)", None
    )
    assert db.output("return table.concat(s:get_names(), ' ') .. show(s:get_unames())") == "id name more" + shown(
        "id", "name", "more"
    )
    assert db.output("return s:get_types()[1] .. show(s:get_utypes()) .. s:get_named_types().name") == (
        "INTEGER" + shown("INTEGER", "varchar(9)", None) + "varchar(9)"
    )


def test_an_iterator_may_wait_in_a_coroutine_for_the_next_message(db):
    db.output("must(db:exec'create table t(a); insert into t values(1),(2),(3)')")
    db.output("Co = coroutine.wrap(function() for a in db:urows('select a from t') do coroutine.yield(a) end end) Co()")
    assert db.output("return Co()") == "2"
    assert db.restored().output("return Co()") == "3"


def test_counts_of_changes_and_the_last_row_s_id(db):
    db.output("must(db:exec'create table t(id integer primary key, a); insert into t(a) values(1),(2),(3)')")
    assert db.output("return show(db:changes(), db:total_changes(), db:last_insert_rowid())") == shown(3, 3, 3)
    db.output("must(db:exec'delete from t where id < 3')")
    assert db.output("return show(db:changes(), db:total_changes())") == shown(2, 5)
    assert db.output(
        "local s = db:prepare('insert into t values(1 << 40, 0)') s:step() return show(s:last_insert_rowid())"
    ) == (shown(2**40))


def test_exec_calls_back_once_a_row_with_texts_and_stops_when_told(db):
    code = """
      local seen = {}
      local code = db:exec("select 1 as a, null as b; select 2.5 as c", function(data, count, values, names)
        seen[#seen + 1] = data .. count .. names[1] .. tostring(values[1]) .. tostring(values[2])
        return 0
      end, 'data')
      return code .. table.concat(seen, ' ')
    """
    assert db.output(code) == "0data2a1nil data1c2.5nil"
    assert db.output("return show(db:exec('select 1', function() return 1 end), db:errmsg())") == shown(
        4, "query aborted"
    )
    assert db.output("return show(db:exec('select 1', function() error('x') end))") == shown(4)
    assert db.output("local n = 0 db:exec('select 1; select 2; select 3', function() n = n "
        "+ 1 return n == 2 and 1 or 0 end) "
                     "return n") == "2"  # fmt: skip


def test_functions_of_the_program_run_inside_sql(db):
    db.output("db:create_function('plus', 2, function(ctx, a, b) ctx:result(a + b) end)")
    assert db.output("return rows('select plus(1, 2), plus(1.5, 2), typeof(plus(1, 2))')") == shown(3, 3.5, "integer")
    db.output(
        "db:create_function('them', -1, function(ctx, ...) ctx:result_text(show(ctx:user_data(), ...)) end, 'mine')"
    )
    assert db.output("return rows([[select them(null, char(233), x'00', 1)]])") == shown(
        shown("mine", None, "é", b"\0", 1)
    )
    assert db.output("return rows('select them()')") == shown(shown("mine"))
    db.output("db:create_function('kinds', 1, function(ctx, n) "
              "({ctx.result_int, ctx.result_number, ctx.result_text, "
                  "ctx.result_blob, ctx.result_null})[n](ctx, 7) end)")  # fmt: skip
    kinds = "typeof(kinds(1)), typeof(kinds(2)), typeof(kinds(3)), typeof(kinds(4)), typeof(kinds(5))"
    assert db.output(f"return rows('select {kinds}')") == shown("integer", "real", "text", "blob", "null")
    db.output(
        "db:create_function('ask', 1, function(ctx, n) for v in db:urows('select '..n..' * 2') do "
        "ctx:result(v) end end)"
    )
    assert db.output("return rows('select ask(21)')") == "i42"


def test_aggregates_of_the_program_keep_their_data_between_rows(db):
    db.output("""
      must(db:exec'create table t(g, x); insert into t values(1, 10),(2, 20),(1, 30)')
      db:create_aggregate('product', 1, function(ctx, x)
        ctx:set_aggregate_data((ctx:get_aggregate_data() or 1) * x)
      end, function(ctx) ctx:result(show(ctx:aggregate_count(), ctx:get_aggregate_data(), ctx:user_data())) end, 'u')
    """)
    groups = [(1, shown(2, 300, "u")), (2, shown(1, 20, "u"))]
    assert db.output("return rows('select g, product(x) from t group by g')") == "\n".join(
        shown(*row) for row in groups
    )
    # No row, no step: there is no data either.
    assert db.output("return rows('select product(x) from t where 0')") == shown(shown(0, None, "u"))


def test_collations_of_the_program_order_and_compare(db):
    db.output("db:create_collation('backwards', function(a, b) return a < b and 1 or a > b and -1 or 0 end)")
    sql = (
        "select group_concat(v) from (select column1 as v from (values('b'),('c'),('a')) order by 1 collate backwards)"
    )
    assert db.output(f"return rows([[{sql}]])") == shown("c,b,a")
    db.output("db:create_collation('backwards', nil)")
    assert db.output(f"return rows([[{sql}]])") == "error: no such collation sequence: backwards"


def test_hooks_see_what_happens_and_may_veto(db):
    db.output("""
      must(db:exec'create table t(id integer primary key)')
      Seen = {}
      local function note(...) Seen[#Seen + 1] = show(...) end
      db:trace(note, 'trace') db:update_hook(note, 'update') db:rollback_hook(note, 'back')
      db:commit_hook(function(...) note(...) return Veto end, 'commit')
    """)
    seen = "local s = table.concat(Seen, '|') Seen = {} return s"
    db.output("must(db:exec'insert into t values(5)')")
    insert = "insert into t values(5)"
    assert db.output(seen) == "|".join([shown("trace", insert), shown("update", 18, "main", "t", 5), shown("commit")])
    assert db.output("Veto = true return show(db:exec'insert into t values(6)', db:errmsg())") == shown(
        19, "constraint failed"
    )
    assert db.output(seen).endswith(shown("commit") + "|" + shown("back"))
    db.output("db:trace() db:update_hook() db:rollback_hook() db:commit_hook()")
    assert db.output("must(db:exec'insert into t values(7)') return #Seen .. rows('select id from t')") == "0i5\ni7"


def test_a_progress_handler_can_end_a_long_query(db):
    endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
    db.output("N = 0 db:progress_handler(100, function(data) N = N + data return N >= 5 and 1 or 0 end, 1)")
    assert db.output(f"return show(db:exec[[{endless}]], N, db:errmsg())") == shown(9, 5, "interrupted")
    db.output("db:progress_handler(0, nil)")
    assert db.output("return show(db:exec'select 1')") == "i0"


def test_an_interrupt_ends_what_is_running(db):
    db.output("db:create_function('stop', 0, function(ctx) db:interrupt() end)")
    sql = "select stop() from (values(1), (2), (3))"
    assert db.output(f"return show(db:exec('{sql}'), db:errmsg())") == shown(9, "interrupted")
    assert db.output("return rows('select 1')") == "i1"


def test_a_database_is_copied_into_another(db):
    db.output(
        "must(db:exec'create table t(a); insert into t values(randomblob(9000)), (1)') other = sqlite3.open_memory()"
    )
    db.output("copy = sqlite3.backup_init(other, 'main', db, 'main')")
    assert db.output("return show(copy:step(1), copy:remaining() > 0, copy:pagecount())") == "i0,true,i4"
    assert db.output("return show(other:close(), db:close())") == shown(5, 5)  # busy
    assert db.output("return show(copy:step(-1), copy:remaining(), copy:finish())") == shown(101, 0, 0)
    assert db.output("db = other return rows('select length(a) from t')") == "i9000\ni1"


def test_full_text_search(db):
    db.output("must(db:exec[[create virtual table f using fts5(x); insert into f values('a llama eats'), ('a king')]])")
    assert db.restored().output("return rows([[select x from f where f match 'llama']])") == shown("a llama eats")


def test_the_clock_is_the_message_s(db):
    assert db.output("return rows([[select datetime('now'), unixepoch(), strftime('%f', 'now')]])") == shown(
        "2023-11-14 22:13:20", 1_700_000_000, "20.123"
    )
    assert db.run(
        "return rows([[select current_timestamp, datetime('now', 'localtime')]])", Timestamp=0
    ).output == shown("1970-01-01 00:00:00", "1970-01-01 00:00:00")


def test_what_became_garbage_is_given_back(db):
    db.output("must(db:exec'create table t(a); insert into t values(1)')")
    forget = "for i = 1, 3000 do local s = db:prepare('select a from t where a <> ' .. i) s:step() end"
    db.output(forget)
    size = db.process._shadow.size
    for _ in range(4):
        db.output(forget)
    assert db.process._shadow.size == size
    # Of 2,000 databases with 100 KB in each, all can be had in 64 MiB one after the other.
    db.output(
        "for i = 1, 2000 do sqlite3.open_memory():exec'create table t(a); insert into t values(zeroblob(100000))' end"
    )


def test_constants_and_versions_are_there(db):
    names = "OK ERROR BUSY NOMEM CONSTRAINT MISUSE ROW DONE INTEGER NULL INSERT SAVEPOINT OPEN_URI"
    assert db.output(f"local r = {{}} for n in ('{names}'):gmatch('%S+') do r[#r + 1] = sqlite3[n] end "
                     "return table.concat(r, ' ')") == "0 1 5 7 19 21 100 101 1 5 18 32 64"  # fmt: skip
    assert db.output("return sqlite3.version()") == "3.50.4"
    assert db.output("return show(sqlite3.complete('select 1;'), sqlite3.complete('select'))") == "true,false"
