"""The package registry: a standing Lua process, what genesis puts into it, and its Python client."""
