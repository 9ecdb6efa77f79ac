"""Published modules, too, go on from increments and from mapped page files."""

import pytest
from vm.published import samples
from vm.published.samples import Bench

from puna.vm.checkpoint import Checkpoint, digest_of
from puna.vm.pagefile import PageFiles
from puna.vm.process import Process


@pytest.mark.parametrize("name", ["aos2_0_6", "aos2_0_4_32"])
def test_a_published_module_goes_on_from_a_page_file(name, tmp_path):
    bench, pages = Bench(name), PageFiles(tmp_path)
    bench.eval("Kept = {1, 2} Big = ('x'):rep(1024 * 1024) return 1")
    bench.process._pages = pages
    base = bench.process.checkpoint()
    bench.eval("Kept[3] = 3 return 1")
    increment = bench.process.checkpoint(digest_of(base))
    assert len(list(tmp_path.glob("*.pages"))) == 1
    mapped = Bench(name, snapshot=bench.process.snapshot())
    mapped.process.close()
    start = Checkpoint(digest_of(base), None, (increment,), bench.process.state_root)
    mapped.process = Process(samples.machine(), bench.program, mapped.process._host, start, pages)
    mapped.number = bench.number
    codes = (
        "return #Big .. Kept[3]",
        "error('no')",
        "Big = Big .. Big for k in pairs(_G) do Kept[#Kept + 1] = k end return #Kept",
    )
    for code in codes:
        assert mapped.eval(code) == bench.eval(code)
    assert mapped.process.state_root == bench.process.state_root
