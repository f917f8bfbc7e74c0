"""The rules, pure: no I/O, no clock, no randomness. Commands go in, facts come out, folding facts gives the state."""
