"""The package with which any process asks the herd: Lua only."""
