"""Checkpoints that carry what changed, and memories that are mapped from files: nothing of it changes an answer."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.bench import Bench, machine, message, program
from vm.test_process import STEPS

from puna.errors import Invalid
from puna.vm.checkpoint import Checkpoint, NoPages, digest_of, is_increment
from puna.vm.extensions import Host
from puna.vm.memory import PAGE_BYTES
from puna.vm.pagefile import MAGIC, PageFiles
from puna.vm.process import Process


class Life:
    """A process that is checkpointed and begins again as a compute unit would have it do."""

    def __init__(self, folder: Path, gas: int = 2_000_000_000):
        self.folder = folder
        self.pages = PageFiles(folder)
        self.program = program(gas=gas)
        self.process = Process(machine(), self.program, Host(), None, self.pages)
        self.chain: list[bytes] = []  # a whole snapshot and its increments
        self.later: list[str] = []  # applied since the newest checkpoint

    def apply(self, code: str):
        self.later.append(code)
        return self.process.apply(message(code), "message").evaluation()

    def checkpoint(self, lost: bool) -> None:
        made = self.process.checkpoint(digest_of(self.chain[-1]) if self.chain else None)
        if lost:
            return
        self.chain = [*self.chain, made] if is_increment(made) else [made]
        self.later = []

    def restart(self, delete: bool) -> None:
        root = self.process.state_root
        self.process.close()
        if delete:
            for file in self.folder.glob("*"):
                file.unlink()
        self.process = self.begun() if self.chain else Process(machine(), self.program, Host(), None, self.pages)
        for code in self.later:
            self.process.apply(message(code), "message")
        assert self.process.state_root == root

    def begun(self) -> Process:
        # The root is compared by the process itself; here it is the one that the whole chain comes to.
        base, *increments = self.chain
        try:
            start = Checkpoint(digest_of(base), None, tuple(increments))
            return Process(machine(), self.program, Host(), start, self.pages)
        except NoPages:
            start = Checkpoint(digest_of(base), base, tuple(increments))
            return Process(machine(), self.program, Host(), start, self.pages)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), STEPS),
        st.tuples(st.just("checkpoint"), st.booleans()),
        st.tuples(st.just("restart"), st.booleans()),
        st.tuples(st.just("preview"), STEPS),
    ),
    max_size=14,
)


@settings(max_examples=30, deadline=None)
@given(EVENTS)
def test_any_history_of_checkpoints_and_restarts_is_a_replay_from_nothing(events):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        life, plain = Life(Path(folder), 20_000_000), Bench(program(gas=20_000_000))
        for what, how in events:
            if what == "apply":
                found, expected = life.apply(how), plain.run(how)
                assert (found.output, found.error, found.gas_used) == (
                    expected.output, expected.error, expected.gas_used,
                )  # fmt: skip
            elif what == "preview":
                life.process.preview(message(how))
            else:
                getattr(life, what)(how)
            assert life.process.state_root == plain.root
        life.restart(delete=False)
        assert life.process.snapshot() == plain.process.snapshot()
        life.process.close()


GROW = "Big = ('x'):rep(3000000) for i = 1, 10 do _G['v' .. i] = ('y'):rep(5000 + i) end return #Big"


def test_an_increment_carries_only_what_changed(tmp_path):
    life = Life(tmp_path)
    life.apply("T = {} for i = 1, 30000 do T[i] = i * 7919 % 100003 .. '' end collectgarbage()")
    life.checkpoint(lost=False)
    life.apply("N = 1")
    life.checkpoint(lost=False)
    whole, increment = life.chain
    assert len(increment) < len(whole) / 4
    assert is_increment(increment) and not is_increment(whole)


def test_a_memory_that_was_mapped_costs_only_what_it_writes(tmp_path):
    life = Life(tmp_path)
    life.apply(GROW)
    own = life.process.held_bytes
    life.checkpoint(lost=False)
    life.restart(delete=False)
    assert life.process.held_bytes == 0
    life.apply("N = 1")
    assert 0 < life.process.held_bytes < own / 4


def test_two_memories_of_one_file_do_not_see_each_other(tmp_path):
    life = Life(tmp_path)
    life.apply(GROW + " ")
    life.checkpoint(lost=False)
    one, two = life.begun(), life.begun()
    one.apply(message("Big = nil N = 7 collectgarbage()"), "m")
    assert two.apply(message("return #Big .. tostring(N)"), "m").evaluation().output == "3000000nil"
    assert one.apply(message("return tostring(Big) .. N"), "m").evaluation().output == "nil7"
    one.close()
    assert two.preview(message("return #Big")).evaluation().output == "3000000"


def test_a_message_that_grows_memory_and_fails_leaves_a_mapped_one_as_it_was(tmp_path):
    life = Life(tmp_path)
    life.apply("N = 1")
    life.checkpoint(lost=False)
    life.apply("N = 2")
    life.checkpoint(lost=False)
    life.restart(delete=False)
    root = life.process.state_root
    assert life.apply("Big = ('z'):rep(4000000) N = 3 error('no')").error
    assert life.process.state_root == root
    assert life.apply("return N .. tostring(Big)").output == "2nil"


@pytest.mark.parametrize("harm", ["a page", "a hole", "a digest", "the version", "the end", "empty"])
def test_a_damaged_page_file_is_not_used(tmp_path, harm):
    life = Life(tmp_path)
    life.apply("N = 1")
    life.checkpoint(lost=False)
    (file,) = tmp_path.glob("*.pages")
    content = bytearray(file.read_bytes())
    at = {
        "a page": content.index(b"not enough memory"),
        "a hole": content.index(bytes(3 * PAGE_BYTES)) + PAGE_BYTES,
        "a digest": -400,
        "the version": content.index(MAGIC) + 7,
        "the end": -1,
        "empty": 0,
    }[harm]
    content[at] ^= 1
    file.unlink()
    file.write_bytes(b"" if harm == "empty" else content)
    base = life.chain[0]
    with pytest.raises(NoPages):
        Process(machine(), life.program, Host(), Checkpoint(digest_of(base), None), PageFiles(tmp_path))
    again = Process(machine(), life.program, Host(), Checkpoint(digest_of(base), base), PageFiles(tmp_path))
    assert again.apply(message("return N"), "m").evaluation().output == "1"


def test_a_page_file_of_an_older_version_is_made_again(tmp_path):
    life = Life(tmp_path)
    life.apply("N = 1")
    life.checkpoint(lost=False)
    (file,) = tmp_path.glob("*.pages")
    content = file.read_bytes()
    file.write_bytes(content.replace(MAGIC, b"PUNAPAG1"))
    life.restart(delete=False)  # finds no file it can use, and takes the snapshot
    assert file.read_bytes() == content


def test_a_checkpoint_that_comes_to_another_state_root_is_refused(tmp_path):
    life = Life(tmp_path)
    life.apply("N = 1")
    life.checkpoint(lost=False)
    root = life.process.state_root
    base = life.chain[0]
    Process(machine(), life.program, Host(), Checkpoint(digest_of(base), base, (), root))
    with pytest.raises(Invalid, match="state root differs"):
        Process(machine(), life.program, Host(), Checkpoint(digest_of(base), base, (), bytes(32)))


def test_an_increment_to_another_snapshot_is_refused():
    bench = Bench()
    first = bench.process.checkpoint()
    bench.run("N = 1")
    second = bench.process.checkpoint(digest_of(first))
    bench.run("N = 2")
    third = bench.process.checkpoint(digest_of(second))
    for wrong in [(third,), (second, second), (second[:-9],), (second + b"x",), (first,), (b"",)]:
        with pytest.raises(Invalid):
            Process(machine(), program(), Host(), Checkpoint(digest_of(first), first, wrong))
    good = Process(machine(), program(), Host(), Checkpoint(digest_of(first), first, (second, third)))
    assert good.state_root == bench.root


@pytest.mark.skipif(sys.platform == "win32", reason="counts blocks, and deletes files that are mapped")
def test_files_longest_unused_make_room(tmp_path):
    life, files = Life(tmp_path), []
    for number in range(3):
        life.apply(f"N = {number}")
        life.chain = []
        life.checkpoint(lost=False)
        (newest,) = set(tmp_path.glob("*.pages")) - set(files)
        os.utime(newest, (number, number))
        files.append(newest)
    life.pages = PageFiles(tmp_path, bytes_max=sum(os.stat(file).st_blocks * 512 for file in files[1:]))
    life.pages._prune()
    assert set(tmp_path.glob("*.pages")) == set(files[1:])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files are not laid over memory")
def test_a_memory_that_grows_after_its_checkpoint_stays_where_it_is_mapped(tmp_path):
    life = Life(tmp_path)
    life.apply("N = 1")
    life.checkpoint(lost=False)
    life.restart(delete=False)
    before, size = life.process._shadow.address, life.process._shadow.size
    life.apply("Big = {} for i = 1, 3000 do Big[i] = i .. '' end")
    assert size < life.process._shadow.size <= 2 * size
    assert life.process._shadow.address == before
    life.checkpoint(lost=False)
    life.restart(delete=False)
    assert life.apply("return N .. Big[3000]").output == "13000"
    life.restart(delete=True)
