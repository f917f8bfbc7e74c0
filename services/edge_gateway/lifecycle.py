"""A session's life as a pure machine: states, events, and what is to be done. What the table does not list cannot happen.

                 ADMITTED              ENDED (by a committed fact), YIELD, CLOSING
      JOINING ────────────▶ JOINED ─────────────────────────────▶ ENDED
         │  REFUSED         ▲ │  │ SOCKET_LOST                     ▲ ▲
         ├──────────▶ ENDED │ │  └──────────▶ CUT_OFF ─────────────┘ │
         │ LEAVE            │ │ LEAVE            │ GRACE_OVER        │ ENDED, REFUSED ...
         └──────────▶ LEAVING ◀──────────────────┘                   │
                            │ └──────────────────────────────────────┤
      RESUMING ─────────────┘                                        │
         │  ADMITTED          JOINED, CUT_OFF or LEAVING             │ DETACHED, ENDED ...
         │  REFUSED, SUPERSEDED   └──────── MOVED ────▶ MOVED ───────┘
         └──────────▶ ENDED

Leaving, replacement, removal, dismissal, time-out and a lost gateway all come out at the same door: a committed fact that
ends the session, and from there one last step. A session that goes on elsewhere, or here over another socket, takes the
same last step, in silence.
"""

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a session is in its life on this gateway."""

    JOINING = auto()
    """The command is on its way; the session counts from its own fact on."""
    RESUMING = auto()
    """So it is, but for a session that there was before. What its browser does meanwhile waits for the answer."""
    JOINED = auto()
    CUT_OFF = auto()
    """The browser is gone without a word; the reconnect grace runs."""
    LEAVING = auto()
    """The leave is on its way; nothing is forwarded any more."""
    MOVED = auto()
    """The session lives on another gateway; nothing is forwarded here any more, and the detach is on its way."""
    ENDED = auto()


class Event(Enum):
    """What happens to a session."""

    ADMITTED = auto()
    """The join or resume was answered with yes."""
    REFUSED = auto()
    """It was answered with no."""
    SUPERSEDED = auto()
    """It was answered with yes, but a later one was, too."""
    LEAVE = auto()
    """The client asked to leave, or closed its socket as browsers do when a tab is closed."""
    SOCKET_LOST = auto()
    """The socket is gone without a close frame, or with the gateway."""
    GRACE_OVER = auto()
    MOVED = auto()
    """It was attached to another gateway."""
    DETACHED = auto()
    """The registry waits for nothing of this gateway any more, and all that came before has been heard."""
    YIELD = auto()
    """It was attached to this gateway anew: whoever asks has it now."""
    ENDED = auto()
    """A committed fact ended the session."""
    CLOSING = auto()
    """The gateway ends. The session does not: it may be resumed elsewhere."""


class Action(Enum):
    """What is to be done, in the order of the table."""

    STOP_MEDIA = auto()
    HAND_OVER = auto()
    SEND_LEAVE = auto()
    SEND_DETACH = auto()
    START_GRACE = auto()
    TELL_ENDED = auto()
    TELL_REFUSED = auto()
    DROP_SOCKET = auto()
    """There is a later one."""


S, E, A = State, Event, Action

TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, tuple[Action, ...]]]] = {
    (S.JOINING, E.ADMITTED): (S.JOINED, ()),
    (S.JOINING, E.REFUSED): (S.ENDED, (A.TELL_REFUSED,)),
    (S.JOINING, E.LEAVE): (S.LEAVING, (A.SEND_LEAVE,)),
    (S.JOINING, E.SOCKET_LOST): (S.LEAVING, (A.SEND_LEAVE,)),
    (S.JOINING, E.CLOSING): (S.ENDED, ()),
    (S.RESUMING, E.ADMITTED): (S.JOINED, ()),
    (S.RESUMING, E.REFUSED): (S.ENDED, (A.TELL_REFUSED,)),
    (S.RESUMING, E.SUPERSEDED): (S.ENDED, (A.DROP_SOCKET,)),
    (S.RESUMING, E.CLOSING): (S.ENDED, ()),
    (S.JOINED, E.LEAVE): (S.LEAVING, (A.STOP_MEDIA, A.SEND_LEAVE)),
    (S.JOINED, E.SOCKET_LOST): (S.CUT_OFF, (A.START_GRACE,)),
    (S.JOINED, E.MOVED): (S.MOVED, (A.STOP_MEDIA, A.DROP_SOCKET, A.SEND_DETACH)),
    (S.JOINED, E.YIELD): (S.ENDED, (A.HAND_OVER, A.DROP_SOCKET)),
    (S.JOINED, E.ENDED): (S.ENDED, (A.STOP_MEDIA, A.TELL_ENDED)),
    (S.JOINED, E.CLOSING): (S.ENDED, (A.STOP_MEDIA,)),
    (S.CUT_OFF, E.GRACE_OVER): (S.LEAVING, (A.STOP_MEDIA, A.SEND_LEAVE)),
    (S.CUT_OFF, E.LEAVE): (S.LEAVING, (A.STOP_MEDIA, A.SEND_LEAVE)),
    (S.CUT_OFF, E.MOVED): (S.MOVED, (A.STOP_MEDIA, A.SEND_DETACH)),
    (S.CUT_OFF, E.YIELD): (S.ENDED, (A.HAND_OVER,)),
    (S.CUT_OFF, E.ENDED): (S.ENDED, (A.STOP_MEDIA,)),
    (S.CUT_OFF, E.CLOSING): (S.ENDED, (A.STOP_MEDIA,)),
    (S.LEAVING, E.ADMITTED): (S.LEAVING, ()),
    (S.LEAVING, E.REFUSED): (S.ENDED, (A.TELL_ENDED,)),
    (S.LEAVING, E.LEAVE): (S.LEAVING, ()),
    (S.LEAVING, E.SOCKET_LOST): (S.LEAVING, ()),
    (S.LEAVING, E.GRACE_OVER): (S.LEAVING, ()),
    (S.LEAVING, E.MOVED): (S.MOVED, (A.DROP_SOCKET, A.SEND_DETACH)),
    (S.LEAVING, E.YIELD): (S.ENDED, (A.DROP_SOCKET,)),
    (S.LEAVING, E.ENDED): (S.ENDED, (A.TELL_ENDED,)),
    (S.LEAVING, E.CLOSING): (S.ENDED, ()),
    (S.MOVED, E.LEAVE): (S.MOVED, ()),
    (S.MOVED, E.SOCKET_LOST): (S.MOVED, ()),
    (S.MOVED, E.GRACE_OVER): (S.MOVED, ()),
    (S.MOVED, E.MOVED): (S.MOVED, ()),
    (S.MOVED, E.DETACHED): (S.ENDED, ()),
    (S.MOVED, E.YIELD): (S.ENDED, ()),
    (S.MOVED, E.ENDED): (S.ENDED, ()),
    (S.MOVED, E.CLOSING): (S.ENDED, ()),
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
