"""What a message of the stream, or of its republish, says."""

from shared.contracts.events import read_events


def facts_in(message):
    """Return the facts of a message, be it of one command or of a group of them."""
    return [fact for event in read_events(message.subject, message.data) for fact in event.message.facts]
