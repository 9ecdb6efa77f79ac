"""The deep hash: one digest of nested lists of bytes, which is what every Arweave signature is made over.

Used by dataitem, and by the scheduler to recognise twins.
Source: Arweave's deep hash, SHA-384 with a length-tagged prefix for blobs and lists.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha384

Blob = bytes | bytearray | memoryview
DeepList = list["Blob | DeepList"] | tuple["Blob | DeepList", ...]

DEEP_HASH_BYTES = 48
SHORT_BYTES_MAX = 64  # keys, ids and the words of a signature: the same few come again and again


def deep_hash(value: Blob | DeepList) -> bytes:
    """The 48-byte digest of bytes, or of a list of such values, nested as deep as Python recurses.

    A memoryview is walked where it lies: gigabytes of a mapped file take no memory of their own.
    """
    if isinstance(value, (list, tuple)):
        digest = _list_prefix(len(value))
        for element in value:
            digest = sha384(digest + deep_hash(element)).digest()
        return digest
    return _blob_digest(value)


def begin_list(count: int, first: Sequence[Blob]) -> bytes:
    """Where the deep hash of a list of `count` elements stands after the `first` of them; `go_on` takes the others.

    For who hashes many lists that begin alike.
    """
    return go_on(_list_prefix(count), first)


def go_on(digest: bytes, blobs: Sequence[Blob]) -> bytes:
    """The deep hash of a list, from where it stood at `digest` over its next elements."""
    for blob in blobs:
        digest = sha384(digest + _blob_digest(blob)).digest()
    return digest


def _blob_digest(blob: Blob) -> bytes:
    if type(blob) is bytes:
        size = len(blob)
        if size <= SHORT_BYTES_MAX:
            return _short_blob_digest(blob)
    else:
        size = blob.nbytes if isinstance(blob, memoryview) else len(blob)
    return sha384(_blob_prefix(size) + sha384(blob).digest()).digest()


@lru_cache(maxsize=4096)
def _short_blob_digest(blob: bytes) -> bytes:
    return sha384(_blob_prefix(len(blob)) + sha384(blob).digest()).digest()


@lru_cache(maxsize=1024)  # nearly all blobs have one of a few sizes
def _blob_prefix(size: int) -> bytes:
    return sha384(b"blob%d" % size).digest()


@lru_cache(maxsize=1024)
def _list_prefix(count: int) -> bytes:
    return sha384(b"list%d" % count).digest()
