"""What a browser sees of a node: the explorer, the game, and the files both are made of."""
