"""Where a scheduler is found: the newest record of its wallet."""

from ao.fakes import SCHEDULER, MemoryStore, tags_of

from puna.ao.scheduler.location import newest_location, publish_location
from puna.arweave.dataitem import verify_item


async def test_47_a_location_is_published_once_and_again_when_the_url_changes_and_changes_back():
    store = MemoryStore()
    assert newest_location(store, SCHEDULER.address) is None
    first = await publish_location(store, SCHEDULER, "http://one", 1)
    verify_item(first)
    assert tags_of(first) | {"Timestamp": "1"} == {
        "Data-Protocol": "ao", "Variant": "ao.TN.1", "Type": "Scheduler-Location", "Url": "http://one",
        "Time-To-Live": "3600000", "Timestamp": "1",
    }  # fmt: skip
    assert await publish_location(store, SCHEDULER, "http://one", 2) is first and len(store.items) == 1
    second = await publish_location(store, SCHEDULER, "http://two", 3)
    third = await publish_location(store, SCHEDULER, "http://one", 4)
    assert newest_location(store, SCHEDULER.address) is third and len({first.id, second.id, third.id}) == 3
