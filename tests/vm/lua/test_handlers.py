"""The handler list: patterns, order, and what may be changed while a message walks along it."""

import pytest
from vm.lua.stories import BOB


def walk(process, *tags: tuple[str, str], data=None, **fields) -> str:
    """The names the handlers printed for one message of a stranger, joined."""
    answer = process.give(process.message(data, signer=BOB, tags=tags) | fields)
    assert answer.error is None, answer.error
    return answer.data.replace("\n", " ")


def matches(process, spec: str, *tags: tuple[str, str], **fields) -> bool:
    process.eval(f'Handlers.add("probe", {spec}, function() print("yes") end)')
    return walk(process, *tags, **fields) == "yes"


def test_statement_28_a_pattern_must_answer_something(process):
    process.eval('Handlers.add("bad", function() end, print)')
    answer = process.send("x", signer=BOB)
    assert answer.error.endswith("Pattern result is not valid, it MUST be string, number, or boolean")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("true", "ran"),
        ('"break"', "ran"),
        ("-1", "ran"),
        ("-0.5", "ran"),
        ('"continue"', "ran default"),
        ("1", "ran default"),
        ("false", "default"),
        ("0", "default"),
        ('"skip"', "default"),
        ('"anything"', "default"),
    ],
)
def test_statement_28_what_a_pattern_answers_decides(process, result, said):
    process.eval(f'Handlers.add("one", function() return {result} end, function() print("ran") end)')
    heard = walk(process, data="x").replace("New Message From bob...bbb: Data = x", "default")
    assert heard == said


def test_statement_29_a_known_name_keeps_its_place(process):
    process.eval("""
        Handlers.add("a", "X", function() print("a1") end)
        Handlers.add("b", function() return "continue" end, function() print("b") end)
        Handlers.prepend("a", function() return "continue" end, function() print("a2") end)
        return Handlers.add("c", "X", function() print("c") end)""")
    assert walk(process, ("Action", "X")) == "a2 b c"
    assert process.ask("Handlers.list[7].name .. #Handlers.list") == "a9"


def test_statement_29_handlers_with_an_end(process):
    process.eval("""
        Handlers.once("one", "X", function() print("one") end)
        Handlers.add("two", "X", function() print("two") end, 2)
        Handlers.add("rest", "X", function() print("rest") end)""")
    assert [walk(process, ("Action", "X")) for _ in range(4)] == ["one", "two", "two", "rest"]


def test_beside_another_handler(process):
    process.eval("""
        Handlers.add("m", "X", print)
        Handlers.before("m").add("l", function() return 1 end, function() print("l") end)
        Handlers.after("_eval").add("k", function() return 1 end, function() print("k") end)
        Handlers.after("nobody").add("lost", "X", print)
        local names = {} for _, h in ipairs(Handlers.list) do names[#names + 1] = h.name end
        Names = table.concat(names, " ")""")
    assert process.ask("Names").endswith("APM.UpdateResponse _eval k _default l m")


def test_removing(process):
    process.eval('Handlers.add("a", "X", print) Handlers.remove("a") Handlers.remove("nobody")')
    assert process.ask("#Handlers.list") == "6"  # as in a fresh process


@pytest.mark.parametrize("call", ["add()", 'add("x")', "add(1, 2, 3)", 'prepend("x", "y", "z")', 'once("a", {}, 3)'])
def test_wrong_arguments_are_told(process, call):
    assert "Invalid arguments given. Expected:" in process.eval(f"Handlers.{call}").error


def test_statement_30_text_patterns_and_case(process):
    assert matches(process, '{Action = "FooBar"}', ("Action", "foobar"))
    assert matches(process, '{Action = "FooBar"}', ("Action", "FOOBAR"))
    assert not matches(process, '"FooBar"', ("Action", "foobar"))
    assert matches(process, '"FooBar"', ("Action", "FooBar"))


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ('"_"', "anything", True),
        ('{"a", "b"}', "b", True),
        ('{"a", "b"}', "c", False),
        ("function(value, msg) return value == 'v' and msg.Kind == 'v' end", "v", True),
        ("function() return nil end", "v", False),
        ('"^a.+"', "Abc", True),
        ('"^a.+"', "bac", False),
        ('"b+"', "aBBc", True),
        ('"a-b"', "a-b", True),
        ('"a-b"', "ab", False),
        ("5", "5", True),
        ("true", "true", False),
    ],
)
def test_statement_31_patterns_of_one_field(process, pattern, value, expected):
    assert matches(process, f"{{Kind = {pattern}}}", ("Kind", value)) is expected


def test_statement_31_an_absent_field_matches_nothing(process):
    assert not matches(process, '{Kind = "_"}', ("Other", "x"))
    assert not matches(process, "{Kind = function() return true end}", ("Other", "x"))


def test_fields_that_are_no_text(process):
    assert matches(process, '{Nonce = "5"}', Nonce=5)
    assert matches(process, "{Cron = true}", Cron=True)
    assert not matches(process, "{Cron = true}", Cron=False)
    assert not matches(process, '{Cron = "true"}', Cron=True)
    assert matches(process, "{Cron = false}", Cron=False)


def test_all_fields_of_a_pattern_must_fit(process):
    assert matches(process, '{A = "1", B = "2"}', ("A", "1"), ("B", "2"))
    assert not matches(process, '{A = "1", B = "2"}', ("A", "1"), ("B", "3"))


def test_statement_32_a_resolver_runs_the_function_that_fits(process):
    process.eval("""Handlers.add("X", {Action = "X"}, {
        [{Kind = "a"}] = function() print("first") end,
        [{Kind = "b"}] = function() print("second") end,
    })""")
    assert walk(process, ("Action", "X"), ("Kind", "b")) == "second"
    assert walk(process, ("Action", "X"), ("Kind", "a")) == "first"
    assert walk(process, ("Action", "X"), ("Kind", "c")) == ""


def test_a_handler_that_ends_itself_hides_no_neighbour(process):
    process.eval("""
        Handlers.add("a", function() return "continue" end, function() print("a") end, 1)
        Handlers.add("b", function() return "continue" end, function() print("b") end, 1)
        Handlers.add("c", function() return "continue" end, function() print("c") end)""")
    assert walk(process, ("Action", "X")).startswith("a b c New Message")


def test_a_handler_may_change_the_list_around_itself(process):
    process.eval("""
        Handlers.add("a", function() return 1 end, function()
            print("a")
            Handlers.prepend("z", function() return 1 end, function() print("z") end)
            Handlers.remove("b")
            Handlers.remove("a")
            Handlers.add("d", "X", function() print("d") end)
        end)
        Handlers.add("b", function() return 1 end, function() print("b") end)
        Handlers.add("c", function() return 1 end, function() print("c") end)""")
    assert walk(process, ("Action", "X")) == "a c d"


def test_the_ready_made_patterns(process):
    process.eval("""
        local u = Handlers.utils
        Handlers.add("1", u.continue(u.hasMatchingTag("Kind", "a")), function() print("tag") end)
        Handlers.add("2", u.continue(u.hasMatchingTagOf("Kind", {"a", "b"})), function() print("any") end)
        Handlers.add("3", u.hasMatchingData("ping"), u.reply("pong"))""")
    assert walk(process, ("Kind", "a")).startswith("tag any New")
    assert walk(process, ("Kind", "b")).startswith("any New")
    assert [(m.target, m.data) for m in process.send("ping", signer=BOB).messages] == [(BOB, "pong")]


def test_functions_over_tables(process):
    assert process.ask("table.concat(Utils.map(function(x) return x * 2 end, {1, 2}), ' ')") == "2 4"
    assert process.ask("Utils.reduce(function(a, b) return a + b end)(0)({1, 2, 3})") == "6"
    assert process.ask("#Utils.filter(function(x) return x > 1 end, {1, 2, 3})") == "2"
    assert process.ask("Utils.find(Utils.propEq('k', 2), {{k = 1}, {k = 2, v = 'x'}}).v") == "x"
    assert process.ask("table.concat(Utils.concat({1}, {2}), ' ')") == "1 2"
    assert process.ask("Utils.includes('b', {'a', 'b'})") == "true"
    assert process.ask("Utils.compose(Utils.reverse, Utils.reverse)({1, 2})[1]") == "1"
    assert process.ask("#Utils.keys({a = 1, b = 2}) .. Utils.values({7})[1] .. Utils.prop('a', {a = 3})") == "273"
