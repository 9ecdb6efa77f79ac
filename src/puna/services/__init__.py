"""The standing programs of the network: Lua on chain, typed Python clients beside it.

Each folder holds one program and, where people talk to it, its client. `genesis` spawns them and introduces them to
each other.
"""
