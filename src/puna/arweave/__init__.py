"""The permanent floor: Arweave's ids, tags, keys, data items and bundles, and the store they live in.

It knows nothing of processes or models. Every floor above signs, reads and keeps its facts through it.
"""
