"""A session's life as a pure machine: states, events, and what is to be done. What the table does not list cannot happen.

                 ADMITTED              ENDED (by a committed fact)
      JOINING ────────────▶ JOINED ─────────────────────────────▶ ENDED
         │  REFUSED           │  │ SOCKET_LOST                     ▲ ▲
         ├──────────▶ ENDED   │  └──────────▶ CUT_OFF ─────────────┘ │
         │ LEAVE              │ LEAVE            │ GRACE_OVER        │ ENDED, REFUSED
         └──────────▶ LEAVING ◀──────────────────┘                   │
                         └───────────────────────────────────────────┘

Leaving, replacement, removal, dismissal, time-out and a lost gateway all come out at the same door: a committed fact that
ends the session, and from there one last step.
"""

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a session is in its life."""

    JOINING = auto()
    """The command is on its way; the session counts from its own fact on."""
    JOINED = auto()
    CUT_OFF = auto()
    """The browser is gone without a word; the reconnect grace runs."""
    LEAVING = auto()
    """The leave is on its way; nothing is forwarded any more."""
    ENDED = auto()


class Event(Enum):
    """What happens to a session."""

    ADMITTED = auto()
    """The join was answered with yes."""
    REFUSED = auto()
    """The join was answered with no."""
    LEAVE = auto()
    """The client asked to leave, or closed its socket as browsers do when a tab is closed."""
    SOCKET_LOST = auto()
    """The socket is gone without a close frame."""
    GRACE_OVER = auto()
    ENDED = auto()
    """A committed fact ended the session."""


class Action(Enum):
    """What is to be done, in the order of the table."""

    STOP_MEDIA = auto()
    SEND_LEAVE = auto()
    START_GRACE = auto()
    TELL_ENDED = auto()


S, E, A = State, Event, Action

TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, tuple[Action, ...]]]] = {
    (S.JOINING, E.ADMITTED): (S.JOINED, ()),
    (S.JOINING, E.REFUSED): (S.ENDED, ()),
    (S.JOINING, E.LEAVE): (S.LEAVING, (A.SEND_LEAVE,)),
    (S.JOINING, E.SOCKET_LOST): (S.LEAVING, (A.SEND_LEAVE,)),
    (S.JOINED, E.LEAVE): (S.LEAVING, (A.STOP_MEDIA, A.SEND_LEAVE)),
    (S.JOINED, E.SOCKET_LOST): (S.CUT_OFF, (A.START_GRACE,)),
    (S.JOINED, E.ENDED): (S.ENDED, (A.STOP_MEDIA, A.TELL_ENDED)),
    (S.CUT_OFF, E.GRACE_OVER): (S.LEAVING, (A.STOP_MEDIA, A.SEND_LEAVE)),
    (S.CUT_OFF, E.LEAVE): (S.LEAVING, (A.STOP_MEDIA, A.SEND_LEAVE)),
    (S.CUT_OFF, E.ENDED): (S.ENDED, (A.STOP_MEDIA,)),
    (S.LEAVING, E.ADMITTED): (S.LEAVING, ()),
    (S.LEAVING, E.REFUSED): (S.ENDED, (A.TELL_ENDED,)),
    (S.LEAVING, E.LEAVE): (S.LEAVING, ()),
    (S.LEAVING, E.SOCKET_LOST): (S.LEAVING, ()),
    (S.LEAVING, E.GRACE_OVER): (S.LEAVING, ()),
    (S.LEAVING, E.ENDED): (S.ENDED, (A.TELL_ENDED,)),
    (S.ENDED, E.LEAVE): (S.ENDED, ()),
    (S.ENDED, E.SOCKET_LOST): (S.ENDED, ()),
}


class ImpossibleMoveError(Exception):
    """An event that the session's state has no answer to: a bug in the caller."""


def move(state: State, event: Event) -> tuple[State, tuple[Action, ...]]:
    """Return the next state and what is to be done.

    Raises:
        ImpossibleMoveError: the table has no such move.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleMoveError(f"{event.name} cannot happen to a session that is {state.name}") from None
