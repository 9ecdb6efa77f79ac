"""Building the process module: what is embedded under which names, and that the same inputs make the same bytes."""

import pytest
import wasmtime
from vm.bench import BUILT, ROOT, Bench, bare_module, build_script, program


def test_files_are_required_by_their_path_and_by_the_names_of_the_index(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("process.lua", "json.lua", "a/b.lua"):
        (tmp_path / name).write_text("return 1")
    (tmp_path / "INDEX").write_text("# file  names\njson.lua  json, JSON\na/b.lua   b .a.b\n\n")
    found = [(str(path.relative_to(tmp_path)), name) for path, name in build_script().embedded_files(tmp_path)]
    assert found == [
        ("a/b.lua", ".a.b"),
        ("json.lua", ".json"),
        ("process.lua", ".process"),
        ("json.lua", "json"),
        ("json.lua", "JSON"),
        ("a/b.lua", "b"),
    ]


def test_an_index_of_files_that_are_not_there_stops_the_build(tmp_path):
    (tmp_path / "INDEX").write_text("gone.lua gone\n")
    with pytest.raises(RuntimeError, match="gone.lua"):
        build_script().embedded_files(tmp_path)


def test_the_module_imports_two_functions_of_the_host_and_nothing_else():
    module = wasmtime.Module.from_file(Bench().process._machine.engine, str(bare_module()))
    assert {(each.module, each.name) for each in module.imports} == {("host", "call"), ("host", "take")}


def test_embedded_files_are_there_under_all_their_names():
    bench = Bench()
    assert bench.output("return tostring(require('json') == require('.json'))") == "true"
    assert '[string ".process"]' in bench.error("require('.process').handle({Data = '('})")


def test_the_same_inputs_make_the_same_module(tmp_path):
    build_script().build_module(tmp_path / "again.wasm", ROOT / "tests/vm/bare", BUILT.parent)
    assert (tmp_path / "again.wasm").read_bytes() == bare_module().read_bytes()


def test_the_shipped_module_boots():
    shipped = ROOT / "src/puna/vm/module/_built/puna-lua.wasm"
    if not shipped.exists():
        pytest.skip("run `python hatch_build.py` first")
    environment = (
        b'{"Process":{"Id":"p","Owner":"o","Tags":[{"name":"Module","value":"m"}]},"Module":{"Id":"m","Tags":[]}}'
    )
    bench = Bench(program(module=shipped, memory=64 << 20, environment=environment))
    tags = [{"name": "Action", "value": "Eval"}]
    fields = {"Id": "i", "From": "o", "Owner": "o", "Target": "p", "Tags": tags, "Block-Height": 1}
    evaluation = bench.run("return 1 + 1", **fields)
    assert evaluation.error is None
    assert evaluation.output["data"] == "2"
