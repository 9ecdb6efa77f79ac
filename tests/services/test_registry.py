"""The package registry, asked by wallets: names, versions, rights, refusals. Numbers are those of the checklist."""

import base64
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.apm_story import REGISTRY, ApmStory
from services.story import ALICE, BOB, OPERATOR


@pytest.fixture
def it():
    return ApmStory()


def state(it: ApmStory) -> str:
    """Everything the registry knows, as text in a fixed order."""
    return it.value(
        "(function() local function tell(v) if type(v) ~= 'table' then return tostring(v) end "
        "local keys = {} for k in pairs(v) do keys[#keys + 1] = k end "
        "table.sort(keys, function(a, b) return tostring(a) < tostring(b) end) "
        "for i, k in ipairs(keys) do keys[i] = tostring(k) .. '=' .. tell(v[k]) end "
        "return '{' .. table.concat(keys, ',') .. '}' end return tell(Registry) end)()",
        REGISTRY,
    )


def refused(it: ApmStory, sender: str, action: str, text: str, data: str = "", **tags: str) -> None:
    """The request is answered with `text` and Result=error, and nothing has changed."""
    before = state(it)
    answer = it.tell(sender, action, data, **tags)
    assert answer.tags["Result"] == "error" and "Action" not in answer.tags
    assert text in answer.data
    assert state(it) == before


def published(answer) -> bool:
    return answer.tags["Result"] == "success" and answer.data.startswith("🎉")


def hash_of(source: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(source.encode()).digest()).decode().rstrip("=")


def test_a_vendor_belongs_to_who_registered_it_and_its_packages_too(it):
    assert published(it.tell(ALICE, "APM.RegisterVendor", "@alice-and-friends"))
    assert published(it.publish("@alice-and-friends/tool", "1.0.0", sender=ALICE))
    told = it.info("@alice-and-friends/tool")
    assert (told["Owner"], told["Vendor"], told["Name"]) == (ALICE, "@alice-and-friends", "tool")


def test_a_download_carries_source_hash_and_what_the_package_needs(it):
    source = "return 'ümlaut'"
    it.publish("@puna/tool", "1.0.0", source, Dependencies={"@puna/a": {"version": "1.0.0"}})
    got = it.tell(ALICE, "APM.Download", "@puna/tool")
    assert (got.action, got.tags["Result"]) == ("APM.DownloadResponse", "success")
    assert bytes.fromhex(got.data).decode() == source
    assert (got.tags["Name"], got.tags["Version"]) == ("@puna/tool", "1.0.0")
    assert got.tags["Hash"] == hash_of(source) and len(got.tags["PkgID"]) == 43
    assert json.loads(got.tags["Dependencies"]) == {"@puna/a": {"version": "1.0.0"}}
    assert got.tags["Warnings"] == "{}"
    assert got.tags["LatestClientVersion"] == got.tags["Latest-Client-Version"] == "0.0.0"
    it.publish("@apm/apm", "2.1.0")
    assert it.tell(ALICE, "APM.Download", "@puna/tool").tags["Latest-Client-Version"] == "2.1.0"


def test_52_ten_is_newer_than_nine(it):
    assert published(it.publish("@puna/tool", "1.9.0", "return 9"))
    assert published(it.publish("@puna/tool", "1.10.0", "return 10"))
    refused(it, OPERATOR, "APM.Publish", "Version should be greater than the existing one", '{"source":"return 1"}',
            Name="tool", Vendor="@puna", Version="1.9.9")  # fmt: skip
    assert it.info("@puna/tool")["Version"] == "1.10.0"
    assert bytes.fromhex(it.tell(ALICE, "APM.Download", "@puna/tool").data) == b"return 10"


def test_52_an_exact_version_is_found_by_number_by_id_and_by_hash(it):
    it.publish("@puna/tool", "1.0.0", "return 'old'")
    it.publish("@puna/tool", "2.0.0", "return 'new'")
    old = it.tell(ALICE, "APM.Download", "@puna/tool@1.0.0")
    for version in ("1.0.0", old.tags["PkgID"], hash_of("return 'old'")):
        got = it.tell(ALICE, "APM.Download", f"@puna/tool@{version}")
        assert bytes.fromhex(got.data) == b"return 'old'" and got.tags["Version"] == "1.0.0"
    refused(it, ALICE, "APM.Download", "Package not found", "@puna/tool@3.0.0")
    refused(it, ALICE, "APM.Download", "Package not found", "@puna/tool@" + "x" * 43)


GOOD = {"Name": "tool", "Vendor": "@puna", "Version": "1.0.0"}
SOURCE = '{"source": "return {}"}'


@pytest.mark.parametrize(
    "sender, action, data, tags, text",
    [
        (ALICE, "APM.RegisterVendor", "alice", {}, "Invalid vendor name"),
        (ALICE, "APM.RegisterVendor", "@Alice", {}, "Invalid vendor name"),
        (ALICE, "APM.RegisterVendor", "@" + "a" * 64, {}, "Invalid vendor name"),
        (ALICE, "APM.RegisterVendor", "", {}, "Invalid vendor name"),
        (ALICE, "APM.RegisterVendor", "@puna", {}, "Vendor already exists"),
        (ALICE, "APM.RegisterVendor", "@apm", {}, "Vendor already exists"),
        (OPERATOR, "APM.Publish", SOURCE, GOOD | {"Vendor": "puna"}, "Invalid vendor name"),
        (OPERATOR, "APM.Publish", SOURCE, GOOD | {"Name": "a tool"}, "Invalid package name"),
        (OPERATOR, "APM.Publish", SOURCE, GOOD | {"Name": "t" * 65}, "Invalid package name"),
        (OPERATOR, "APM.Publish", SOURCE, {"Vendor": "@puna", "Version": "1.0.0"}, "Invalid package name"),
        (OPERATOR, "APM.Publish", SOURCE, GOOD | {"Version": "1.0"}, "Invalid version"),
        (OPERATOR, "APM.Publish", SOURCE, GOOD | {"Version": "v1.0.0"}, "Invalid version"),
        (OPERATOR, "APM.Publish", SOURCE, GOOD | {"Version": "1.0.1234567890"}, "Invalid version"),
        (ALICE, "APM.Publish", SOURCE, GOOD, "You are not the owner of this vendor"),
        (ALICE, "APM.Publish", SOURCE, GOOD | {"Vendor": "@nobody"}, "You are not the owner of this vendor"),
        (ALICE, "APM.Transfer", "", {"Name": "none", "Vendor": "@puna", "Recipient": ALICE}, "Package not found"),
        (ALICE, "APM.Download", "@puna/none", {}, "Package not found"),
        (ALICE, "APM.Download", "@puna/a b", {}, "Invalid package name"),
        (ALICE, "APM.Download", "@PUNA/a", {}, "Invalid vendor name"),
        (ALICE, "APM.Info", "@puna/none@1.0", {}, "Invalid version"),
        (ALICE, "APM.Info", "none", {}, "Package not found"),
        (ALICE, "APM.Update", "", {}, "Package not found"),
        (ALICE, "APM.Search", "q" * 129, {}, "A query is text of at most 128 bytes"),
        (ALICE, "APM.VendorOrAddressPackages", "hm", {}, "Data must be JSON"),
    ],
)
def test_53_what_is_wrong_is_answered_with_its_text_and_changes_nothing(it, sender, action, data, tags, text):
    refused(it, sender, action, text, data, **tags)


def test_53_strangers_neither_publish_nor_give_away_what_is_not_theirs(it):
    it.publish("@puna/tool", "1.0.0")
    refused(it, ALICE, "APM.Publish", "You are not the owner of this package", SOURCE, **GOOD | {"Version": "1.0.1"})
    refused(it, ALICE, "APM.Transfer", "You are not the owner of this package",
            Name="tool", Vendor="@puna", Recipient=ALICE)  # fmt: skip
    refused(
        it, OPERATOR, "APM.Transfer", "Recipient must be an address", Name="tool", Vendor="@puna", Recipient="b o b"
    )


@pytest.mark.parametrize(
    "data, text",
    [
        ("no JSON", "Data must be JSON"),
        ("[]", "Source is required"),
        ('{"source": 5}', "Source is required"),
        ('{"source": ""}', "Source is required"),
        ('{"source": "return {"}', "The source does not compile: source:1:"),
        (json.dumps({"source": "\x1bLua"}), "The source does not compile"),
        (json.dumps({"source": "--" + "x" * 524288}), "The source has 524290 bytes, at most 524288"),
        (json.dumps({"source": "return 1", "readme": "r" * 70000}), "The readme must be text"),
        (json.dumps({"source": "return 1", "readme": {}}), "The readme must be text"),
    ],
)
def test_a_source_that_is_none_is_refused(it, data, text):
    refused(it, OPERATOR, "APM.Publish", text, data, **GOOD)


@pytest.mark.parametrize(
    "tags, text",
    [
        ({"Description": "d" * 1025}, "Description must be text of at most 1024 bytes"),
        ({"License": "l" * 65}, "License must be text"),
        ({"Keywords": "ai"}, "Keywords must be JSON"),
        ({"Keywords": '{"a": "b"}'}, "Keywords must be a JSON list of texts"),
        ({"Authors": "[1]"}, "Authors must be a JSON list of texts"),
        ({"Dependencies": "[" * 600}, "Dependencies must be JSON"),
        ({"Dependencies": '{"@puna/a": "1.0.0"}'}, "Dependencies must be like"),
        ({"Dependencies": '{"@puna/a b": {"version": "1.0.0"}}'}, "Invalid package name in @puna/a b"),
        ({"Dependencies": '{"@puna/a": {"version": "new"}}'}, "Invalid version in @puna/a"),
        ({"Dependencies": '{"x": "' + "y" * 1600 + '"}'}, "at most 1536 bytes"),
        ({"Dependencies": json.dumps({f"p{n}": {"version": "1.0.0"} for n in range(33)})}, "at most 32 others"),
        ({"Warnings": '{"installMessage": 5}'}, "Warnings must be like"),
    ],
)
def test_hostile_fields_are_refused_by_name(it, tags, text):
    refused(it, OPERATOR, "APM.Publish", text, SOURCE, **GOOD | tags)


def test_the_longest_tags_that_pass_still_fit_into_a_download(it):
    dependencies = {f"@puna/{'d' * 60}{n:04}": {"version": "1.0.0"} for n in range(14)}
    warnings = {"installMessage": "w" * 1000}
    answer = it.publish(
        "@puna/" + "n" * 64, "999999999.999999999.999999999", Dependencies=dependencies, Warnings=warnings
    )
    assert published(answer)
    it.do(f'apm.install("@puna/{"n" * 64}")')
    assert not it.dropped and "@puna/dddd" in it.said()


def test_a_package_can_be_given_away_and_its_new_owner_goes_on_with_it(it):
    it.publish("@puna/tool", "1.0.0")
    assert published(it.tell(OPERATOR, "APM.Transfer", Name="tool", Vendor="@puna", Recipient=ALICE))
    assert it.info("@puna/tool")["Owner"] == ALICE
    assert published(it.publish("@puna/tool", "1.0.1", sender=ALICE))
    refused(it, OPERATOR, "APM.Publish", "You are not the owner of this package", SOURCE, **GOOD | {"Version": "1.0.2"})
    # The package alone: the vendor is still its owner's.
    refused(it, ALICE, "APM.Publish", "You are not the owner of this vendor", SOURCE, **GOOD | {"Name": "other"})


def test_a_process_publishes_in_its_own_name(it):
    it.do('apm.registerVendor("@app")')
    it.do('apm.publish{ Name = "@app/tool", Version = "1.0.0", Source = "return 7", Keywords = {"seven"} }')
    told = it.info("@app/tool")
    assert (told["Owner"], told["Keywords"]) == (REGISTRY.replace("REGISTRY", "APP-----"), ["seven"])
    assert "🎉 @app/tool@1.0.0 published" in it.said()


def test_an_address_has_room_for_so_many_vendors_and_bytes_and_nobody_can_use_it_up(it):
    for n in range(16):
        assert published(it.tell(ALICE, "APM.RegisterVendor", f"@alice{n}"))
    refused(it, ALICE, "APM.RegisterVendor", "at most 16 vendors", "@alice16")
    assert published(it.publish("@alice0/big", "1.0.0", "--" + "x" * 100_000, sender=ALICE))
    assert it.value(f"Registry.owned['{ALICE}'].bytes", REGISTRY) == 100_002
    it.processes[REGISTRY].lua.execute(f"Registry.owned['{ALICE}'].bytes = 8388608 - 100_001".replace("_", ""))
    refused(it, ALICE, "APM.Publish", "more than 8388608 bytes", json.dumps({"source": "--" + "x" * 100_000}),
            Name="big", Vendor="@alice0", Version="1.1.0")  # fmt: skip
    it.tell(BOB, "APM.RegisterVendor", "@bob")
    it.tell(ALICE, "APM.Transfer", Name="big", Vendor="@alice0", Recipient=BOB)
    assert published(it.publish("@bob/small", "1.0.0", sender=BOB))


def test_search_looks_in_names_descriptions_and_vendors(it):
    it.tell(ALICE, "APM.RegisterVendor", "@weather")
    it.publish("@puna/b-tool", "1.0.0", Description="Tells the Weather")
    it.publish("@puna/a-tool", "1.0.0")
    it.publish("@puna/a-tool", "1.0.1")
    it.publish("@weather/rain", "2.0.0", sender=ALICE)
    assert it.search("weather") == ["@puna/b-tool@1.0.0", "@weather/rain@2.0.0"]
    assert it.search("@puna") == ["@puna/a-tool@1.0.1", "@puna/b-tool@1.0.0"]
    assert it.search("A-TOOL") == ["@puna/a-tool@1.0.1"]
    assert it.search("%a+") == [] and len(it.search("")) == 3


def test_installs_are_counted_by_version_and_ranked_by_package(it):
    it.publish("@puna/a", "1.0.0")
    it.publish("@puna/b", "1.0.0")
    it.publish("@puna/b", "1.1.0")
    for reference in ("@puna/b@1.0.0", "@puna/b", "@puna/b", "@puna/a"):
        it.tell(ALICE, "APM.Download", reference)
    told = it.info("@puna/b")
    assert (told["TotalInstalls"], [(v["Version"], v["Installs"]) for v in told["Versions"]]) == (
        3, [("1.1.0", 2), ("1.0.0", 1)],
    )  # fmt: skip
    popular = it.tell(ALICE, "APM.Popular")
    assert popular.action == "APM.PopularResponse"
    assert [(e["Name"], e["TotalInstalls"]) for e in json.loads(popular.data)] == [("b", 3), ("a", 1)]


def test_the_packages_of_a_vendor_or_of_an_address_are_listed(it):
    it.tell(ALICE, "APM.RegisterVendor", "@alice")
    it.publish("@alice/one", "1.0.0", sender=ALICE)
    it.publish("@puna/two", "1.0.0")
    for asked in ({"vendor": "@alice"}, {"address": ALICE}):
        got = it.tell(BOB, "APM.VendorOrAddressPackages", json.dumps(asked))
        assert got.action == "APM.VendorPackagesResponse"
        assert [entry["Name"] for entry in json.loads(got.data)] == ["one"]


def test_lists_end_at_fifty(it):
    for n in range(55):
        it.publish(f"@puna/tool-{n:02}", "1.0.0")
    assert len(it.search("tool")) == 50 and it.search("tool")[0] == "@puna/tool-00@1.0.0"
    assert len(json.loads(it.tell(ALICE, "APM.Popular").data)) == 50


def test_a_flood_of_unknown_messages_does_not_grow_the_inbox(it):
    for n in range(5):
        it.send(BOB, REGISTRY, "Noise", data="x" * 1000, Number=str(n))
    assert it.value("#Inbox", REGISTRY) == 1


PARTS = st.integers(0, 30)
VERSIONS = st.lists(st.tuples(PARTS, PARTS, PARTS), min_size=1, max_size=8)


@settings(max_examples=20, deadline=None)
@given(VERSIONS)
def test_52_versions_only_ever_grow_and_the_newest_is_the_greatest(versions):
    it = ApmStory()
    accepted = []
    for parts in versions:
        greater = not accepted or parts > accepted[-1]
        assert published(it.publish("@puna/tool", ".".join(map(str, parts)))) == greater
        if greater:
            accepted.append(parts)
    assert it.info("@puna/tool")["Version"] == ".".join(map(str, accepted[-1]))
