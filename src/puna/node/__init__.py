"""Floor 6: puts stores, units, engine and programs together into a running network."""
