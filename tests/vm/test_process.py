"""Stories of one process: what moves its memory on, and what leaves no trace."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.bench import MIB, Bench, machine, message, program

from puna.errors import Invalid, Missing, NotYet
from puna.vm.checkpoint import Checkpoint, digest_of
from puna.vm.extensions import EXTENSIONS, Host
from puna.vm.process import Process


def test_globals_last_from_message_to_message():
    bench = Bench()
    assert [bench.output("N = (N or 0) + 1 return N") for _ in range(3)] == ["1", "2", "3"]


FAILURES = {
    "failing": "Changed = true error('boom')",
    "failing late": "Changed = true return setmetatable({}, {__pairs = error, __index = error})",
    "looping": "Changed = true while true do end",
    "hungry": "Changed = ('x'):rep(1 << 20) local t = {} while true do t[#t + 1] = ('y'):rep(1 << 16) .. #t end",
    "bomb": "Changed = true return ('a'):rep(40):find(('a*'):rep(25) .. 'b')",
    "returning an error": "Changed = true return {Error = 'no', Messages = {{Target = 'x'}}}",
    "giving up quietly": "Changed = true return {Output = 'not enough memory for buffer allocation'}",
}


@pytest.mark.parametrize("code", FAILURES.values(), ids=FAILURES)
def test_a_message_that_fails_changes_nothing(code):
    bench = Bench(program(gas=200_000_000))
    bench.run("Kept = {1, 2, 3}")
    size = bench.run("return 1").memory_bytes
    before = bench.root
    evaluation = bench.run(code)
    assert bench.root == before == evaluation.state_root
    assert evaluation.memory_bytes == size
    assert bench.output("return tostring(Changed) .. #Kept") == "nil3"


def test_failures_do_not_change_what_follows():
    calm, tried = Bench(program(gas=200_000_000)), Bench(program(gas=200_000_000))
    steps = ["X = {} for i = 1, 1000 do X[i] = i end return #X", "X[#X + 1] = os.clock() return tostring(X)"]
    for step in steps:
        for failure in FAILURES.values():
            tried.run(failure)
        assert tried.run(step) == calm.run(step)


def test_a_trap_deep_in_the_stack_leaves_the_stack_at_rest():
    bench = Bench(program(gas=100_000_000))
    deep = "local function f(s) return (s:gsub('x', function() return f(s) end)) end "
    for _ in range(30):  # 200 frames of stack each; were they not given back, 2 MiB would not last
        assert bench.run(deep + "pcall(f, 'x') while true do end").error.startswith("out of gas")
    assert bench.output("return 1") == "1"


def test_the_outbox_is_empty_after_a_failure_and_as_returned_beside_an_error():
    bench = Bench()
    sending = (
        "return {Output = 'o', Messages = {{Target = 'a'}}, Spawns = {{Data = 'b'}}, Assignments = {{Message = 'c'}}"
    )
    sent = bench.run(sending + "}")
    assert (sent.output, sent.error) == ("o", None)
    assert (sent.messages, sent.spawns, sent.assignments) == ([{"Target": "a"}], [{"Data": "b"}], [{"Message": "c"}])
    refused = bench.run(sending + ", Error = 'no'}")
    assert (refused.error, refused.messages) == ("no", sent.messages)
    failed = bench.run("error('no')")
    assert (failed.error, failed.messages, failed.spawns, failed.assignments) == ("data:1: no", [], [], [])


def test_gas_is_counted_the_same_every_time():
    code = "local n = 0 for i = 1, 10000 do n = n + i end return n"
    assert Bench().run(code).gas_used == Bench().run(code).gas_used > 10_000


def test_running_out_of_gas_takes_all_of_it():
    evaluation = Bench(program(gas=50_000_000)).run("while true do end")
    assert evaluation.gas_used == 50_000_000
    assert evaluation.error == "out of gas: the message used all 50000000 units it may"


def test_gas_is_counted_anew_for_each_message():
    bench = Bench(program(gas=100_000_000))
    for _ in range(5):
        bench.output("for i = 1, 200000 do end return 1")


def test_a_preview_leaves_no_trace():
    bench = Bench()
    bench.run("N = 1")
    before = bench.root
    assert bench.preview("N = N + 1 Big = ('x'):rep(4000000) return N").output == "2"
    assert bench.root == before
    assert bench.output("return N .. tostring(Big)") == "1nil"


def test_memory_that_grew_for_nothing_is_given_back():
    bench = Bench()
    small = bench.run("return 1").memory_bytes
    assert bench.run("Big = ('x'):rep(4000000) error('no')").memory_bytes == small
    assert bench.run("Big = ('x'):rep(4000000) return 1").memory_bytes > small + 3_900_000


def test_a_message_that_does_not_fit_fails_alone():
    bench = Bench(program(memory=4 * MIB))
    before = bench.root
    evaluation = bench.run("return 1", Padding="x" * 5_000_000)
    assert evaluation.error == "not enough memory for the message"
    assert bench.root == before


def test_a_module_that_needs_more_than_the_limit_is_refused():
    with pytest.raises(Invalid, match="65536"):
        Bench(program(memory=65536))


def test_a_file_that_is_no_module_is_refused(tmp_path):
    with pytest.raises(Missing):
        machine().load(tmp_path / "nowhere.wasm")
    (tmp_path / "text.wasm").write_bytes(b"hello")
    with pytest.raises(Invalid, match="not valid WebAssembly"):
        machine().load(tmp_path / "text.wasm")
    (tmp_path / "empty.wasm").write_bytes(b"\0asm\1\0\0\0")
    with pytest.raises(Invalid, match="lacks the exports"):
        machine().load(tmp_path / "empty.wasm")


# --- extensions -------------------------------------------------------------------------------------------------


@pytest.fixture
def echo(monkeypatch):
    def bind(host):
        def answer(request: bytes) -> bytes:
            host.charge(1000)
            if request == b"refuse":
                raise Invalid("not like this.", "Ask differently.")
            if request == b"wait":
                raise NotYet("the engine is away")
            if request == b"break":
                raise ZeroDivisionError("our bug")
            if request == b"costly":
                host.charge(1 << 60)
            return request * 2

        return answer

    monkeypatch.setitem(EXTENSIONS, "Echo", bind)
    return Bench(program(extensions=["Echo"]))


def test_an_extension_answers_or_refuses_with_a_text(echo):
    assert echo.output("return _host('Echo', 'ab\\0c')") == "ab\0cab\0c"
    assert echo.output("return #_host('Echo', '')") == "0"
    assert (
        echo.output("local a, e = _host('Echo', 'refuse') return tostring(a) .. e")
        == "nilnot like this. Ask differently."
    )


def test_an_extension_the_process_did_not_name_says_so(echo):
    expected = "extension Llama is not available to this process: add the tag Extension=Llama"
    assert echo.output("return select(2, _host('Llama', ''))") == expected
    assert Bench().output("return select(2, _host('Echo', ''))") == expected.replace("Llama", "Echo")


def test_an_extension_s_gas_is_the_message_s_gas(echo):
    plain = echo.preview("local f = _host return 1").gas_used
    asked = echo.preview("_host('Echo', 'x') return 1").gas_used
    assert 1000 < asked - plain < 100_000
    assert echo.error("_host('Echo', 'costly')").startswith("out of gas")
    assert echo.error("pcall(_host, 'Echo', 'costly') return 1").startswith("out of gas")


@pytest.mark.parametrize(("request_", "error"), [("wait", NotYet), ("break", ZeroDivisionError)])
def test_an_evaluation_the_node_could_not_help_with_ends_without_a_result(echo, request_, error):
    echo.run("N = 1")
    before = echo.root
    with pytest.raises(error):
        echo.run(f"N = 2 Big = ('x'):rep(4000000) pcall(_host, 'Echo', '{request_}') return N")
    assert echo.root == before
    assert echo.output("return N .. tostring(Big)") == "1nil"


# --- snapshots --------------------------------------------------------------------------------------------------


def test_a_restored_process_goes_on_as_if_nothing_had_happened():
    bench = Bench()
    bench.run(
        "T = {} for i = 1, 1000 do T[i] = {i} end Co = coroutine.wrap(function() coroutine.yield(1) return 2 end) Co()"
    )
    twin = bench.restored()
    assert twin.root == bench.root
    for code in ("return Co()", "T = nil collectgarbage() return tostring({})", "return os.clock()"):
        assert twin.run(code) == bench.run(code)


def test_snapshots_that_do_not_fit_are_refused():
    good = Bench().process.snapshot()
    bad = {
        "not a snapshot": b"hello",
        "too short": good[:20],
        "cut": good[:-10],
        "longer": good + b"x",
        "another module": good[:8] + bytes(32) + good[40:],
        "damaged": good[:60] + bytes([good[60] ^ 1]) + good[61:],
        "huge": good[:40] + (1 << 40).to_bytes(8, "big") + good[48:],
        "odd": good[:40] + (65537).to_bytes(8, "big") + good[48:],
    }
    for name, snapshot in bad.items():
        try:
            Process(machine(), program(), Host(), snapshot)
        except Invalid:
            continue
        assert name == "longer", f"{name} was accepted"


# --- the law above all ------------------------------------------------------------------------------------------

COUNT = "Co = Co or coroutine.wrap(function() local n = 0 while true do n = n + 1 coroutine.yield(n) end end) "
STEPS = st.sampled_from(
    [
        "N = (N or 0) + 1 return N",
        "T = T or {} T[#T + 1] = ('v'):rep(#T * 100) return #T",
        "T = nil collectgarbage() return tostring({})",
        "Big = ('x'):rep(3000000) return #Big",
        "Big = nil return os.clock()",
        COUNT + "return Co()",
        "N = (N or 0) + 100 error('no')",
        "N = (N or 0) + 100 while true do end",
        "local keys = {} for k in pairs(_G) do keys[#keys + 1] = k end return table.concat(keys)",
        "error({})",
    ]
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["apply", "apply", "apply", "preview first", "restore first"]), STEPS), max_size=12
)


@settings(max_examples=25, deadline=None)
@given(EVENTS)
def test_replay_restore_and_live_agree_on_every_result_and_root(events):
    live, replayed = Bench(program(gas=20_000_000)), Bench(program(gas=20_000_000))
    for before, code in events:
        if before == "preview first":
            live.preview(code)
        elif before == "restore first":
            live = live.restored()
        replayed.process._watch = None  # this one compares whole memories
        assert live.run(code) == replayed.run(code)
    assert live.root == replayed.root


def test_memory_of_which_much_changes_with_every_message_stays_what_comparing_all_of_it_says():
    live, replayed = Bench(program(memory=32 * MIB)), Bench(program(memory=32 * MIB))
    live.run("T = {} for i = 1, 40000 do T[i] = {i} end")
    replayed.run("T = {} for i = 1, 40000 do T[i] = {i} end")
    parent = live.process.checkpoint()
    opened = 0
    for code in (
        "for i = 1, 40000 do T[i][1] = T[i][1] + 1 end return T[7][1]",
        "for i = 1, 40000 do T[i][1] = T[i][1] * 3 end return T[7][1]",
        "for i = 1, 40000 do T[i][1] = 0 end error('taken back')",
        "for i = 1, 20000 do T[i][1] = T[i][1] - 1 end return T[7][1]",
        "return T[40000][1]",
        "Big = ('x'):rep(3000000) T[1] = nil error('grew for nothing')",
        "for i = 1, 40000 do T[i][1] = -T[i][1] end Big = ('y'):rep(3000000) return #Big",
        "Big = nil collectgarbage() return T[39999][1]",
    ):
        assert live.preview("for i = 1, 40000, 9 do T[i] = i end return #T").output == "40000"
        replayed.process._watch = None  # this one compares whole memories
        assert live.run(code) == replayed.run(code)
        opened = max(opened, len(live.process._watch._open) if live.process._watch else 1)
    assert opened  # blocks were left unwatched, where this machine can watch at all
    assert live.process.snapshot() == replayed.process.snapshot()
    increment = live.process.checkpoint(digest_of(parent))
    again = Process(machine(), live.program, Host(), Checkpoint(digest_of(parent), parent, (increment,), live.root))
    assert again.snapshot() == live.process.snapshot()


def test_the_whole_answer_is_read_as_json():
    steps = Bench().process.apply(message("return {Output = {data = 'x', n = 1.5}}"), "m")
    assert msgspec.json.decode(steps.answer)["ok"] is True
