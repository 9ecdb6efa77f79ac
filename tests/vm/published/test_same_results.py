"""Witness: the reference loader. Over three hundred messages to four real modules, the same results field by field."""

import json
import random

import pytest
from vm.published import samples

EVALS = [
    "1 + 1",
    "X = {} for i = 1, 50 do X['k' .. i] = i end local s = '' for k in pairs(X) do s = s .. k end return s",
    "error('no')",
    "return os.date('!%c|%x|%X|%r|%D|%F|%j|%U|%V|%W|%G|%g|%u|%w|%e|%h|%I|%p|%y|%C|%n%t%%|%R|%T', 951782400)",
    "return pcall(error, {1, 2})",
    "Handlers.add('Ping', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(m) "
    "ao.send({Target = m.From, Action = 'Pong', Data = m.Data .. '\\0\\1é'}) end)",
    "local f = function(n, f) if n == 0 then return 0 end local ok, v = pcall(f, n - 1, f) return v + 1 end "
    "return tostring(f(120, f))",
    "Big = ('x'):rep(3000000) return #Big",
    # The sign of NaN is the processor's choice there, and fixed here.
    "return tostring(0/0):gsub('-', '') .. tostring(1/0) .. tostring(-1/0) .. ('%a %g %.14g'):format(1.5, 1e300, 0.1)",
    "ao.spawn('m', {Data = 'd', Tags = {A = 'b'}}) ao.send({Target = 'x', Tags = {B = 'c', A = 'd', Z = '1'}})",
    "local t = {} for w in ('the quick brown fox'):gmatch('%a+') do t[#t + 1] = w:upper() end return table.concat(t)",
    "return require('json').encode({a = {1, 2, {b = 'ü\\n'}}, t = true})",
    "local co = coroutine.wrap(function(a) local b = coroutine.yield(a * 2) error('in ' .. b) end) "
    "return co(4) .. tostring(select(2, pcall(co, 5)))",
    "return tostring(math.random(1000)) .. ' ' .. math.random()",
    "local s = '' for _, t in ipairs({0, 86399, 1e9, 4102444800, -1, 253402300799}) do "
    "s = s .. os.date('!%Y-%m-%d %H:%M:%S %a %b %j|', math.floor(t)) end return s",
    "return tostring(os.time({year = 2024, month = 14, day = -3, hour = 30}))",
    "local t = {year = 2023, month = -5, day = 77, hour = 1, isdst = true} local n = os.time(t) "
    "return n .. ' ' .. tostring(t.year) .. ' ' .. tostring(t.yday) .. tostring(t.isdst) .. os.date('%Z %z', 86400)",
    "return require('nothing.here')",
    "os.exit(3)",
    "return select('#', string.byte(('x'):rep(200), 1, -1)) .. tostring(#tostring(print))",
    "local ok, e = pcall(string.rep, 'x', -1) return tostring(ok) .. tostring(e)",
    "local f <const> = 1",
    "return collectgarbage('count') > 0",
    "return tostring(load('return 1 +')) .. tostring(select(2, load('return 1 +')))",
    "Sum = 0 for i = 1, 20000 do Sum = Sum + i % 7 end return Sum",
    "return os.getenv('HOME') or 'none'",
    "return table.concat({tostring(io.open('/tmp/x')), tostring(os.remove('y')), type(os.clock())}, ' ')",
    "S = {} for i = 1, 300 do S[i] = (i * 7919) % 1000 end table.sort(S) return S[1] .. ' ' .. S[300]",
    "local s = {} for i = 1, 40 do s[i] = string.format('%q', 'a' .. string.char(i)) end return table.concat(s)",
    "return ('x'):rep(100):gsub('x', {x = 'yz'})",
    "return utf8 and utf8.char(0x4f60, 0x1f600) or ''",
    "return string.pack and #string.pack('>I8s4', 1, 'abc') or 0",
]
# The 32-bit reference hands commands to the shell of its machine: not asked of it here.
NO_SHELL = ["return tostring(os.execute()) .. tostring(select(2, os.execute('ls')))"]
SQL = [
    "db = require('lsqlite3').open_memory() return db:exec('create table t (a integer primary key, b text)')",
    "for i = 1, 200 do db:exec('insert into t (b) values (' .. i * 7 % 13 .. ')') end return 'done'",
    "local s = '' for a, b in db:urows('select b, count(*) from t group by b order by b') do "
    "s = s .. a .. ':' .. b .. ' ' end return s",
    "return db:errmsg() .. tostring(db:exec('select nonsense'))",
]


def messages_for(name: str) -> list[dict]:
    """Evals, and in between messages from others, in one order."""
    evals = (SQL if name == "sqlite" else []) + EVALS + (NO_SHELL if samples.ALL[name] == samples.WIDE else [])
    found = [samples.boot()]
    for code in evals * 2:
        found.append(samples.message(len(found), code, Action="Eval"))
        if len(found) % 5 == 0:
            text = f"héllo {len(found)} \u2028 \U0001f999"
            found.append(samples.message(len(found), text, sender="s" * 43, Action="Ping", Reference=str(len(found))))
        if len(found) % 11 == 0:
            found.append(samples.message(len(found), "x" * 5000, sender="t" * 43, Action="Other"))
    return found


def text_of_error(result: dict) -> str | None:
    error = result.get("Error") or result.get("thrown")
    return error if error is None or isinstance(error, str) else json.dumps(error, separators=(",", ":"))


@pytest.mark.parametrize("name", ["aos2_0_6", "aos2_0_4_32", "aos", "sqlite"])
def test_results_are_those_of_the_reference_loader(name):
    messages = messages_for(name)
    theirs = samples.reference(samples.module(name), samples.ALL[name], messages)
    bench = samples.Bench(name)
    ours = [bench.booted] + [bench.send(message) for message in messages[1:]]
    assert len(theirs) == len(ours)
    for message, their, our in zip(messages, theirs, ours, strict=True):
        where = f"{message['Nonce']}: {message['Data'][:80]}"
        assert our.error == text_of_error(their), where
        if their.get("thrown"):
            continue
        assert our.output == their.get("Output", ""), where
        for field, value in (("Messages", our.messages), ("Spawns", our.spawns), ("Assignments", our.assignments)):
            assert value == (their.get(field) or []), f"{field} of {where}"


@pytest.mark.parametrize("name", ["aos2_0_4_32", "aos2_0_6"])
def test_gas_of_the_metered_formats_is_the_reference_loaders(name):
    format = samples.METERED[samples.ALL[name]]
    messages = messages_for(name)[:5]
    theirs = samples.reference(samples.module(name), format, messages)
    bench = samples.Bench(name, format=format)
    ours = [bench.booted] + [bench.send(message) for message in messages[1:]]
    assert [our.gas_used for our in ours[1:]] == [their["GasUsed"] for their in theirs[1:]]
    assert [our.output for our in ours] == [their.get("Output", "") for their in theirs]
    # While it boots, aos looks for files; there the reference unwinds and rewinds the stack, and charges for that.
    assert 0 < theirs[0]["GasUsed"] - ours[0].gas_used < theirs[0]["GasUsed"] / 1000


LETTERS = "a A b B c C d D e F g G h H I j m M p r R S T u U V w W x X y Y z Z % Ec EC Ex EX Ey EY Od Oe OH OI Oy %c"


def test_dates_are_the_reference_loaders():
    chance = random.Random(5)
    times = [chance.randrange(-(10**11), 10**12) for _ in range(40)] + [0, 951_782_400]
    formats = "!" + "|".join("%" + letter for letter in LETTERS.split())
    shows = f"local s = '' for _, t in ipairs({{{','.join(map(str, times))}}}) do s = s .. os.date('{formats}', t) end "
    odd = "for _, y in ipairs({99, 100, 1970, 2024, 9000}) do local t = {year = y, month = -3, day = 77, hour = 30} "
    odd += "s = s .. os.time(t) .. ' ' .. t.month .. ' ' .. t.yday .. '|' end return s"
    messages = [samples.boot(), samples.message(1, shows + odd, Action="Eval")]
    their = samples.reference(samples.module("aos"), samples.ALL["aos"], messages)[1]
    our = samples.Bench("aos").eval(shows + odd)
    assert our.error is None and our.output == their["Output"]
