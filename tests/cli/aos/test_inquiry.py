"""The Lua of dry-runs, in a Lua by itself: completion, dumps, profiles."""

from pathlib import Path

import pytest
from lupa.lua53 import LuaRuntime

import puna.vm
from puna.ao.result import Result
from puna.cli.aos import inquiry
from puna.cli.aos.lua import Place
from puna.cli.aos.terminal import complete_dot

DUMP = Path(puna.vm.__file__).parent / "module" / "lua" / "dump.lua"


@pytest.fixture
def lua():
    runtime = LuaRuntime(encoding="utf-8")
    runtime.globals().Dump = runtime.execute(DUMP.read_text())
    runtime.globals().python = None
    return runtime


def keys(lua, *steps: str | int) -> dict[str, str]:
    return inquiry.read_keys(Result(output={"data": lua.execute(inquiry.keys(Place(steps, "")))}))


def test_names_of_globals_and_fields_come_with_their_types(lua):
    lua.execute("a = { b = { [1] = { c = 1, ['not a name'] = 2 } }, ['x y'] = { d = true } } function f() end")
    assert keys(lua)["f"] == "function" and keys(lua)["a"] == "table"
    assert keys(lua, "a", "b", 1) == {"c": "number"}
    assert keys(lua, "a", "x y") == {"d": "boolean"}
    assert "upper" in keys(lua, "string")


def test_names_of_metatables_belong_to_what_has_them(lua):
    lua.execute("base = { run = print } obj = setmetatable({ own = 1 }, { __index = base }) text = 'x'")
    assert keys(lua, "obj") == {"own": "number", "run": "function"}
    assert keys(lua, "text")["upper"] == "function"


def test_whatever_is_wrong_with_a_table_its_names_are_just_not_known(lua):
    lua.execute("bad = setmetatable({}, { __index = function() error('no') end })")
    assert keys(lua, "none", "of", "this") == {} and keys(lua, "bad", "x") == {} and keys(lua, "bad") == {}
    assert inquiry.read_keys(Result(error="no")) == {}


def test_a_dump_of_all_is_what_the_program_set_and_makes_it_again(lua):
    lua.execute("Count = 3 Names = { 'a', 'b' } _G['odd name'] = true function F() end")
    text = lua.execute(inquiry.dump(""))
    again = LuaRuntime(encoding="utf-8")
    again.execute(text)
    assert again.eval("Count + #Names") == 5 and again.eval("_G['odd name']") is True
    assert "F = function() end" in text and "print" not in text.split("F = function")[0]
    assert lua.execute(inquiry.dump("Count + 1")) == "4"


def test_a_profile_counts_instructions_by_function_and_calls(lua):
    lua.execute("function slow() for i = 1, 1000 do local x = i * i end end function quick() return 1 end")
    text = lua.execute(inquiry.profile("slow() quick() quick() coroutine.wrap(slow)()"))
    rows, failure = inquiry.profile_rows(Result(output={"data": text}))
    named = {row.name: row for row in rows}
    assert failure == "" and rows[0].name == "slow"
    assert named["slow"].instructions > 4000 and named["slow"].calls >= 1
    assert 0 < named["quick"].instructions < 20 and named["quick"].calls == 2
    assert named["(what you ran)"].calls == 1
    assert lua.eval("(debug.gethook())") is None, "no hook is left behind"


def test_a_profile_of_what_fails_says_so(lua):
    rows, failure = inquiry.profile_rows(Result(output={"data": lua.execute(inquiry.profile("error('boom')"))}))
    assert failure.endswith("boom") and rows
    with pytest.raises(Exception, match="profiled"):
        lua.execute(inquiry.profile("x y"))


def test_dots_and_files_are_completed(tmp_path, monkeypatch):
    def texts(before: str) -> list[str]:
        return [completion.text for completion in complete_dot(before)]

    (tmp_path / "chat.lua").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "deep.lua").write_text("")
    monkeypatch.chdir(tmp_path)
    assert texts(".hi") == [".history"] and texts(".load") == [".load", ".load-blueprint"]
    assert texts(".load ") == ["chat.lua", "lib/"] and texts(".load lib/d") == ["deep.lua"]
    assert texts(f".load {tmp_path}/c") == ["chat.lua"]
    named = [each.text for each in complete_dot(".load-blueprint ch", ["arena", "chat", "chatroom"])]
    assert named == ["chat", "chatroom"]
    assert texts(".load nowhere/") == [] and texts(".history ") == []
