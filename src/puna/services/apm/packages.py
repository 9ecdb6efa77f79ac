"""The packages that genesis publishes, one row each. Read by genesis and by tests.

A published version never changes, so a package whose source changes needs a new version here; a test holds each
version to the digest of its source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import puna.vm
from puna.services import programs
from puna.services.blueprints.index import stamped

CLIENT_FILE = Path(puna.vm.__file__).parent / "module" / "lua" / "apm.lua"

REGISTRY_TAG = "Apm-Registry"  # with which a process is spawned to know its registry from the start
VENDORS = ("@puna", "@sam")  # the operator's from the start, besides @apm; @sam for the name the client became known by


@dataclass(frozen=True)
class Package:
    """A package as it is published. `knows` names the standing processes whose ids its source is stamped with."""

    vendor: str
    name: str
    version: str
    source: Path
    description: str
    knows: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    warnings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full(self) -> str:
        """As people write it: `@vendor/name@version`."""
        return f"{self.vendor}/{self.name}@{self.version}"

    def stamped_source(self, ids: Mapping[str, str]) -> str:
        """The Lua text to publish. `ids` has at least what it `knows`."""
        return stamped(programs.source(self.source), {name: ids[name] for name in self.knows}).decode()


def _llama_herder(vendor: str) -> Package:
    return Package(
        vendor, "Llama-Herder", "1.3.0", programs.LLAMA_HERDER,
        "Pay the herd of this network for inference and get the answer in a callback",
        knows=("herder", "token"),
        keywords=("llama", "ai", "inference"),
        warnings={"modifiesGlobalState": True, "installMessage": "Use it as Llama.run(prompt, tokens, callback)"},
    )  # fmt: skip


PACKAGES = (
    Package("@apm", "apm", "2.1.0", CLIENT_FILE, "The package client", keywords=("apm", "packages")),
    _llama_herder("@puna"),
    _llama_herder("@sam"),
)
