"""The deep hash: one digest of nested lists of bytes, which is what every Arweave signature is made over.

Used by dataitem, and by the scheduler to recognise twins.
Source: Arweave's deep hash, SHA-384 with a length-tagged prefix for blobs and lists.
"""

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
    if type(value) is bytes and len(value) <= SHORT_BYTES_MAX:
        return _short_blob_digest(value)
    size = value.nbytes if isinstance(value, memoryview) else len(value)
    return _blob_digest(value, size)


def _blob_digest(blob: Blob, size: int) -> bytes:
    return sha384(_blob_prefix(size) + sha384(blob).digest()).digest()


@lru_cache(maxsize=4096)
def _short_blob_digest(blob: bytes) -> bytes:
    return _blob_digest(blob, len(blob))


@lru_cache(maxsize=1024)  # nearly all blobs have one of a few sizes
def _blob_prefix(size: int) -> bytes:
    return sha384(b"blob%d" % size).digest()


@lru_cache(maxsize=1024)
def _list_prefix(count: int) -> bytes:
    return sha384(b"list%d" % count).digest()
