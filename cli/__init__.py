"""The `stagedoor` command."""
