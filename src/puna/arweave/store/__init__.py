"""Where data items rest: the port that every floor above knows, and the stores behind it."""
