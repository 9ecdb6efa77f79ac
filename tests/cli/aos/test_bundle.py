"""`.load`: a file and what it requires, as one text that Lua runs as if the files were there."""

from pathlib import Path

import pytest
from lupa.lua53 import LuaRuntime

from puna.cli.aos.bundle import bundle
from puna.errors import Invalid, Missing


def made(files: dict[str, str], main: str = "main.lua"):
    """The bundle of files in a folder that is not there."""
    contents = {Path("work") / name: text.encode() for name, text in files.items()}
    return bundle(Path("work") / main, contents.get)


def run(files: dict[str, str], main: str = "main.lua"):
    """What the bundle answers in a Lua of its own, and that Lua."""
    lua = LuaRuntime(encoding="utf-8")
    return lua.execute(made(files, main).code), lua


def test_one_file_is_run_and_answers_its_value():
    assert run({"main.lua": "x = 2\nreturn x + 1"})[0] == 3


def test_required_files_come_first_each_once():
    files = {
        "main.lua": 'order = order or ""\nlocal b, c = require("b"), require("c")\nreturn order .. b .. c',
        "b.lua": 'order = (order or "") .. "b"\nreturn require("c") .. "B"',
        "c.lua": 'order = (order or "") .. "c"\nreturn "C"',
    }
    assert run(files)[0] == "cbCBC"
    assert made(files).files == ("c.lua", "b.lua", "main.lua")


def test_a_dotted_name_is_a_folder_and_init_is_its_file():
    files = {
        "main.lua": 'return require("lib.util") .. require("whole") .. require("./lib/near")',
        "lib/util.lua": 'return "u" .. require("beside")',
        "lib/beside.lua": 'return "b"',
        "lib/near.lua": 'return "n"',
        "whole/init.lua": 'return "w"',
    }
    assert run(files)[0] == "ubwn"


def test_one_file_by_two_names_is_one_module():
    files = {"main.lua": 'return require("lib.a") == require("./lib/a")', "lib/a.lua": "return {}"}
    assert run(files)[0] is True


def test_loading_again_replaces_what_was_required():
    lua = LuaRuntime(encoding="utf-8")
    for value in (1, 2):
        files = {"main.lua": 'return require("a")', "a.lua": f"return {value}"}
        assert lua.execute(made(files).code) == value


def test_a_module_that_answers_nothing_is_true_or_what_it_put_there_itself():
    files = {
        "main.lua": 'return require("none"), require("own")',
        "none.lua": "local x = 1",
        "own.lua": 'package.loaded["own"] = "mine"',
    }
    assert run(files)[0] == (True, "mine")


def test_names_without_a_file_are_left_to_the_process():
    lua = LuaRuntime(encoding="utf-8")
    lua.execute('package.loaded["json"] = "its own"; package.loaded[".utils"] = "the runtime"')
    files = {"main.lua": 'return require("json") .. require(".utils")', "utils.lua": "return 'mine'"}
    assert lua.execute(made(files).code) == "its ownthe runtime"


def test_an_error_names_the_file_and_its_line():
    lua = LuaRuntime(encoding="utf-8")
    files = {"main.lua": 'require("lib.bad")', "lib/bad.lua": "local x\n\nerror('boom')"}
    with pytest.raises(Exception, match=r"lib/bad\.lua:3: boom"):
        lua.execute(made(files).code)
    with pytest.raises(Exception, match=r"^lib/bad\.lua:1: .*near"):
        lua.execute(made({**files, "lib/bad.lua": "x y"}).code)
    assert made(files).sources["lib/bad.lua"].endswith("error('boom')")


def test_text_that_holds_brackets_shebangs_and_line_ends_of_windows_arrives_whole():
    text = "#!/usr/bin/lua\r\nreturn [[a]] .. [==[ ]=] ]] ]==] .. '\\r'\r\n"
    assert run({"main.lua": text})[0] == "a ]=] ]] \r"


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"main.lua": 'require("main")'}, "main.lua -> main.lua"),
        (
            {"main.lua": 'require("a")', "a.lua": 'require("b")', "b.lua": 'require("a")'},
            "a.lua -> b.lua -> a.lua",
        ),
    ],
)
def test_a_circle_is_named(files, circle):
    with pytest.raises(Invalid, match=circle):
        made(files)


def test_what_is_no_lua_file_is_refused():
    with pytest.raises(Invalid, match=r"ends in \.lua"):
        made({"main.txt": "x"}, "main.txt")
    with pytest.raises(Missing, match="There is no file"):
        made({}, "none.lua")
    with pytest.raises(Invalid, match="not UTF-8"):
        bundle(Path("work/main.lua"), lambda path: b"\xff\xfe")


def test_files_are_read_from_the_disk(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "main.lua").write_text('return require("lib.a") + 1')
    (tmp_path / "lib" / "a.lua").write_text("return 41")
    assert LuaRuntime().execute(bundle(tmp_path / "main.lua").code) == 42
    with pytest.raises(Missing):
        bundle(tmp_path / "lib.lua")
