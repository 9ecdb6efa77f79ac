"""Stories of real published modules. Numbers are those of the protocol reference's conformance statements."""

import pytest
from vm.published import samples
from vm.published.probe import WORDS
from vm.published.samples import Bench

from puna.errors import Invalid
from puna.vm.formats import FORMATS, OURS

# Compiling these takes ten seconds each; they have tests of their own.
QUICK = [name for name in samples.ALL if name not in ("sqlite", "llama")]
MIB = 1 << 20


@pytest.mark.parametrize("metered", [False, True])
@pytest.mark.parametrize("name", QUICK)
def test_61_every_sample_boots_and_evaluates_in_each_of_its_formats(name, metered):
    bench = Bench(name, format=samples.METERED[samples.ALL[name]] if metered else samples.ALL[name])
    assert bench.booted.error is None
    if name == "process":  # a toy that answers whatever comes
        assert bench.eval("1 + 1").messages
    else:
        assert str(bench.data("1 + 1")) == "2"


@pytest.mark.parametrize("name", ["sqlite", "llama"])
def test_61_so_do_the_large_ones_but_not_metered(name):
    assert str(Bench(name).data("1 + 1")) == "2"
    with pytest.raises(Invalid, match="the instruction 0xfd, which has no price"):  # nor in the reference
        Bench(name, format=samples.METERED[samples.ALL[name]])


@pytest.mark.parametrize("name", ["aos2_0_6", "aos2_0_4_32"])
def test_62_a_memory_goes_on_in_a_new_instance_also_after_growth(name):
    first = Bench(name)
    first.eval("Kept = {1, 2} Big = ('x'):rep(30 * 1024 * 1024) return 1")
    assert first.process._shadow.size > 1088 * 65536
    second = Bench(name, snapshot=first.process.snapshot())
    second.number = first.number
    assert second.process.state_root == first.process.state_root
    for code in ("return #Big .. Kept[2]", "Kept[3] = {} for k in pairs(_G) do Kept[#Kept + 1] = k end return #Kept"):
        assert second.eval(code) == first.eval(code)


LATER = {
    format: name for name in ("aos2_0_4_32", "aos2_0_6") for kind in [samples.ALL[name]]
    for format in (kind, samples.METERED[kind])
}  # fmt: skip


def test_62_no_format_goes_untried():
    """The first three have their own stories, in `test_early_formats.py`."""
    assert set(FORMATS) == {OURS, *WORDS.values(), *LATER}


@pytest.mark.parametrize("format", LATER)
def test_62_in_every_later_format_a_process_rolls_back_and_goes_on_from_its_memory(format):
    first = Bench(LATER[format], format=format)
    first.eval("Kept = {1, 2} return 1")
    before = first.process.state_root
    assert first.eval("Kept = nil error('no')").error
    assert first.process.state_root == before
    second = Bench(LATER[format], format=format, snapshot=first.process.snapshot())
    second.number = first.number
    for code in ("return #Kept", "for k in pairs(_G) do Kept[#Kept + 1] = k end return table.concat(Kept, ' ')"):
        assert second.eval(code) == first.eval(code)


def test_63_the_clock_shows_the_messages_time():
    bench = Bench("aos2_0_6")
    assert bench.data("return os.time()", Timestamp=1_712_345_678_901) == "1712345678901"
    assert bench.data("return os.date('!%c', 10)") == "Thu Jan 01 00:00:10 1970"


def test_63_the_clock_of_older_processes_begins_anew_with_every_message():
    bench = Bench("aos")
    assert [bench.data("for i = 1, 3000 do os.time() end return os.time()") for _ in range(3)] == [13, 13, 13]


@pytest.mark.parametrize("name", ["aos2_0_6", "aos2_0_4_32", "aos"])
def test_64_protected_calls_nest(name):
    nested = "local function f(n) if n == 0 then error('x', 0) end local ok, e = pcall(f, n - 1) return e or 'x' end "
    bench = Bench(name)
    assert bench.data(nested + "return f(150)") == "x"
    assert bench.data(nested + "return coroutine.wrap(f)(150)") == "x"
    bench.eval(
        "Handlers.add('Nest', function(m) return m.Action == 'Nest' end, function() " + nested + "Got = f(150) end)"
    )
    bench.number += 1
    bench.send(samples.message(bench.number, "", Action="Nest"))
    assert bench.data("return Got") == "x"


def test_66_a_table_made_in_one_message_is_there_in_the_next():
    bench, other = Bench("sqlite"), Bench("sqlite")
    for each in (bench, other):
        each.eval("db = require('lsqlite3').open_memory() db:exec('create table t (a)') return 1")
        each.eval("db:exec('insert into t values (7)') return 1")
    rows = "local s = '' for a in db:urows('select a from t') do s = s .. a end return s"
    assert str(bench.data(rows)) == "7"
    random = "for a in db:urows('select random()') do return tostring(a) end"
    assert bench.data(random) == other.data(random)


def test_67_a_long_message_arrives_whole():
    bench = Bench("aos2_0_6")
    text = "0123456789" * 500_000
    bench.eval("Handlers.add('Long', function(m) return m.Action == 'Long' end, function(m) Got = m.Data end)")
    bench.send(samples.message(50, text, Action="Long"))
    assert bench.data("return #Got .. Got:sub(-3)") == "5000000789"


def test_67_a_message_longer_than_a_small_stack_arrives_whole():
    bench = Bench("sqlite")
    size = "return #[[" + "x" * 100_000 + "]]"
    assert bench.data(size) == 100_000
    assert bench.data("1 + 1") == 2


@pytest.mark.parametrize("format", [samples.NARROW, "wasm32-unknown-emscripten-metering"])
def test_51_a_loop_runs_out_of_gas_and_leaves_no_trace(format):
    benches = [Bench("aos2_0_4_32", format=format, gas=30_000_000_000) for _ in range(2)]
    before = benches[0].process.state_root
    results = [bench.eval("X = 1 while true do end") for bench in benches]
    assert results[0] == results[1]
    assert results[0].error.startswith("out of gas") and results[0].gas_used == 30_000_000_000
    assert benches[0].process.state_root == before
    assert benches[0].data("return tostring(X)").endswith("nil")  # the 32-bit build warns of the nonce first


def test_50_what_failed_leaves_no_trace():
    bench = Bench("aos2_0_6")
    before, size = bench.process.state_root, bench.process._shadow.size
    for code in ("Y = 1 error('no')", "Y = ('x'):rep(40 * 1024 * 1024) error('no')", "os.exit(3)"):
        assert bench.eval(code).error
        assert (bench.process.state_root, bench.process._shadow.size) == (before, size)
    assert bench.data("return tostring(Y)") == "nil"


def test_a_hungry_message_meets_the_memory_limit_and_fails_alone():
    bench = Bench("aos2_0_6", memory=100 * MIB)
    hungry = bench.eval("T = {} for i = 1, 1000 do T[i] = ('x'):rep(1024 * 1024) .. i end")
    assert "not enough memory" in hungry.error
    assert bench.process._shadow.size <= 100 * MIB
    assert bench.data("return tostring(T)") == "nil"


def test_recursion_to_death_is_an_ordinary_error():
    bench = Bench("aos2_0_6")
    assert bench.eval("local function f() return 1 + f() end return f()").error
    assert bench.eval("return ('('):rep(1000000):find(('('):rep(300))").error
    assert bench.eval("return setmetatable({}, {__index = function(t, k) return t[k .. 'x'] end}).a").error
    assert bench.data("return 1") == "1"


def test_a_preview_leaves_no_trace():
    bench = Bench("aos2_0_6")
    before = bench.process.state_root
    step = bench.process.preview(samples.compact(samples.message(9, "Z = 5 return Z", Action="Eval")))
    assert step.evaluation().output["data"] == "5"
    assert bench.process.state_root == before


def test_52_replay_and_restart_give_the_same_results_and_roots():
    codes = [
        "N = (N or 0) + 1 return N",
        "error('x')",
        "S = {} for i = 1, 100 do S['k' .. i] = i end return 1",
        "return N",
    ]
    warm, other = Bench("aos2_0_6"), Bench("aos2_0_6")
    for code in codes:
        again = Bench("aos2_0_6", snapshot=other.process.snapshot())
        again.number = other.number
        other = again
        assert other.eval(code) == warm.eval(code)


def test_a_module_that_needs_more_than_allowed_is_refused_with_both_figures():
    with pytest.raises(Invalid, match=f"needs {19200 * 65536} bytes .* {1 << 30} are allowed"):
        Bench("llama", memory=1 << 30)
