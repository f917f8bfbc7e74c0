"""NATS as this project uses it: one way to connect, one stream of events and one way to read it."""
