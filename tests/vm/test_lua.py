"""The language as a process meets it: all of Lua 5.3, and nothing of the host."""

import pytest
from vm.bench import MIB, Bench, program


@pytest.fixture(scope="module")
def lua():
    return Bench(program(memory=64 * MIB))


def test_errors_and_coroutines_cross_any_number_of_protected_calls(lua):
    code = """
      local function nest(n)
        if n == 0 then
          coroutine.yield("deep")
          error({code = 7})
        end
        local ok, e = pcall(nest, n - 1)
        error(e, 0)
      end
      local co = coroutine.create(function() nest(50) end)
      local _, first = coroutine.resume(co)
      local ok, e = coroutine.resume(co)
      return first .. tostring(ok) .. e.code .. coroutine.status(co)
    """
    assert lua.output(code) == "deepfalse7dead"


def test_a_coroutine_suspended_in_one_message_goes_on_in_the_next(lua):
    lua.output("Co = coroutine.wrap(function(a) while true do a = a + coroutine.yield(a) end end) return Co(1)")
    assert lua.output("return Co(10)") == "11"
    assert lua.output("return Co(100)") == "111"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("local function f() return coroutine.wrap(f)() end return f()", "C stack overflow"),
        ("local s = 'x' local function f() return (s:gsub('x', f)) end return f()", "C stack overflow"),
        (
            "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
            "overflow",
        ),
        ("assert(load('return ' .. ('('):rep(300) .. '1' .. (')'):rep(300)))", "too many C levels"),
        ("return ('a'):rep(300000):find(('(a'):rep(40))", "too many captures"),
        ("return ('x'):rep(10000):match(('x?'):rep(300) .. ('x'):rep(10001))", "pattern too complex"),
        ("error()", "nil"),
        ("error(setmetatable({}, {__tostring = function() error('again') end}))", "again"),
        ("require 'nothing'", "module 'nothing' not found"),
        ("os.exit(1)", "os.exit is not available"),
        ("return string.rep('x', 1 << 30)", "not enough memory"),
        ("local s = 'x' while true do s = s .. s end", "not enough memory"),
        ("local t = {} for i = 1, 1e9 do t[i] = {i} end", "not enough memory"),
        ("local t = {} for i = 1, 1e9 do t[i] = coroutine.wrap(print) end", "not enough memory"),
    ],
)
def test_what_goes_too_far_is_an_error_of_the_message(lua, code, text):
    before = lua.root
    assert text in lua.error(code)
    assert lua.root == before


def test_endless_recursion_is_an_error_of_the_message_where_memory_allows_it_at_all():
    code = "local function f() return 1 + f() end return f()"
    assert "stack overflow" in Bench(program(memory=256 * MIB)).error(code)
    assert "not enough memory" in Bench(program(memory=16 * MIB)).error(code)


def test_too_little_memory_can_be_caught(lua):
    code = "local ok, e = pcall(string.rep, 'x', 1 << 29) return tostring(ok) .. ' ' .. e"
    assert lua.output(code + " .. '!'") == "false not enough memory for buffer allocation!"


def test_every_standard_library_is_there(lua):
    names = "string table math os io debug package utf8 coroutine bit32"
    assert lua.output(f"for n in ('{names}'):gmatch('%w+') do assert(_G[n], n) end return bit32.bxor(5, 1)") == "4"
    assert lua.output("return math.pow(2, 10) .. _VERSION") == "1024.0Lua 5.3"


def test_there_are_no_host_files(lua):
    assert lua.output("return select(2, io.open('/etc/passwd'))") == "/etc/passwd: No such file or directory"
    assert lua.output("return select(2, os.remove('/tmp/x'))") == "/tmp/x: No such file or directory"
    assert (
        lua.output("return tostring(os.getenv('HOME')) .. tostring(io.read()) .. tostring(os.execute())")
        == "nilnilfalse"
    )
    assert "No such file" in lua.error("for line in io.lines('/etc/passwd') do end")
    assert "unable to generate" in lua.error("return os.tmpname()")
    assert "not found" in lua.error("require '/etc/passwd'")


def test_what_is_written_goes_nowhere(lua):
    assert lua.output("io.write('a') io.stderr:write('b') print('c') return 'd'") == "d"


def test_time_is_the_message_s(lua):
    assert lua.output("return os.time()") == "1700000000"
    assert lua.output("return os.date('!%Y-%m-%d %H:%M:%S')") == "2023-11-14 22:13:20"
    assert lua.run("return os.time()", Timestamp="1600000000999").output == "1600000000"
    assert lua.run("return os.time()", Timestamp=None).output == "0"


def test_the_processor_clock_counts_its_calls(lua):
    assert lua.output("local a = os.clock() return string.format('%.3f', os.clock() - a)") == "0.001"


def test_the_same_code_sees_the_same_hash_order_and_addresses_in_every_memory():
    code = """
      local t, keys = {}, {}
      for i = 1, 100 do t["key" .. i] = i end
      for k in pairs(t) do keys[#keys + 1] = k end
      return table.concat(keys) .. tostring({}) .. tostring(print)
    """
    assert Bench().output(code) == Bench().output(code)


def test_precompiled_chunks_harm_nobody_else(lua):
    assert lua.output("return load(string.dump(function() return 7 end))()") == "7"
    # A damaged one may do what it likes to its own memory; the message fails or not, the process goes on.
    lua.run(
        "local s = string.dump(function(a) return a.b.c end) for i = 30, #s do "
        "local f = load(s:sub(1, i - 1) .. '\\255' .. s:sub(i + 1)) if f then pcall(f, {}) end end"
    )
    assert lua.output("return 'alive'") == "alive"


def test_texts_of_any_bytes_come_out_as_text(lua):
    assert lua.output("return 'caf\\xc3\\xa9 \\xff \\0 end'") == "café � \0 end"
    assert lua.error("error('\\xff\\0\"\\\\\\n', 0)") == '�\0"\\\n'


def test_a_process_may_replace_what_its_image_stands_on(lua):
    lua.output("require = nil package.loaded.json = {} json = nil package.searchers = {} return 1")
    assert lua.output("return 'still here'") == "still here"
