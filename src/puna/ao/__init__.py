"""The three units of an AO network: the scheduler orders, the compute unit evaluates, the messenger carries.

Each unit keeps its rules in files of pure functions and has one thin `unit.py` that reads, waits and writes.
The floors above speak to all three through `link.py`.
"""
