"""`puna aos`: a person at the prompt of a process.

`session.py` decides (pure), `console.py` waits, reads and writes; the other files are what these two are made of.
"""
