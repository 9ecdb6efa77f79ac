"""Published AO modules: C programs compiled by emscripten, and what they expect of the world around them.

`../formats.py` has one row for each of their formats. Source: protocol reference, section 5.
"""
