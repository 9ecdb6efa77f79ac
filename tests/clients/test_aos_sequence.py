"""What the aos command line sends, in its order, with the aoconnect from npm that it is built on.

aos 2.0.16 itself cannot be fetched by tests (`docs/decisions/0007-conformance-of-the-units.md`), so every request of
its start by name, `--run`, a line, `.load`, `.dryrun`, `--list`, `--module <name>` and the live feed is made here
instead, on our module and on a published aos.
"""

import asyncio
import json
from pathlib import Path

import pytest
from clients.driving import drive
from vm.published import samples

WALLET = Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json"


@pytest.fixture(scope="module")
def seen(node):
    words = json.dumps(node.places), str(WALLET), str(samples.module("aos2_0_6"))
    return asyncio.run(drive("aos.mjs", *words))


def test_69_a_run_with_a_fresh_name_spawns_evaluates_and_ends_and_with_the_same_name_does_not_spawn(seen):
    for first, failed, again in (seen["runs"][:3], seen["runs"][3:]):
        assert (first["spawned"], first["text"], first["status"]) == (True, "2", 0)
        assert (failed["spawned"], failed["status"]) == (False, 1) and "no" in failed["text"]
        assert (again["spawned"], again["text"], again["status"]) == (False, "2", 0)
        assert first["process"] == failed["process"] == again["process"]
    assert seen["moduleFound"] and seen["cron"] == "fine" and seen["strays"] == []


@pytest.mark.parametrize("module", ["ours", "published"])
def test_70_a_session_greets_answers_lines_and_prints_what_a_trusted_process_sends(seen, module):
    told = seen[module]
    assert told["spawned"] and told["version"].startswith("2.0") and "aos" in told["prompt"]
    assert told["newest"] >= 1 and told["loaded"] == "loaded" and told["line"] == "42" and told["dry"] == "8"
    assert "nobody" in told["failed"]
    assert any("New Message From" in text and "good day" in text for text in told["printed"])
    assert not any("good day" in text for text in told["untrusted"])
    assert any("not trusted" in text for text in told["untrusted"])
    assert told["listed"]
