"""What the bus does not do, in the words of this project."""

import contextlib
from collections.abc import Iterator

import nats.errors

from shared.contracts.errors import UnavailableError


@contextlib.contextmanager
def or_unavailable(problem: str) -> Iterator[None]:
    """Turn what NATS or JetStream raise in the block into an error that says what was tried.

    Args:
        problem: what could not be done, for the log.

    Raises:
        UnavailableError: it could not be done now; whether it was done all the same may be open.
    """
    try:
        yield
    except (nats.errors.Error, TimeoutError) as error:
        raise UnavailableError(f"{problem}: {str(error) or type(error).__name__}") from error
