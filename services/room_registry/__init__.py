"""The registry decides who is in which room; the only writer of rooms."""
