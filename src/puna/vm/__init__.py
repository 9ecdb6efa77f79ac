"""Floor 2: a module, a memory and a message become a new memory and a result, the same on every machine."""
