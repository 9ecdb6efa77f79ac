"""Stories of files in the weave: what a process may open, what it reads, and what ends its evaluation."""

import asyncio
import json

import pytest
from vm.published import samples
from vm.published.samples import Bench

from puna.arweave.dataitem import sign_item
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import NotYet
from puna.vm.extensions import Host

TEXT = "Llamas graze on the puna. " * 20
READ = "local f = io.open('%s') local n = f:seek('end') local s = f:read(n) f:close() return s"


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in tags.items()]


class Weave:
    """A store with an item, a scheduler that may attest it, and a process that reads."""

    def __init__(self, folder):
        self.store = open_store(folder)
        self.scheduler, self.stranger = new_ed25519_wallet(), new_ed25519_wallet()
        self.small = self.add(self.stranger, TEXT.encode(), Kind="text")
        self.large = self.add(self.stranger, bytes(range(256)) * 1024)

    def add(self, wallet, data: bytes, **tags: str) -> str:
        item = sign_item(wallet, data, tuple((name.replace("_", "-"), value) for name, value in tags.items()))
        asyncio.run(self.store.append([item]))
        return item.id

    def attest(self, item_id: str, wallet=None) -> None:
        self.add(wallet or self.scheduler, b"a", Type="Attestation", Message=item_id, Data_Protocol="ao")

    def bench(self, module: dict[str, str] | None = None, later: dict[str, str] | None = None, **tags: str) -> Bench:
        """A process with these tags, `later` ones behind them, of a module with these."""
        tags = {"Extension": "WeaveDrive", "Scheduler": self.scheduler.address} | tags
        process, of_module = samples.ENVIRONMENT["Process"], samples.ENVIRONMENT["Module"]
        environment = {
            "Process": process | {"Tags": process["Tags"] + tag_list(tags) + tag_list(later or {})},
            "Module": of_module | {"Tags": tag_list(module or {})},
        }
        return Bench("aos2_0_6", host=Host(archive=lambda: self.store), environment=environment)

    def halts(self, bench: Bench, item_id: str) -> bool:
        before = bench.process.state_root
        try:
            bench.eval("Before = 1 " + READ % f"/data/{item_id}")
        except NotYet:
            assert bench.process.state_root == before
            return True
        return False


@pytest.fixture
def weave(tmp_path):
    weave = Weave(tmp_path)
    yield weave
    asyncio.run(weave.store.close())


def test_65_an_attested_item_is_read_whole(weave):
    weave.attest(weave.small)
    weave.attest(weave.large)
    bench = weave.bench()
    assert bench.data(READ % f"/data/{weave.small}") == TEXT
    assert bench.data("return #(function() " + READ % f"/data/{weave.large}" + " end)()") == str(256 * 1024)


def test_65_what_is_not_admitted_halts_the_evaluation_without_a_result(weave):
    bench = weave.bench()
    assert weave.halts(bench, weave.small)
    weave.attest(weave.small, weave.stranger)  # not one whose word counts
    assert weave.halts(bench, weave.small)
    weave.attest(weave.small)
    assert bench.data(READ % f"/data/{weave.small}") == TEXT
    assert bench.data("return tostring(Before)") == "nil"


def test_65_an_item_that_is_not_here_halts_the_evaluation(weave):
    weave.attest("n" * 43)
    assert weave.halts(weave.bench(), "n" * 43)


def test_65_other_paths_are_no_files_and_missing_modules_ordinary_errors(weave):
    bench = weave.bench()
    assert bench.data("return tostring(select(2, io.open('/tmp/x')))") == "/tmp/x: No error information"
    assert bench.data("return tostring(io.open('/data/short')) .. tostring(io.open('/data'))") == "nilnil"
    assert "module 'nope' not found" in bench.eval("require('nope')").error


def test_a_file_is_read_from_any_position(weave):
    weave.attest(weave.small)
    code = (
        f"local f = io.open('/data/{weave.small}') f:setvbuf('no') local out = f:read(6) f:seek('set', 13) "
        "out = out .. '|' .. f:read(2) .. '|' .. f:seek('cur') .. '|' .. f:seek('end') f:close() return out"
    )
    assert weave.bench().data(code) == f"Llamas|on|15|{len(TEXT)}"


def test_the_item_on_boot_needs_no_attestation_and_an_attestor_counts_like_the_scheduler(weave):
    assert weave.bench(On_Boot=weave.small).data(READ % f"/data/{weave.small}") == TEXT
    bench = weave.bench(Attestor=weave.stranger.address)
    weave.attest(weave.large, weave.stranger)
    assert not weave.halts(bench, weave.large)


def test_without_the_extension_nothing_is_admitted(weave):
    weave.attest(weave.small)
    assert weave.halts(weave.bench(Extension="Other"), weave.small)
    assert not weave.halts(weave.bench({"Extension": "WeaveDrive"}, Extension="Other"), weave.small)


def test_a_module_names_no_attestors_and_of_several_schedulers_the_last_counts(weave):
    weave.attest(weave.small, weave.stranger)
    stranger = weave.stranger.address
    assert weave.halts(weave.bench({"Attestor": stranger}), weave.small)
    assert weave.halts(weave.bench(Scheduler=stranger, later={"Scheduler": weave.scheduler.address}), weave.small)
    assert not weave.halts(weave.bench(later={"Scheduler": stranger}), weave.small)
    assert not weave.halts(weave.bench(later={"Attestor": stranger}), weave.small)


def test_individual_availability_is_declared_for_one_item(weave):
    weave.add(weave.scheduler, b"a", Type="Available", ID=weave.small, Data_Protocol="WeaveDrive")
    assert weave.halts(weave.bench(), weave.small)
    assert weave.bench(Availability_Type="Individual").data(READ % f"/data/{weave.small}") == TEXT
    assert weave.halts(weave.bench(Availability_Type="Library"), weave.small)
    module = {"Availability_Type": "Individual"}
    assert not weave.halts(weave.bench(module), weave.small)
    assert weave.halts(weave.bench(module, Availability_Type="Assignments"), weave.small)


def test_a_transaction_is_its_json_with_its_owners_address(weave):
    text = weave.bench().data(READ % f"/tx/{weave.small}")
    told = json.loads(text)
    assert (told["id"], told["ownerAddress"]) == (weave.small, weave.stranger.address)


def test_a_block_that_is_not_mined_yet_halts_the_evaluation(weave):
    bench = weave.bench()
    with pytest.raises(NotYet, match="/block/7 is not on this node"):
        bench.eval(READ % "/block/7")
