"""Witness: the published module with SQLite. The same programs see the same, call by call, but for what is listed.

Ours differs on purpose where the published one leaves a program in the dark or SQLite without an error:

- `get_name` and `get_type` know columns before the first row, and `bind_names` knows `@name` too;
- the names that `exec` hands over are those of the statement that is running;
- a progress handler that returns 0 goes on, as documented;
- closing, resetting or re-entering what is running is an error; so is what a collation raises; so is want of memory;
- a file that cannot be opened says why.
"""

import pytest
from vm.published import samples
from vm.sqlite.databases import database

# all(...) shows values; T(f, ...) what a protected call gives, without places in code and addresses.
PRELUDE = r"""
S = require('lsqlite3')
local function show(v, deep)
  if type(v) == 'string' then return string.format('%q', (v:gsub('^%[?[^:%s]*[^:]*:%d+: ', ''))) end
  if type(v) == 'table' and not deep then
    local keys, shown = {}, {}
    for k in pairs(v) do keys[#keys + 1] = k end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for i, k in ipairs(keys) do shown[i] = tostring(k) .. '=' .. show(v[k], true) end
    return '{' .. table.concat(shown, ',') .. '}'
  end
  if math.type(v) == 'float' then return string.format('%.17gf', v) end
  return (tostring(v):gsub('0x%x+', 'PTR'))
end
function all(...)
  local shown = {}
  for i = 1, select('#', ...) do shown[i] = show((select(i, ...))) end
  return table.concat(shown, ' ')
end
function T(f, ...) return '[' .. all(pcall(f, ...)) .. ']' end
function one(sql, ...)
  local s = db:prepare(sql)
  if not s then return db:errmsg() end
  s:bind_values(...)
  local code = s:step()
  local shown = code == S.ROW and all(s:get_uvalues()) or code .. db:errmsg()
  return shown .. ':' .. s:finalize()
end
db = S.open_memory()
return ''
"""

PROGRAM = r"""
return T(db.exec, db, 'create table t(a, b, c)') .. T(db.exec, db, 'bogus') .. all(db:errmsg(), db:errcode())

return all(db:error_message(), db:error_code()) .. T(db.exec, db, 'select 1; bogus; select 2') .. db:errmsg()

return T(db.exec, db, 'select 1 as x, null as y', function(...) L = all(...) return 0 end, 'data') .. L

return T(db.exec, db, 'select 1', function() end) .. T(db.exec, db, 'select 1', function() error('x') end) ..
  db:errmsg()

return T(db.exec, db, 'select 1', function() return '0' end) .. T(db.exec, db, 'select 1', function() return
  true end)

return T(db.exec, db) .. T(db.exec, db, 7) .. T(db.exec, nil, 'x') .. T(db.exec, db, '') .. T(db.exec, db,
  'x', 'y')

return T(db.prepare, db, 'bogus') .. T(db.prepare, db, '') .. T(db.prepare, db, '-- c') .. T(db.prepare, db,
  'select 1; x')

st = db:prepare('insert into t values(?, ?2, :n)') return all(st:bind_parameter_count(),
  st:bind_parameter_name(2), st:bind_parameter_name(1))

return T(st.bind_parameter_name, st, 4) .. T(st.bind, st, 1, 5) .. T(st.bind, st, 1, 1.5) .. T(st.bind, st,
  1, true)

return T(st.bind, st, 1, {}) .. T(st.bind, st, 9, 1) .. T(st.bind, st, 'a', 1) .. T(st.bind, st, '1', 1) ..
  T(st.bind, st)

return T(st.bind_blob, st, 1, 'x') .. T(st.bind_blob, st, 1, nil) .. T(st.bind_blob, st, 1, 5) ..
  T(st.bind_blob, st, 9, '')

return T(st.bind_values, st, 1, 2) .. T(st.bind_values, st, 1, {}, 3) .. T(st.bind_names, st, {n = {}}) ..
  T(st.bind_names, st)

return T(st.bind_names, st, {1, 'two', n = 1.5}) .. T(st.step, st) .. T(st.step, st) .. T(st.reset, st) ..
  T(st.step, st)

return all(st:last_insert_rowid(), db:last_insert_rowid(), db:changes(), db:total_changes())

return T(st.reset, st) .. T(st.finalize, st) .. T(st.finalize, st) .. T(st.isopen, st) .. tostring(st) ..
  T(st.step, st)

q = db:prepare([[select a, b, c, a as a, null, 3.0, x'00' from t]]) return T(q.get_value, q, 0) ..
  T(q.get_values, q)

return all(q:step(), q:columns(), q:get_name(4), q:get_names(), q:get_unames()) .. T(q.get_name, q, -1) ..
  T(q.get_types, q)

return all(q:get_value(1), q:get_values(), q:get_named_values(), q:get_uvalues())

return T(q.get_value, q, 7) .. T(q.get_value, q, -1) .. T(q.get_value, q) .. T(q.get_value, q, '0') ..
  T(q.get_value, q, 0.5)

q:reset() local n = 0 for row in q:nrows() do n = n + row.a end for row in q:rows() do n = n + row[1] end
  return all(n)

q:step() local n = 0 for a in q:urows() do n = n + a end return all(n, q:step(), q:reset())

return T(db.nrows, db, 'bogus') .. T(db.urows, db, '')

local f, s = db:nrows('select 1 as x') return T(f, s) .. T(f, s) .. T(f, s)

local f, s = db:rows('select abs(-9223372036854775807 - 1)') return T(f, s) .. T(f, s)

local s = db:prepare('select ?') s:step() return T(s.bind, s, 1, 2) .. T(s.bind_values, s, 2) ..
  T(s.bind_names, s, {2})

db:create_function('f', -1, function(c, ...) L = all(...) c:result(select('#', ...)) end) return
  one([[select f(null, 2.5, x'0000', 'é')]]) .. L .. one('select f()')

db:create_function('e', 1, function(c, n) if n == 1 then error('boom') end c:result_error('bad') end) return
  one('select e(2)') .. one('select nofunction()')

db:create_function('k', 1, function(c, n) ({c.result_int, c.result_number, c.result_text,
  c.result_blob})[n](c, '7') end) return one('select typeof(k(1)), typeof(k(2)), typeof(k(3)), typeof(k(4))')

db:create_aggregate('g', 1, function(c, x) c:set_aggregate_data((c:get_aggregate_data() or 0) + x) end,
  function(c) c:result(c:get_aggregate_data()) N = all(c:aggregate_count(), c:user_data()) end, 'u') return
  one('select g(column1) from (values(1), (2))') .. N .. one('select g(1) where 0') .. N

db:create_collation('r', function(a, b) return a < b and 1 or a > b and -1 or 0 end) return
  one([[select group_concat(v) from (select column1 as v from (values('a'), ('b')) order by 1 collate r)]])

L = '' db:trace(function(...) L = L .. all(...) end, 'u') return one('select ?', 5) .. L .. T(db.trace, db,
  nil)

L = '' db:exec('create table u(a integer primary key)') db:update_hook(function(...) L = L .. all(...) end,
  'u') return one('insert into u values(5)') .. one('update u set a = 6') .. L .. T(db.update_hook, db, nil)

L = '' db:commit_hook(function(...) L = L .. all(...) return true end, 'u') return
  one('insert into u values(9)') .. L .. T(db.commit_hook, db, nil)

L = '' db:rollback_hook(function(...) L = L .. all(...) end, 'u') return T(db.exec, db,
  'begin; insert into u values(8); rollback') .. L .. T(db.rollback_hook, db, nil)

return T(db.busy_timeout, db, 5) .. T(db.busy_handler, db, print) .. T(db.busy_handler, db, nil)

other = S.open_memory() other:exec('create table z(a)') b = S.backup_init(db, 'main', other, 'main') return
  all(b:step(-1), b:remaining(), b:pagecount(), b:finish()) .. T(b.step, b, 1)

db:exec('create table v(i integer primary key, x unique)') return one('insert into v values(1, 1)') ..
  one('insert into v values(1, 2)') .. all(db:errcode(), db:exec('insert into v values(2, 1)'), db:errmsg())

return
  one([[select 9007199254740993, 1e300 * 1e300, 9223372036854775807 + 1, char(0, 1), zeroblob(3), '', x'']])

local v = db:prepare('select 1') db:close_vm() return all(v, v:isopen(), S.complete('select 1;'),
  S.complete('select'))

return all(S.open_memory():exec([[attach 'x.db' as y]])) .. T(S.open) .. all(S.open(':memory:'), S.open(''))

return T(db.isopen, db) .. T(db.close, db) .. T(db.close, db) .. T(db.isopen, db) .. tostring(db) ..
  T(db.exec, db, 'x')
"""


@pytest.fixture(scope="module")
def published():
    bench = samples.Bench("sqlite")
    bench.data(PRELUDE)
    return bench


@pytest.fixture(scope="module")
def ours():
    bench = database()
    bench.output(PRELUDE)
    return bench


@pytest.mark.parametrize("code", PROGRAM.strip().split("\n\n"))
def test_a_program_sees_what_it_sees_there(code, published, ours):
    assert ours.output(code) == published.data(code)


def test_every_method_and_constant_is_there_but_for_raw_pointers(published, ours):
    names = """
      local function names(t)
        local r = {}
        for k in pairs(t) do r[#r + 1] = k end
        table.sort(r)
        return table.concat(r, ' ')
      end
      local d = S.open_memory() local s = d:prepare('select 1') local C
      d:create_function('c', 0, function(c) C = c end) d:exec('select c()')
      return names(S) .. '|' .. names(getmetatable(d)) .. '|' .. names(getmetatable(s)) .. '|' .. names(getmetatable(C))
    """
    theirs = published.data(names).split()
    missing = set(theirs) - set(ours.output(names).split())
    assert {name.split("|")[-1] for name in missing} <= {"open_ptr", "get_ptr", "__newindex"}


def test_every_function_of_sql_is_there(published, ours):
    names = """
      local r, d = {}, S.open_memory()
      for name in d:urows('select distinct name from pragma_function_list order by 1') do r[#r + 1] = name end
      return table.concat(r, ' ')
    """
    assert set(published.data(names).split()) - set(ours.output(names).split()) == {"load_extension"}
