"""Leases: who is there to do the work."""

from typing import Annotated

from pydantic import StringConstraints

from shared.contracts.messages import Message


class Lease(Message):
    """A registry replica says that it is there, or that it is about to go."""

    replica: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    leaving: bool = False
