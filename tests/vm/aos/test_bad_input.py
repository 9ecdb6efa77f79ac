"""What a process meets that it should not: each is named, changes nothing, and leaves a process that goes on."""

import json
import re

import pytest
from vm.lua.hosts import ModuleHost
from vm.lua.stories import BOB, MESSENGER, OTHER, Process, plain


@pytest.fixture
def process():
    with ModuleHost() as host:
        process = Process(host)
        process.spawn()
        yield process


def refused(process: Process, message: dict) -> str:
    """The error of a message that changes nothing; the process then answers its owner and strangers as before."""
    before = process.host.process.state_root
    answer = process.host.handle(message, process.environment)
    response = answer["response"]
    error = response if not answer["ok"] else response.get("Error")
    assert error, answer
    assert process.host.process.state_root == before
    goes_on(process)
    return plain(error)


def goes_on(process: Process) -> None:
    assert process.eval("return 1 + 1").data == "2"
    assert process.send("hello", signer=BOB).data.endswith("Data = hello")


def evaluation(process: Process, code: str) -> dict:
    return process.message(code, tags=[("Action", "Eval")])


# --- code ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x y", '[string "aos"]:1: syntax error near'),
        ("local = 1", '[string "aos"]:1: <name> expected'),
        ("\n\nreturn (", '[string "aos"]:3: unexpected symbol near <eof>'),
        ('x = "', '[string "aos"]:1: unfinished string'),
        ("goto nowhere", "no visible label 'nowhere'"),
        ("local x <const> = 1", '[string "aos"]:1:'),
        ("\x1bLua", "attempt to load a binary chunk (mode is 't')"),
    ],
)
def test_what_does_not_compile_is_told_with_its_line(process, code, words):
    assert words in refused(process, evaluation(process, code))


@pytest.mark.parametrize("data", [None, 5, True, {"a": 1}])
def test_an_eval_without_lua_text_is_told_so(process, data):
    assert "Eval needs Lua text in Data" in refused(process, evaluation(process, data))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("error({code = 1})", "table: 0x"),
        ("error()", "nil"),
        ("error(nil)", "nil"),
        ("error(true)", "true"),
        ("error(5)", "5"),
        ("error(print)", "function: "),
        ("error(setmetatable({}, {__tostring = function() return 'told' end}))", "told"),
        ("error(setmetatable({}, {__tostring = function() error('in tostring') end}))", "in tostring"),
    ],
)
def test_errors_that_are_no_text_are_told_as_text(process, code, words):
    assert words in refused(process, evaluation(process, code))
    process.eval(f"Handlers.add('Break', 'Break', function() {code} end)")
    assert words in refused(process, process.message(signer=BOB, tags=[("Action", "Break")]))


# --- where it failed -----------------------------------------------------------------------------------------------

PROGRAM = """local function count(n)
  return n.value + 1
end

Handlers.add("Count", "Count", function(msg)
  print("counting")
  count(msg.Value)
end)"""


def lines_of(error: str) -> list[int]:
    """The program's lines that a traceback names."""
    return [int(n) for n in re.findall(r'\t\[string "aos"\]:(\d+): ', error)]


def test_a_traceback_names_the_lines_of_the_program_alone(process):
    process.eval(PROGRAM)
    error = refused(process, process.message(signer=BOB, tags=[("Action", "Count")]))
    assert error.startswith('counting\nError handling message with Action = Count\n[string "aos"]:2: attempt to index')
    assert "stack traceback:\n\t[string \"aos\"]:2: in upvalue 'count'" in error and lines_of(error) == [2, 7]
    assert '[string ".' not in error


def test_a_traceback_of_what_waited_names_the_lines_that_waited(process):
    process.eval(f"""local function ask()
  local answer = Send({{ Target = "{OTHER}" }}).receive()
  return answer.missing.field
end
Handlers.add("Ask", "Ask", function()
  ask()
  print("never")
end)""")
    assert process.send(action="Ask", signer=BOB).error is None
    tags = [("X-Reference", "1")]
    error = refused(process, process.message("x", sender=OTHER, signer=MESSENGER, tags=tags))
    assert lines_of(error) == [3, 6]


def test_an_error_in_a_coroutine_of_the_program_is_the_programs(process):
    process.eval("""Handlers.add("Co", "Co", function()
  local co = coroutine.wrap(function()
    coroutine.yield()
    error("inside")
  end)
  co()
  co()
end)""")
    error = refused(process, process.message(signer=BOB, tags=[("Action", "Co")]))
    assert '[string "aos"]:4: inside' in error and lines_of(error) == [7]


def test_a_program_may_catch_what_its_wait_raised(process):
    code = "local ok, e = pcall(function() Receive('Ping') error('late') end) return tostring(ok) .. ' ' .. e"
    assert process.eval(code).error is None
    assert process.send(action="Ping", signer=BOB).data.startswith('false [string "aos"]:1: late')


# --- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["", "{", '{"a":1', "nope", '{"a":1} x', "[1 2]", "'a'", "\x00"])
def test_data_that_is_not_the_json_it_says_is_told_with_its_place(process, data):
    message = process.message(data, signer=BOB, tags=[("Content-Type", "application/json")])
    assert re.search(r" at line \d+ col \d+$", refused(process, message))


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("text", "Tags should be a list of tags"),
        (7, "Tags should be a list of tags"),
        ([7], "tag 1 should have a name and a value, and is a number"),
        ([{"name": "A", "value": "b"}, {}], "tag 2 should have text for a name, not a nil"),
        ([{"name": 7, "value": "b"}], "tag 1 should have text for a name, not a number"),
        ([{"name": {"a": 1}, "value": "b"}], "tag 1 should have text for a name, not a table"),
        ([{"name": "Action", "value": {"a": 1}}], "tag 1 (Action) should have text for a value, not a table"),
        ([{"name": "Action", "value": [1]}], "tag 1 (Action) should have text for a value, not a table"),
    ],
)
def test_tags_that_are_no_text_are_refused_by_name(process, tags, words):
    assert words in refused(process, process.message("x", signer=BOB) | {"Tags": tags})


@pytest.mark.parametrize("message", [5, "text", None])
def test_what_is_no_message_is_told_so(process, message):
    assert refused(process, message).endswith("a message should be an object")


@pytest.mark.parametrize("environment", [{}, None, {"Process": 5}, {"Process": None}])
def test_what_is_no_environment_is_told_so(process, environment):
    before = process.host.process.state_root
    answer = process.host.handle(process.message("x"), environment)
    assert answer["response"].endswith("the environment should have a Process")
    assert process.host.process.state_root == before
    goes_on(process)


@pytest.mark.parametrize("fields", [{"From": None}, {"Owner": None}, {"From": {}, "Owner": {}}])
def test_a_message_of_nobody_is_not_trusted(process, fields):
    answer = process.give(process.message("return 1", tags=[("Action", "Eval")]) | fields)
    assert answer.data.startswith("Message is not trusted!")
    goes_on(process)


@pytest.mark.parametrize("value", [5, True, None])
def test_tags_of_numbers_and_booleans_are_read_as_they_are(process, value):
    process.eval("Handlers.add('Read', 'Read', function(msg) print(tostring(msg.Kind)) end)")
    message = process.message(signer=BOB, tags=[("Action", "Read")])
    message["Tags"].append({"name": "Kind", "value": value})
    assert process.give(message).data == {5: "5", True: "true", None: "nil"}[value]


# --- globals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("Name = nil", "Name"),
        ("Name = {}", "Name"),
        ("Name = true", "Name"),
        ("Inbox = nil", "Inbox"),
        ("Inbox = 5", "Inbox"),
        ("Errors = nil", "Errors"),
        ("Handlers = nil", "Handlers"),
        ("Handlers = {}", "Handlers"),
        ("Handlers.list = nil", "Handlers"),
        ("Handlers.list = {5}", "Handlers"),
        ("Handlers.list[1] = {name = 'x', pattern = 'x'}", "Handlers"),
        ("Handlers.evaluate = nil", "Handlers"),
        ("Handlers.coroutines = nil", "Handlers"),
        ("ao = nil", "ao"),
        ("ao = {}", "ao"),
        ("ao.send = nil", "ao"),
        ("ao.outbox = nil", "ao"),
        ("ao.reference = 'x'", "ao"),
        ("print = nil", "print"),
        ("print = 5", "print"),
        ("Prompt = nil", "Prompt"),
        ("Dump = nil", "Dump"),
        ("Colors = nil", "Colors"),
        ("Colors.red = nil", "Colors"),
        ("HANDLER_PRINT_LOGS = nil", "HANDLER_PRINT_LOGS"),
    ],
)
def test_a_message_that_takes_away_what_the_process_stands_on_fails_and_names_it(process, code, name):
    assert f"the global {name} must stay " in refused(process, evaluation(process, code))
    process.eval(f"Handlers.add('Break', 'Break', function() {code} end)")
    message = process.message(signer=BOB, tags=[("Action", "Break")])
    assert f"the global {name} must stay " in refused(process, message)


def test_the_error_before_is_told_too(process):
    error = refused(process, evaluation(process, "print = nil error('because')"))
    assert "because" in error and "the global print must stay" in error


def test_what_a_process_stands_on_may_be_replaced(process):
    call = "__call = function(_, value) old('<' .. tostring(value) .. '>') end"
    process.eval(f"local old = print; print = setmetatable({{}}, {{{call}}})")
    assert process.eval("print(1)").data == "<1>"
    process.eval("Inbox = {} Errors = {} Name = 5 Prompt = function() return 'mine' end")
    assert process.eval("return 1").output["prompt"] == "mine"


def test_whatever_else_is_taken_away_the_process_goes_on(process):
    """Every global and every field of a library, one after the other, each in a process of its own."""
    names = json.loads(
        process.ask("""(function()
        local names = {}
        local libraries = "string table math os io coroutine debug utf8 package bit32 json Utils Handlers ao"
        for name in pairs(_G) do names[#names + 1] = name end
        for library in (libraries):gmatch("%w+") do
            for name in pairs(_G[library]) do names[#names + 1] = library .. "." .. name end
        end
        table.sort(names)
        return require("json").encode(names)
    end)()""")
    )
    assert len(names) > 200
    before = process.host.process.state_root
    start = process.host.process.snapshot()
    for name in names:
        if name == "Owner":
            continue  # that is how a process is given up
        process.host.go_on_from(start)
        answer = process.eval(f"{name} = nil")
        if answer.error is not None:
            assert " must stay " in answer.error, name
            assert process.host.process.state_root == before, name
        assert process.eval("return 1 + 1").data == "2", name
        assert process.send("hello", signer=BOB).data.endswith("Data = hello"), name


def test_clock_and_chance_come_back_with_the_next_message(process):
    process.eval("os.time = nil os.date = nil")
    assert process.eval("return type(os.time()) .. os.date('!%Y')").data == "number2023"


@pytest.mark.parametrize("field", ["__index", "__newindex"])
def test_a_program_may_watch_its_globals(process, field):
    complain = "function(_, name) error('no global ' .. tostring(name)) end"
    process.eval(f"setmetatable(_G, {{{field} = {complain}}}) return 1")
    goes_on(process)
    broken = "return missing" if field == "__index" else "missing = 1"
    assert "no global missing" in refused(process, evaluation(process, broken))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ao.outbox = {}", "each part of the outbox should be a table, not a nil"),
        ("ao.outbox.Messages = 5", "each part of the outbox should be a table, not a number"),
        ("ao.outbox.Messages = {5}", "an entry of the outbox should be a table, not a number"),
        ("ao.outbox.Messages = {{Tags = 'x'}}", "Tags in the outbox should be a table, not a string"),
        ("ao.outbox.Spawns = {{Tags = {5}}}", "a tag in the outbox should be a table, not a number"),
        ("Send({Target = 't', Tags = 'x'})", "Tags should be a table"),
        ("Send('x')", ""),
        ("Send({Target = 't', Data = {1, a = 2}})", "invalid table: mixed or invalid key types"),
    ],
)
def test_an_outbox_that_is_none_is_told_so(process, code, words):
    assert words in refused(process, evaluation(process, code))


# --- too much ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("local function f(n) return f(n + 1) + 1 end f(1)", r"stack overflow|not enough memory"),
        ("local function f(s) return (s:gsub('.', f)) end f('x')", r"C stack overflow"),
        ("local t = {} for i = 1, 3000 do t = {t} end return t", r"stack overflow|not enough memory"),
        ("local s = 'x' while true do s = s .. s end", r"not enough memory|string length overflow"),
        ("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", r"not enough memory"),
        ("return ('x'):rep(1 << 31)", r"resulting string too large"),
        ("print(('x'):rep(40 << 20))", r"not enough memory"),
        ("for i = 1, 1e6 do print(i) end", r"not enough memory"),
        ("for i = 1, 1e6 do Send({Target = 't'}) end", r"not enough memory"),
    ],
)
def test_what_is_too_much_fails_alone(process, code, words):
    assert re.search(words, refused(process, evaluation(process, code)))


def test_what_never_ends_runs_out_of_gas():
    with ModuleHost(gas_limit=500_000_000) as host:
        process = Process(host)
        process.spawn()
        assert "out of gas" in refused(process, evaluation(process, "while true do end"))


def test_large_output_and_many_messages_are_told_whole(process):
    assert len(process.eval("return ('x'):rep(2000000)").data) == 2_000_000
    assert process.eval("for i = 1, 5000 do print(i) end").data.count("\n") == 4999
    assert len(process.eval("for i = 1, 2000 do Send({Target = 't', N = tostring(i)}) end").messages) == 2000
