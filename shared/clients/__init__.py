"""Clients of the registry, for services and the command line."""
