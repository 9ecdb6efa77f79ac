"""The registry's Python client, over a story."""

import pytest
from services.story import OPERATOR as OWNER
from services.story import Story
from services.story_link import StoryLink

from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid, Missing, NodeError, NotYet
from puna.services import programs
from puna.services.apm.client import info, publish, register_vendor, search, source

ALICE, BOB = new_ed25519_wallet(), new_ed25519_wallet()
LUA = "return { tea = 'ümlaut' }"


@pytest.fixture
def it():
    link = StoryLink(Story())
    link.registry = link.story.spawn("REGISTRY", programs.source(programs.REGISTRY), owner=OWNER)
    link.story.wallets |= {ALICE.address: [], BOB.address: []}
    return link


async def published(it, version="1.0.0", wallet=ALICE, **options) -> str:
    return await publish(
        it, wallet, it.registry, vendor="@alice", name="tea", version=version, source=LUA, **options
    )  # fmt: skip


async def test_a_package_is_published_found_and_read(it):
    await register_vendor(it, ALICE, it.registry, "@alice")
    first = await published(it, description="Makes tea", keywords=["tea"], dependencies={"@alice/water": "1.0.0"})
    await published(it, "1.1.0", description="Makes tea")
    found = await info(it, it.registry, "@alice/tea")
    assert (found.full, found.owner, found.versions) == ("@alice/tea@1.1.0", ALICE.address, ("1.1.0", "1.0.0"))
    older = await info(it, it.registry, "@alice/tea@1.0.0")
    assert older.raw["PkgID"] == first and older.raw["Dependencies"] == '{"@alice/water":{"version":"1.0.0"}}'
    assert await source(it, it.registry, f"@alice/tea@{found.hash}") == LUA
    assert [each.full for each in await search(it, it.registry, "TEA")] == ["@alice/tea@1.1.0"]
    assert len(await search(it, it.registry)) == 1 and await search(it, it.registry, "coffee") == []


async def test_what_the_registry_refuses_is_raised_in_its_words(it):
    with pytest.raises(Invalid, match="You are not the owner of this vendor"):
        await published(it)
    await register_vendor(it, ALICE, it.registry, "@alice")
    with pytest.raises(Invalid, match="Vendor already exists"):
        await register_vendor(it, BOB, it.registry, "@alice")
    await published(it)
    with pytest.raises(Invalid, match="Version should be greater"):
        await published(it)
    with pytest.raises(Missing, match="Package not found"):
        await info(it, it.registry, "@alice/coffee")


async def test_a_process_that_is_no_registry_is_told(it):
    other = it.story.spawn("OTHER", "")
    with pytest.raises(NotYet, match="does not answer"):
        await search(it, other)
    liar = it.story.spawn("LIAR", "Handlers.add('APM.Download', function(m) m.reply({ Data = 'ab', Hash = 'x' }) end) "
                          "Handlers.add('APM.Info', function(m) m.reply({ Data = '5' }) end) "
                          "Handlers.add('APM.Search', function(m) m.reply({ Data = '{' }) end)")  # fmt: skip
    for asking in (source(it, liar, "tea"), info(it, liar, "tea"), search(it, liar)):
        with pytest.raises(NodeError):
            await asking
