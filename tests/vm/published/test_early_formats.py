"""The first three formats: a real module of the first, and a probe of ours in each, against the reference loader."""

import json
import subprocess
from pathlib import Path

import pytest
import wasmtime
from vm.published import samples
from vm.published.probe import WORDS, probe

from puna.vm.emscripten import minified, module, shim
from puna.vm.extensions import Host
from puna.vm.formats import FORMATS
from puna.vm.process import Process
from puna.vm.program import Evaluation, Program

MEMORY = 5 << 30  # so that no limit of ours shows
TEXTS = ["a", "bé🦙", "+", "no!", "c", "+", "x" * 300, "zone?", "d"]
MESSAGES = [samples.message(number, text) for number, text in enumerate(TEXTS)]


def attach(path: Path, format: str, environment: dict = samples.ENVIRONMENT, snapshot: bytes | None = None) -> Process:
    encoded = samples.compact(environment)
    program = Program(path, "m", MEMORY, samples.GAS, (), encoded, {}, format)
    return Process(samples.machine(), program, Host(), snapshot)


def apply(process: Process, message: dict) -> Evaluation:
    return process.apply(samples.compact(message), message["Id"]).evaluation()


@pytest.fixture(params=WORDS)
def probed(request, tmp_path) -> tuple[Path, str]:
    path = tmp_path / "probe.wasm"
    path.write_bytes(probe(request.param))
    return path, WORDS[request.param]


def test_61_a_module_of_an_early_format_sees_what_the_reference_shows_it(probed):
    theirs = samples.reference(*probed, MESSAGES)
    process = attach(*probed)
    for message, their in zip(MESSAGES, theirs, strict=True):
        our = apply(process, message)
        assert bool(our.error) == ("thrown" in their) == ("!" in message["Data"])
        if not our.error:
            assert (our.output, our.gas_used) == (their["Output"], their["GasUsed"]), message["Data"]


def test_62_and_goes_on_from_its_memory_also_after_growth_and_failure(probed):
    warm, restarted = attach(*probed), attach(*probed)
    for message in MESSAGES:
        restarted = attach(*probed, snapshot=restarted.snapshot())
        assert apply(restarted, message) == apply(warm, message)


def test_67_a_message_longer_than_the_stack_arrives_whole(probed):
    process = attach(*probed)
    before = process._instance.size
    assert apply(process, samples.message(1, "x" * 100_000 + "+")).error is None
    assert process._instance.size > before  # it saw the last letter


def test_the_zones_names_are_put_into_the_heap_once_whatever_restarts(probed):
    process = attach(*probed)
    used = [taken_from_heap(process)]
    for _ in range(3):
        process = attach(*probed, snapshot=process.snapshot())
        assert apply(process, MESSAGES[7]).error is None
        used.append(taken_from_heap(process))
    assert used == [0, *([0] if probed[1] == WORDS[3] else [64]) * 3]


def taken_from_heap(process: Process) -> int:
    return int.from_bytes(process._instance.view()[2008:2012], "little")


def test_a_failure_leaves_no_trace_in_an_early_format(probed):
    process = attach(*probed)
    apply(process, MESSAGES[0])
    before = process.state_root
    for _ in range(3):
        assert apply(process, MESSAGES[3]).error.startswith("the module stopped")
        assert process.state_root == before


@pytest.mark.parametrize("format", [name for name in FORMATS if "emscripten" in name])
def test_whatever_the_reference_offers_is_offered_here(format, tmp_path):
    path = tmp_path / "any.wasm"
    path.write_bytes(wasmtime.wat2wasm("(module)"))
    script = Path(__file__).with_name("offered.cjs")
    done = subprocess.run([samples.node(), script, samples.loader(), path, format], capture_output=True, check=True)
    rooms = json.loads(done.stdout)
    kind = FORMATS[format].kind
    names = {
        minified.IMPORTS.get(name, name) if kind.minified else name for room in rooms.values() for name in room if room
    }
    rows = shim.ALONE | shim.ON_MEMORY | module.ROWS
    assert len(names) > 30
    assert {name for name in names if kind.answers.get(name, name) not in rows} <= {"invoke_vii", "invoke_vjj"}


# --- a real module of the first format -------------------------------------------------------------------------------

FIRST = WORDS[1]
SMALL = {"process": {"id": samples.PROCESS, "owner": samples.OWNER, "tags": []}}
# What an evaluation gives back is in small letters too, and so goes unseen; errors are what shows.
SAY = "(function() {} end)()"
CODES = [
    "x = {} for i = 1, 50 do x['k' .. i] = i end",
    SAY.format("local s = '' for k in pairs(x) do s = s .. k end error(s)"),
    SAY.format("local s = '' for k in pairs(_G) do s = s .. k end error(s)"),
    "error(os.date('!%c|%x|%X|%r|%D|%F|%j|%U|%V|%W|%G|%g|%u|%w|%e|%h|%I|%p|%y|%C|%n%t%%|%R|%T|%Z', 951782400))",
    "error(os.date('%Z %z %c', 86400))",
    "zone = os.date('%Z') .. os.date('%Z')",
    SAY.format("local t = {year = 2023, month = -5, day = 77, hour = 1, isdst = true} local n = os.time(t) "
               "error(n .. ' ' .. t.year .. ' ' .. t.month .. ' ' .. t.yday .. tostring(t.isdst))"),
    SAY.format("local t = {year = 100, month = -1, day = 7} local n = os.time(t) "
               "error(n .. ' ' .. t.year .. ' ' .. t.month .. ' ' .. t.yday .. tostring(t.isdst))"),
    "error(zone .. tostring(os.clock()) .. ' ' .. os.time())",
    "error(tostring(select(2, os.execute('ls'))) .. tostring(os.execute()))",
    "error(select(2, pcall(require, 'nothing.here')))",
    SAY.format("local f = io.open('/tmp/x') error(tostring(f:read('a')) .. tostring(select(2, f:read(3))) .. "
               "tostring(select(2, f:seek('end'))))"),
    "error(math.random() .. ' ' .. math.random(1000))",
    "long = ('x'):rep(3000000)",
    "error(#long)",
    "big = ('x'):rep(30000000)",  # more than its memory can grow to
    "error(tostring(big) .. #long)",
    "error(('%5.2f %g %q'):format(1.5, 1e300, 'a\\n'))",
    "local f <const> = 1",
    "os.exit(3)",
    "os.exit(true)",
]  # fmt: skip


def small(number: int, code: str) -> dict:
    tags = {"function": "eval", "expression": code}
    return {
        "Id": f"m{number:042d}",
        "owner": samples.OWNER,
        "target": samples.PROCESS,
        "tags": [{"name": name, "value": value} for name, value in tags.items()],
    }


def test_61_a_real_module_of_the_first_format_gives_the_reference_loaders_results():
    messages = [small(number, code) for number, code in enumerate(CODES * 2)]
    theirs = samples.reference(samples.oldest_module(), FIRST, messages, environment=SMALL)
    process = attach(samples.oldest_module(), FIRST, SMALL)
    seen = 0
    for code, message, their in zip(CODES * 2, messages, theirs, strict=True):
        our = apply(process, message)
        assert our.error == their.get("thrown"), code
        seen += "thrown" in their
    assert seen > len(CODES)


def test_62_and_its_memory_goes_on_in_a_new_instance():
    warm, restarted = attach(samples.oldest_module(), FIRST, SMALL), attach(samples.oldest_module(), FIRST, SMALL)
    for number, code in enumerate(CODES):
        restarted = attach(samples.oldest_module(), FIRST, SMALL, restarted.snapshot())
        message = small(number, code)
        assert apply(restarted, message) == apply(warm, message)
