"""Client of the package registry: publish from a file, look for packages, and get their sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from puna.ao.link import Link
from puna.ao.result import Result
from puna.arweave.ids import b64url_encode
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet

from ..letters import message
from ..outbox import Sent, question, sent

ASKER = "1234"  # what dry-runs are asked as; the registry tells everybody the same


@dataclass(frozen=True)
class PackageInfo:
    """What the registry says about a package. `versions` has the newest first; `raw` is all it said."""

    vendor: str
    name: str
    version: str
    description: str
    owner: str
    hash: str
    versions: tuple[str, ...]
    raw: Mapping[str, Any]

    @property
    def full(self) -> str:
        return f"{self.vendor}/{self.name}@{self.version}"


async def search(link: Link, registry: str, query: str = "") -> list[PackageInfo]:
    """Packages with `query` in vendor, name or description, or all of a vendor by `@vendor`; at most 50."""
    answer = await _ask(link, registry, "APM.Search", query)
    return [_info(entry) for entry in _decoded(answer)]


async def info(link: Link, registry: str, reference: str) -> PackageInfo:
    """A package by `[@vendor/]name[@version]`. Raises Missing when there is none."""
    return _info(_decoded(await _ask(link, registry, "APM.Info", reference)))


async def source(link: Link, registry: str, reference: str) -> str:
    """The Lua source of a package, checked against its hash. Does not count as an install."""
    answer = await _ask(link, registry, "APM.Download", reference)
    try:
        raw = bytes.fromhex(answer.data)
        text = raw.decode()
    except ValueError as error:
        raise NodeError(f"The registry's source of {reference} is no text: {error}.") from error
    if b64url_encode(sha256(raw).digest()) != answer.tags.get("Hash"):
        raise NodeError(f"The registry's source of {reference} has another hash than it says.")
    return text


async def register_vendor(link: Link, wallet: Wallet, registry: str, vendor: str) -> None:
    """Make `@vendor` the wallet's own. Raises Invalid with the registry's words when it cannot be."""
    await _tell(link, wallet, registry, {"Action": "APM.RegisterVendor"}, vendor.encode())


async def publish(
    link: Link,
    wallet: Wallet,
    registry: str,
    *,
    vendor: str,
    name: str,
    version: str,
    source: str,
    description: str = "",
    readme: str = "",
    keywords: Sequence[str] = (),
    dependencies: Mapping[str, str] | None = None,
    warnings: Mapping[str, Any] | None = None,
    license: str = "",
    repository: str = "",
) -> str:
    """Publish a version of a package; returns its PkgID, the id of the message, which stays on the weave.

    `dependencies` maps `@vendor/name` to a version. Raises Invalid with the registry's words when it refuses.
    """
    needed = {reference: {"version": wanted} for reference, wanted in (dependencies or {}).items()}
    tags = {
        "Action": "APM.Publish", "Vendor": vendor, "Name": name, "Version": version, "Description": description,
        "Keywords": _json(list(keywords)), "Dependencies": _json(needed), "Warnings": _json(warnings or {}),
        "License": license, "Repository": repository,
    }  # fmt: skip
    data = msgspec.json.encode({"source": source, "readme": readme})
    return await _tell(link, wallet, registry, {tag: value for tag, value in tags.items() if value}, data)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def _tell(link: Link, wallet: Wallet, registry: str, tags: Mapping[str, str], data: bytes) -> str:
    item = message(wallet, registry, tags, data)
    await link.submit(item)
    _answer(await link.result(registry, item.id), Invalid)
    return item.id


async def _ask(link: Link, registry: str, action: str, data: str) -> Sent:
    # A dry-run without data gets a stand-in, which is not what an empty search means.
    result = await link.preview(registry, question(registry, ASKER, {"Action": action}, data or " "))
    return _answer(result, Missing)


def _answer(result: Result, kind: type[NodeError]) -> Sent:
    """The registry's answer; a refusal is raised as `kind`."""
    answer = next(iter(sent(result.messages)), None)
    if answer is None:
        raise NotYet(f"The package registry does not answer: {result.error or 'no reply'}", "Check the registry's id.")
    if answer.tags.get("Result") == "error":
        raise kind(f"The package registry says: {answer.data}", "Nothing was changed.")
    return answer


def _decoded(answer: Sent) -> Any:
    try:
        return msgspec.json.decode(answer.data)
    except msgspec.DecodeError as error:
        raise NodeError(f"The package registry's answer is no JSON: {error}.") from error


def _info(entry: Any) -> PackageInfo:
    try:
        versions = tuple(each["Version"] for each in entry.get("Versions") or ())
        return PackageInfo(
            vendor=entry["Vendor"], name=entry["Name"], version=entry["Version"], owner=entry["Owner"],
            description=entry.get("Description") or "", hash=entry["Hash"], versions=versions, raw=entry,
        )  # fmt: skip
    except (AttributeError, KeyError, TypeError) as error:
        raise NodeError(f"The package registry's answer lacks {error}.") from error
