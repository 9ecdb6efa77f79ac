"""The package client in a process, against the registry and those who would be it. Numbers are the checklist's."""

import base64
import hashlib

import pytest
from services.apm_story import APP, REGISTRY, ApmStory
from services.story import ALICE, SOURCES, named_id

from puna.services.apm.packages import CLIENT_FILE, PACKAGES

STRANGER = named_id("STRANGER")


@pytest.fixture
def it():
    return ApmStory()


def handlers(it: ApmStory, process: str = APP) -> list[str]:
    return list(it.value("require('.utils').map(function(h) return h.name end, Handlers.list)", process).values())


def installed(it: ApmStory) -> dict:
    return dict(it.value("apm.installed"))


def hash_of(source: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(source.encode()).digest()).decode().rstrip("=")


def memory(it: ApmStory) -> str:
    """Names of globals and loaded modules, handlers (but the one that listens for the registry), what is installed."""
    return it.value(
        "(function() require('.crypto') require('.apm') local all = {} "
        "for k in pairs(_G) do all[#all + 1] = 'g ' .. k end "
        "for k in pairs(package.loaded) do all[#all + 1] = 'm ' .. k end "
        "for k, v in pairs(apm.installed) do all[#all + 1] = 'i ' .. k .. v end "
        "for _, h in ipairs(Handlers.list) do "
        "if h.name ~= 'APM.Answer' then all[#all + 1] = 'h ' .. h.name .. tostring(h.handle) end end "
        "table.sort(all) return table.concat(all, '\\n') end)()"
    )


def test_a_fresh_process_has_the_client_and_its_four_handlers_before_all_others(it):
    assert handlers(it) == ["APM.DownloadResponse", "APM.SearchResponse", "APM.InfoResponse", "APM.UpdateResponse",
                            "_eval", "_default"]  # fmt: skip
    assert it.value("package.loaded['.apm']") is None  # large, and not needed yet
    assert it.value("apm.ID") == REGISTRY
    assert it.value("apm == APM and apm == require('.apm')") is True
    assert it.value("apm._version") == "2.1.0"


def test_50_update_and_install_work_on_a_fresh_process(it):
    for package in PACKAGES:
        ids = {"registry": REGISTRY, "token": named_id("TOKEN"), "herder": named_id("HERDER")}
        full = f"{package.vendor}/{package.name}"
        it.publish(full, package.version, package.stamped_source(ids), Warnings=dict(package.warnings))
    assert it.do("return APM.update()").printed == "📦 Update requested"
    assert "✅ Updated APM to v:2.1.0" in it.said()
    assert it.do("return APM.install('@sam/Llama-Herder')").printed == "📦 Download requested for @sam/Llama-Herder"
    assert "✅ Downloaded @sam/Llama-Herder@1.3.0" in it.said()
    assert it.value("require('@sam/Llama-Herder').run ~= nil and Llama == require('@puna/Llama-Herder')") is True
    assert it.value("Llama.herder") == named_id("HERDER")


def test_50_after_an_update_what_was_installed_still_is(it):
    it.publish("@apm/apm", "2.1.0", CLIENT_FILE.read_text())
    it.publish("@puna/tool", "1.0.0", "return { four = 4 }")
    it.do('apm.install("@puna/tool")')
    it.do("apm.update()")
    assert installed(it) == {"@puna/tool": "1.0.0"} and it.value("apm.ID") == REGISTRY
    assert it.do('return apm.install("@puna/tool")').printed == "✅ Package @puna/tool@1.0.0 already installed"
    assert handlers(it).count("APM.UpdateResponse") == 1 and it.value('require("@puna/tool").four') == 4


def test_a_package_of_apm_is_found_by_its_bare_name(it):
    it.publish("@apm/colours", "1.0.0", "return { red = 1 }")
    it.do('apm.install("colours")')
    assert it.value('require("colours").red') == 1 and installed(it) == {"@apm/colours": "1.0.0"}


def test_a_package_that_returns_nothing_counts_as_loaded(it):
    it.publish("@puna/quiet", "1.0.0", "Quiet = true")
    it.do('apm.install("@puna/quiet")')
    assert it.value('require("@puna/quiet")') is True and it.value("Quiet") is True


def forged(it: ApmStory, sender: str, source: str = "Robbed = true", **tags: str) -> None:
    named = {"Name": "@puna/tool", "Version": "1.0.0", "Result": "success", "X_Reference": "1"} | tags
    it.speak(sender, APP, "APM.DownloadResponse", source.encode().hex(), **named)


def test_51_a_download_response_from_another_process_is_refused(it):
    it.silent.add(REGISTRY)
    it.do('apm.install("@puna/tool")')
    forged(it, STRANGER)
    assert it.value("Robbed") is None and installed(it) == {}
    assert f"Refused APM.DownloadResponse from {STRANGER}" in it.said()
    # The question still waits for the registry's own answer.
    forged(it, REGISTRY, "return 'true'")
    assert installed(it) == {"@puna/tool": "1.0.0"}


def test_51_even_the_registry_is_refused_when_it_was_not_asked(it):
    forged(it, REGISTRY)
    forged(it, REGISTRY, X_Reference="7")
    it.speak(REGISTRY, APP, "APM.UpdateResponse", b"Robbed = true".hex(), X_Reference="1")
    it.send(ALICE, APP, "APM.UpdateResponse", b"Robbed = true".hex(), X_Reference="1")
    assert it.value("Robbed") is None and it.said().count("Refused") == 4


def test_51_an_answer_counts_once(it):
    it.publish("@puna/tool", "1.0.0", "Count = (Count or 0) + 1")
    it.do('apm.install("@puna/tool")')
    forged(it, REGISTRY, "Count = (Count or 0) + 1")
    assert it.value("Count") == 1


def test_52_an_exact_version_is_installed_and_another_one_replaces_it(it):
    for version in ("1.9.0", "1.10.0"):
        it.publish("@puna/tool", version, f"return {{ version = '{version}' }}")
    it.do('apm.install("@puna/tool@1.9.0")')
    assert it.value('require("@puna/tool").version') == "1.9.0"
    assert "already installed" in it.do('return apm.install("@puna/tool")').printed
    it.do('apm.update("@puna/tool")')
    assert it.value('require("@puna/tool").version') == "1.10.0" and installed(it) == {"@puna/tool": "1.10.0"}
    it.do('apm.install("@puna/tool@1.9.0")')
    assert installed(it) == {"@puna/tool": "1.9.0"}


def test_52_a_package_is_installed_by_the_hash_of_its_source(it):
    it.publish("@puna/tool", "1.0.0", "return 1")
    it.publish("@puna/tool", "2.0.0", "return 2")
    it.do(f'apm.install("@puna/tool@{hash_of("return 1")}")')
    assert it.value('require("@puna/tool")') == 1 and installed(it) == {"@puna/tool": "1.0.0"}


def test_52_what_a_package_needs_is_loaded_first_each_once(it):
    it.publish("@puna/base", "1.0.0", "Loads = (Loads or 0) + 1 return { name = 'base' }")
    it.publish("@puna/left", "1.0.0", "return require('@puna/base')", Dependencies={"@puna/base": {"version": "1.0.0"}})
    it.publish("@puna/right", "1.0.0", "return require('@puna/base')",
               Dependencies={"@puna/base": {"version": "1.0.0"}})  # fmt: skip
    it.publish("@puna/top", "1.0.0", "return { require('@puna/left'), require('@puna/right') }",
               Dependencies={"@puna/right": {"version": "1.0.0"}, "@puna/left": {"version": "1.0.0"}})  # fmt: skip
    it.do('apm.install("@puna/top")')
    assert sorted(installed(it)) == ["@puna/base", "@puna/left", "@puna/right", "@puna/top"]
    assert it.value("Loads") == 1 and it.value('require("@puna/top")[2].name') == "base"


def test_52_a_needed_version_is_got_exactly_and_a_newer_one_does(it):
    it.publish("@puna/base", "1.0.0", "return 'one'")
    it.publish("@puna/base", "2.0.0", "return 'two'")
    it.publish("@puna/top", "1.0.0", "return require('@puna/base')", Dependencies={"@puna/base": {"version": "1.0.0"}})
    it.do('apm.install("@puna/top")')
    assert it.value('require("@puna/top")') == "one"
    other = it.app("OTHER")
    it.do('apm.install("@puna/base")', other)
    it.do('apm.install("@puna/top")', other)
    assert it.value('require("@puna/top")', other) == "two"


def test_52_a_dependency_by_hash_that_is_there_already_holds_nothing_up(it):
    it.publish("@puna/base", "1.0.0", "return 1")
    it.publish("@puna/top", "1.0.0", Dependencies={"@puna/base": {"version": hash_of("return 1")}})
    it.do('apm.install("@puna/base")')
    it.do('apm.install("@puna/top")')
    assert installed(it) == {"@puna/base": "1.0.0", "@puna/top": "1.0.0"} and it.value("next(apm.held)") is None


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_52_a_cycle_of_dependencies_ends(it, length):
    for n in range(length):
        needed = {f"@puna/p{(n + 1) % length}": {"version": "1.0.0"}}
        it.publish(f"@puna/p{n}", "1.0.0", "Loads = (Loads or 0) + 1 return {}", Dependencies=needed)
    it.do('apm.install("@puna/p0")')
    assert len(installed(it)) == it.value("Loads") == length
    assert it.value("next(apm.held)") is None and it.value("next(apm.pending)") is None


@pytest.mark.parametrize("call, text", [
    ('apm.install("@puna/none")', "❌ @puna/none was not installed: Package not found"),
    ('apm.install("@puna/tool@9.9.9")', "❌ @puna/tool@9.9.9 was not installed: Package not found"),
    ('apm.info("@puna/none")', "❌ Package not found"),
    ('apm.registerVendor("none")', "❌ Invalid vendor name"),
    ('apm.transfer("@puna/tool", "' + "x" * 43 + '")', "❌ You are not the owner of this package"),
    ('apm.update()', "❌ Package not found"),
])  # fmt: skip
def test_53_an_error_of_the_registry_is_printed_and_changes_nothing(it, call, text):
    it.publish("@puna/tool", "1.0.0")
    before = memory(it)
    it.do(call)
    assert text in it.said()
    assert memory(it) == before
    assert it.value("next(apm.pending)") is None


@pytest.mark.parametrize("source, text", [
    ("Robbed = true error('no')", "@puna/bad:1: no"),
    ("Robbed = true json = nil Handlers.prepend('spy', 'Eval', print) error({})", "it did not load: table"),
    ("Robbed = true Handlers.list = {} error('no')", "no"),
    ("Robbed = true package.loaded['.base64'] = nil return nil + 1", "arithmetic on a nil value"),
    ("Robbed = true Handlers.add('_eval', 'Eval', print) Receive({Action = 'x'})", "waits for a message"),
    ("Robbed = true Send({Target = 'x', Action = 'Spam'}) error('no')", "no"),
])  # fmt: skip
def test_a_package_that_fails_to_load_is_named_and_leaves_nothing_behind(it, source, text):
    it.publish("@puna/tool", "1.0.0", "return 'good'")
    it.do('apm.install("@puna/tool")')
    it.publish("@puna/bad", "1.0.0", source)
    before = memory(it)
    it.do('apm.install("@puna/bad")')
    assert "❌ @puna/bad@1.0.0 was not installed: it did not load: " in it.said() and text in it.said()
    assert memory(it) == before and not it.wallets.get("x")
    assert it.do("return 1 + 1").printed == "2"


def test_a_package_fails_with_what_it_needs(it):
    it.publish("@puna/bad", "1.0.0", "error('no')")
    it.publish("@puna/mid", "1.0.0", Dependencies={"@puna/bad": {"version": "1.0.0"}})
    it.publish("@puna/top", "1.0.0", Dependencies={"@puna/mid": {"version": "1.0.0"}})
    it.do('apm.install("@puna/top")')
    assert "❌ @puna/mid@1.0.0 was not installed: it needs @puna/bad" in it.said()
    assert "❌ @puna/top@1.0.0 was not installed: it needs @puna/mid" in it.said()
    assert installed(it) == {} and it.value("next(apm.held)") is None


def answered(it: ApmStory, data: str, asked: str = "@puna/tool", **tags: str) -> str:
    """Play the registry's answer to `asked`; what the process says to it."""
    it.silent.add(REGISTRY)
    it.do(f'apm.install("{asked}")')
    named = {"Name": "@puna/tool", "Version": "1.0.0", "X_Reference": str(it.value("ao.reference"))} | tags
    it.speak(REGISTRY, APP, "APM.DownloadResponse", data, **named)
    return it.said()


GOOD = b"Robbed = true".hex()


@pytest.mark.parametrize("data, asked, tags, text", [
    (GOOD, "@puna/tool", {"Hash": hash_of("other")}, "but the registry promised"),
    (GOOD, "@puna/tool@" + hash_of("other"), {}, "which is not what was asked for"),
    (GOOD, "@puna/tool@1.2.0", {}, "the registry sent version 1.0.0 instead"),
    (GOOD, "@puna/tool", {"Name": "@puna/other"}, "the registry sent @puna/other instead"),
    (GOOD, "@puna/tool", {"Version": "new"}, "the registry named no version"),
    ("no hex", "@puna/tool", {}, "its source is not hexadecimal text"),
    ("abc", "@puna/tool", {}, "its source is not hexadecimal text"),
    (b"\x1bLuaS".hex(), "@puna/tool", {}, "it did not load: attempt to load a binary chunk"),
    (GOOD, "@puna/tool", {"Dependencies": "{"}, "was not installed"),
    (GOOD, "@puna/tool", {"Dependencies": '{"a b": {}}'}, "Invalid package name: a b"),
])  # fmt: skip
def test_an_answer_that_is_not_what_was_asked_for_is_named_and_loads_nothing(it, data, asked, tags, text):
    before = memory(it)
    assert text in answered(it, data, asked, **tags)
    assert it.value("Robbed") is None and installed(it) == {}
    assert memory(it) == before
    assert it.value("next(apm.held)") is None and it.value("next(apm.pending)") is None


def test_a_client_that_does_not_load_leaves_the_old_one(it):
    it.publish("@apm/apm", "3.0.0", "apm = nil Handlers.remove('APM.DownloadResponse') error('broken')")
    it.do("apm.update()")
    assert "❌ APM was not updated: the client did not load" in it.said()
    assert it.value("apm._version") == "2.1.0" and handlers(it)[1] == "APM.DownloadResponse"


@pytest.mark.parametrize("call, text", [
    ("apm.install()", "A package is named by text"),
    ('apm.install("@Puna/tool")', "Invalid vendor name: @Puna"),
    ('apm.install("a tool")', "Invalid package name: a tool"),
    ('apm.install("tool@1.0")', "Invalid version: 1.0"),
    ('apm.publish{ Name = "@a/b", Version = "1.0.0" }', "needs its Source"),
])  # fmt: skip
def test_what_cannot_be_a_package_is_said_before_anything_is_sent(it, call, text):
    before = it.value("ao.reference")
    assert text in it.do(f"local ok, fault = pcall(function() {call} end) return fault").printed
    assert it.value("ao.reference") == before


def test_a_process_without_a_registry_says_how_to_name_one(it):
    lone = it.spawn("LONE", "", owner=ALICE)
    printed = it.do('local ok, fault = pcall(apm.install, "@puna/tool") return fault', lone).printed
    assert "This process knows no package registry" in printed
    it.publish("@puna/tool", "1.0.0", "return 5")
    it.do(f'apm.ID = "{REGISTRY}"', lone)
    it.do('apm.install("@puna/tool")', lone)
    assert it.value('require("@puna/tool")', lone) == 5


def test_uninstalling_forgets_the_package_and_lets_it_clean_up(it):
    tool = "Handlers.add('tool', 'Tool', print) return { uninstall = function() Handlers.remove('tool') end }"
    it.publish("@puna/tool", "1.0.0", tool)
    it.do('apm.install("@puna/tool")')
    assert "tool" in handlers(it) and it.do("return apm.list()").printed == "@puna/tool@1.0.0"
    assert it.do('return apm.uninstall("@puna/tool")').printed == "🗑️ Uninstalled @puna/tool"
    assert "tool" not in handlers(it) and installed(it) == {}
    assert it.value("package.loaded['@puna/tool']") is None
    assert "is not installed" in it.do('return apm.uninstall("@puna/tool")').printed
    assert it.do("return apm.list()").printed == "📦 Nothing is installed"


def test_a_package_may_hand_over_to_its_successor(it):
    source = "return { version = '%s', uninstall = function(successor) Told = successor end }"
    it.publish("@puna/tool", "1.0.0", source % "1.0.0")
    it.publish("@puna/tool", "1.1.0", source % "1.1.0")
    it.do('apm.install("@puna/tool@1.0.0")')
    it.do('apm.update("@puna/tool")')
    assert it.value("Told") == "1.1.0" and it.value('require("@puna/tool").version') == "1.1.0"


def test_warnings_and_news_of_the_client_are_shown(it):
    it.publish("@apm/apm", "2.10.0")
    it.publish("@puna/tool", "1.0.0", Warnings={"modifiesGlobalState": True, "installMessage": "Mind the gap"})
    it.do('apm.install("@puna/tool")')
    for text in ("@puna/tool changes globals", "Mind the gap", "APM 2.10.0 is out"):
        assert text in it.said()


def test_search_and_info_are_printed(it):
    it.publish("@puna/tool", "1.0.0", Description="Makes tea")
    it.publish("@puna/tool", "1.1.0", Description="Makes tea")
    assert it.do('return apm.search("tea")').printed == "🔍 Search requested for tea"
    assert it.do('return apm.info("@puna/tool")').printed == "📦 Info requested for @puna/tool"
    assert "📦 @puna/tool@1.1.0  Makes tea" in it.said() and "Versions: 1.1.0, 1.0.0" in it.said()
    it.do('apm.search("coffee")')
    assert "📦 No packages found" in it.said()


def test_questions_without_an_answer_are_forgotten_in_the_end(it):
    it.silent.add(REGISTRY)
    it.do('for n = 1, 100 do apm.search("x" .. n) end')
    assert it.value("#require('.utils').keys(apm.pending)") == 64 and it.value("apm.pending['100']") is not None


def test_publishing_is_answered_and_the_package_can_be_installed_at_once(it):
    it.do('apm.registerVendor("@my-own")')
    it.do('apm.publish{ name = "@my-own/tool", version = "1.0.0", source = "return 3", dependencies = {} }')
    assert "🎉 Vendor @my-own registered" in it.said() and "🎉 @my-own/tool@1.0.0 published" in it.said()
    other = it.app("OTHER")
    it.do('apm.install("@my-own/tool")', other)
    assert it.value('require("@my-own/tool")', other) == 3
    assert it.value("#Inbox") == 1  # the spawn item alone: answers do not end there


def test_the_embedded_client_is_the_published_one():
    assert SOURCES[".apm"] == CLIENT_FILE.read_text()
