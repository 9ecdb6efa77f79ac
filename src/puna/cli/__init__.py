"""Floor 7: the `puna` command. Each command is one file; what is heavy is imported when it is needed."""
