"""The base of every message on the bus."""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """An immutable message that refuses what it does not know. What is wrong with one is said without its content: errors reach logs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    def to_bytes(self) -> bytes:
        """Encode as compact JSON in UTF-8, without fields that are not set."""
        return self.model_dump_json(exclude_none=True).encode()
