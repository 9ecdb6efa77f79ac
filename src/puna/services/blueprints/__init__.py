"""Blueprints: Lua that `.load-blueprint NAME` brings into a process, and where they are found."""
