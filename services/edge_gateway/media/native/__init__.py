"""The native engine: the hot loop in C, where a compiler was there at install."""
