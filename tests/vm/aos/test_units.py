"""What aos promises together with the units around it: crons, boot code, dry runs, replays. Numbers are those of the
conformance list of aos; the units' own list is tested in `tests/ao`."""

import asyncio

import msgspec
import pytest
from ao.fakes import ALICE, BOB, COMPUTE, FakeEvaluators, Town, message_item
from ao.test_messenger_wire import asking
from ao.test_real import Net, module_item

from puna.ao.compute.unit import ComputeUnit
from puna.ao.compute.verify import verify
from puna.arweave.dataitem import decode_item, sign_item
from puna.arweave.store.port import Query
from puna.errors import Invalid


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def net(tmp_path, cache):
    async with Net(tmp_path, cache) as net:
        net.units.messenger.monitors.resume = lambda: None  # the story asks by hand
        net.module = module_item()
        await net.store.append([net.module])
        yield net


async def quiet(net: Net) -> None:
    """Wait until no journey is under way."""
    while net.store.notes("ao/journey/"):
        await asyncio.sleep(0)


async def shown(net: Net, process: str, code: str) -> str:
    result, _ = await net.eval(process, code)
    assert result.error is None, result.error
    return result.output["data"]


def sent(net: Net, process: str, action: str) -> int:
    """How many messages of that action the messenger has carried from a process."""
    return len(net.store.find(Query(tags=(("From-Process", (process,)), ("Action", (action,))))))


async def test_statement_13_tags_that_name_a_sender_do_not_reach_the_program(net):
    process = await net.spawn(net.module)
    show = "print(msg.From .. ' ' .. msg.Owner) print(tostring(msg.Tags.From) .. tostring(msg.Tags.Owner) .. msg.Data)"
    await net.eval(process, f"Handlers.add('Show', 'Show', function(msg) {show} end)")
    forged = [("From", ALICE.address), ("Owner", ALICE.address), ("Data", "forged")]
    tags = [("Action", "Show"), ("Data-Protocol", "ao"), ("Type", "Message"), *forged]
    item = sign_item(BOB, data=b"true data", target=process, tags=tags)
    await net.link.submit(item)
    shown = (await net.link.result(process, item.id)).output["data"]
    assert shown.split("\n") == [f"{BOB.address} {BOB.address}", "nilniltrue data"]


async def test_statement_20_a_message_without_a_target_is_delivered_to_nobody(net):
    process = await net.spawn(net.module)
    result, events = await net.eval(process, "Send({Action = 'Lost', Data = 'x'}) return 'said'")
    assert result.output["data"].startswith("WARN: No target specified for message.") and len(result.messages) == 1
    assert sent(net, process, "Lost") == 0
    assert await shown(net, process, "return 'and goes on'") == "and goes on"


async def test_statement_37_crons_come_from_the_owner_and_are_carried_only_while_monitored(net):
    process = await net.spawn(net.module, ("Cron-Interval", "10-minutes"), ("Cron-Tag-Action", "Cron"))
    await shown(
        net,
        process,
        f"""
        Ticks = {{}}
        Handlers.add("Cron", "Cron", function(msg)
          Ticks[#Ticks + 1] = msg.From .. " " .. tostring(msg.Cron) .. " " .. msg.Timestamp // 1000
          Send({{ Target = "{BOB.address}", Action = "Ticked" }})
        end)""",
    )
    origin = (await net.units.scheduler.assignments(process))[0][1].timestamp_ms // 1000
    net.clock.pass_ms(25 * 60_000)
    ticks = await shown(net, process, "return table.concat(Ticks, ',')")
    assert ticks == ",".join(f"{ALICE.address} true {origin + minutes * 60}" for minutes in (10, 20))
    assert sent(net, process, "Ticked") == 0
    await net.units.messenger.monitors.add(decode_item(asking(process)))
    net.clock.pass_ms(10 * 60_000)
    await net.units.messenger.monitors.ask_all()
    await quiet(net)
    assert sent(net, process, "Ticked") == 1


async def test_statement_38_boot_code_on_the_weave_is_run(net):
    code = sign_item(ALICE, data=b"Booted = (Booted or 0) + 1 Handlers.add('Hi', 'Hi', function() end) return 'up'")
    await net.store.append([code])
    process = await net.spawn(net.module, ("On-Boot", code.id))
    assert (await net.link.result(process, process)).output["data"] == "up"
    assert await shown(net, process, "return Booted .. #Inbox .. Owner") == f"11{ALICE.address}"


async def test_statement_38_boot_code_that_fails_leaves_an_owned_process(net):
    code = sign_item(ALICE, data=b"Booted = 1 error('no')")
    await net.store.append([code])
    process = await net.spawn(net.module, ("On-Boot", code.id), ("Name", "poor"))
    assert '[string "aos"]:1: no' in (await net.link.result(process, process)).error
    assert await shown(net, process, "return tostring(Booted) .. Name .. Owner") == f"nilpoor{ALICE.address}"


async def test_items_are_files_for_processes_that_may_read_them(net):
    item = sign_item(ALICE, data=b"first line\nsecond line\n3.5 rest")
    await net.store.append([item])
    process = await net.spawn(net.module, ("Extension", "WeaveDrive"), ("Attestor", ALICE.address))
    tags = [("Data-Protocol", "ao"), ("Type", "Attestation"), ("Message", item.id)]
    await net.store.append([sign_item(ALICE, data=b" ", tags=tags)])
    await shown(net, process, f"function file() return io.open('/data/{item.id}', 'r') end")
    assert await shown(net, process, "local f = file() return f:read(f:seek('end'))") == item.data.decode()
    reads = "local f = file() for _, form in ipairs({'l', 'L', 'n', 2, 'a'}) do print(f:read(form)) end"
    assert (await shown(net, process, reads)).split("\n") == [
        "first line",
        "second line",
        "",
        "\x1b[32m3.5\x1b[0m",
        " r",
        "est",
    ]
    assert await shown(net, process, "local n = 0 for line in file():lines() do n = n + #line end return n") == "29"
    seeks = "local f = file() f:seek('set', 6) return f:read(4) .. f:seek() .. #f:read('a')"
    assert await shown(net, process, seeks) == "line1021"
    assert await shown(net, process, "local f = file() f:close() return tostring(pcall(f.read, f))") == "false"
    nothing = "return tostring(io.open('/etc/passwd')) .. tostring(io.open('/data/x'))"
    assert await shown(net, process, nothing) == "nilnil"
    plain = await net.spawn(net.module)
    refused = await shown(net, plain, f"return tostring(select(2, io.open('/data/{item.id}')))")
    assert refused == f"/data/{item.id}: No such file or directory"


async def test_statement_39_a_dry_run_changes_nothing(net):
    played, untouched = await net.spawn(net.module, ("Name", "a")), await net.spawn(net.module, ("Name", "b"))
    say = "N = (N or 0) + 1 Send({Target = 'x', Data = tostring(N)}) print(math.random(100)) return N"
    results = {}
    for process in (played, untouched):
        await net.eval(process, say)
        if process == played:
            before = net.units.compute.evaluated(played).root
            dry = {"Owner": ALICE.address, "Data": say, "Tags": [{"name": "Action", "value": "Eval"}]}
            for _ in range(3):
                preview = await net.link.preview(played, dry)
                assert preview.output["data"].endswith("\n2") and preview.messages[0]["Data"] == "2"
            assert net.units.compute.evaluated(played).root == before
        result, _ = await net.eval(process, say)
        results[process] = (result.output["data"].split("\n")[1], result.messages)
    assert results[played] == results[untouched]
    assert results[played][0] == "2"


async def test_statement_40_schedules_have_no_gaps_and_replays_are_equal_byte_for_byte(net, tmp_path, cache):
    process = await net.spawn(net.module)
    go = "function(m) for k in pairs(m) do print(k) end m.forward('x') end"
    await net.eval(process, f"Handlers.add('Go', 'Go', {go})")
    for n in range(3):
        tags = [("Action", "Go"), ("Data-Protocol", "ao"), ("Type", "Message"), *((f"T{i}", str(n)) for i in range(9))]
        await net.link.submit(sign_item(BOB, data=b"go", target=process, tags=tags))
    await quiet(net)
    schedule = await net.units.scheduler.assignments(process)
    assert [assignment.nonce for _, assignment in schedule] == list(range(len(schedule)))
    told = [(await net.link.result(process, item.id)).to_json() for item, _ in schedule]
    assert len(told) == 5 and len({str(result["Messages"]) for result in told[2:]}) == 3
    report = await verify(net.store, net.evaluators, process)
    assert report.agrees and report.replayed == len(schedule), report.first


async def test_statement_40_a_broken_chain_stops_evaluation():
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()

    class Lying:
        def __getattr__(self, name):
            return getattr(town.units.scheduler, name)

        async def assignments(self, process, after_nonce=-1, limit=100):
            page = await town.units.scheduler.assignments(process, after_nonce, limit)
            return [(item, msgspec.structs.replace(a, hash_chain=b"\1" * 32)) for item, a in page]

    town.units.scheduler.on_assigned = lambda process, nonce: None
    item = message_item(process)
    await town.units.scheduler.submit(item)
    unit = ComputeUnit(town.store, COMPUTE, Lying(), FakeEvaluators())
    with pytest.raises(Invalid, match="HashChain invalid"):
        await unit.result(process, item.id)
