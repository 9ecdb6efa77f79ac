"""Witness: processes of published aos modules load our blueprints and install from our registry, unmodified."""

import pytest
from services.apm_story import ApmStory
from services.blueprint_story import do, load, printed
from services.herd_story import HERDER, TOKEN, HerdStory
from services.story import ALICE, AUTHORITY, OPERATOR, Evaluation, Story, named_id
from vm.published import samples

from puna.services import programs
from puna.services.apm.packages import PACKAGES
from puna.services.outbox import sent

OLD = named_id("OLD")
REGISTRY = named_id("REGISTRY")


class PublishedProcess:
    """What a story asks of a process, from a published module."""

    def __init__(self, module: str, id: str, owner: str):
        tags = [{"name": "Name", "value": "old"}, {"name": "Authority", "value": AUTHORITY}]
        environment = {"Process": {"Id": id, "Owner": owner, "Tags": tags},
                       "Module": {"Id": "m" * 43, "Owner": owner, "Tags": []}}  # fmt: skip
        self.id, self.bench = id, samples.Bench(module, environment=environment, snapshot=None)

    def apply(self, message: dict) -> Evaluation:
        done = self.bench.send(message)
        entries = done.messages or []
        output = done.output or {}
        text = output.get("data", "") if isinstance(output, dict) else str(output)
        return Evaluation(self.id, message["Id"], entries, sent(entries), done.error, text)


def add_published(story: Story, module: str) -> None:
    story.processes[OLD] = process = PublishedProcess(module, OLD, ALICE)
    tags = {"Type": "Process", "Module": "m" * 43, "Name": "old", "Authority": AUTHORITY}
    booted = process.apply(story._message(OLD, ALICE, ALICE, tags, "", id=OLD))
    assert booted.error is None, booted.error


@pytest.mark.parametrize("module", ["aos2_0_6", "aos2_0_3"])
def test_a_published_module_gets_the_client_and_installs_the_herd(module):
    it = HerdStory()
    it.spawn("REGISTRY", programs.source(programs.REGISTRY), Vendors="@puna,@sam")
    add_published(it, module)
    publish = ApmStory.publish
    it.tell = lambda sender, action, data="", **tags: it.ask(sender, REGISTRY, action, data, **tags)
    ids = {"registry": REGISTRY, "token": TOKEN, "herder": HERDER}
    for package in PACKAGES:
        publish(it, f"{package.vendor}/{package.name}", package.version, package.stamped_source(ids))
    load(it, OLD, "apm")
    it.send(OPERATOR, TOKEN, "Mint", Recipient=OLD, Quantity="1000")
    assert "Download requested" in do(it, OLD, 'return apm.install("@puna/Llama-Herder")')
    assert "Downloaded" in printed(it, OLD)
    do(it, OLD, 'OUTPUTS = {} Llama.run("hi there", 5, function(text) table.insert(OUTPUTS, text) end)')
    it.answer(text="hello from the herd")
    assert "hello from the herd" in do(it, OLD, "return OUTPUTS[1]")


@pytest.mark.parametrize("name", ["token", "chatroom", "chat", "arena", "credUtils", "patch-legacy-reply"])
def test_our_blueprints_load_in_a_published_process(name):
    it = Story()
    add_published(it, "aos2_0_6")
    assert load(it, OLD, name).error is None


def test_our_token_blueprint_pays_in_a_published_process():
    it = Story()
    add_published(it, "aos2_0_6")
    for name in ("token", "staking", "voting"):
        load(it, OLD, name)
    do(it, OLD, f'Send{{ Target = ao.id, Action = "Transfer", Recipient = "{ALICE}", Quantity = "500" }}')
    assert it.received(ALICE, "Credit-Notice")[0].tags["Quantity"] == "500"
    assert it.ask(ALICE, OLD, "Stake", Quantity="200").data == "Successfully Staked 200"
    assert it.ask(ALICE, OLD, "Balance").data == "300"
