"""Runs a service with a bug in it: ``python -m tests.faults.planted BUG SERVICE``. The checker's proof that it can fail.

Each bug is put in from the outside, over what the service's modules really have: production code knows nothing of it.
"""

import asyncio
import contextlib
import inspect
import runpy
import sys
import time

from services.edge_gateway.ending import EndedBeforeError
from services.edge_gateway.gateway import Gateway
from services.edge_gateway.items import Heard
from services.edge_gateway.local_media import LocalMedia
from services.edge_gateway.membership import Membership
from services.room_registry.domain import room
from services.room_registry.domain.memory import Memory
from services.room_registry.election import Election
from services.room_registry.ledger import Ledger
from services.room_registry.replica import CorruptStreamError, Replica
from services.room_registry.writer import Writer
from shared.bus.follower import Follower
from shared.contracts.events import read_events
from shared.contracts.facts import Joined, Left
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import ResumeReply
from shared.contracts.subjects import STREAM
from tests.support.facts import facts_in

LATER = 0.5
"""Seconds that a bug is early or late by."""


def _over(owner, name):
    """Put a function in the place of one that must be there, which it is given as its first argument."""
    original = getattr(owner, name)

    def put(function):
        async def awaited(*arguments, **named):
            return await function(original, *arguments, **named)

        def called(*arguments, **named):
            return function(original, *arguments, **named)

        # Where a callback is given to a library, it looks whether it is a coroutine function.
        setattr(owner, name, awaited if inspect.iscoroutinefunction(function) else called)

    return put


def fence_off():
    """Both registries believe that they own everything, and nothing stops either from writing."""

    @_over(Election, "mine")
    def mine(_original, _self, partitions, _now):
        return set(range(partitions))

    @_over(Ledger, "_publish")
    async def publish(original, self, partition, message, _fence):
        return await original(self, partition, message, {})

    @_over(Writer, "yielded")
    def yielded(_original, _self):
        return False

    @_over(Writer, "take_over")
    async def take_over(original, self):
        await original(self)
        self.serving = True

    @_over(Replica, "apply")
    def apply(original, self, stored):
        # What another writes is not for an owner who believes that there is no other.
        with contextlib.suppress(CorruptStreamError):
            original(self, stored)


def anchor_not_replaced():
    """A newer anchor comes in beside the older one."""

    @_over(room.Room, "_replaced")
    def replaced(_original, _self, _user, _role):
        return ()


def ended_twice():
    """Who leaves is counted as leaving twice."""

    @_over(room.Room, "leave")
    def leave(original, self, session, reason):
        facts = original(self, session, reason)
        return (*facts, *(fact.model_copy(update={"seq": fact.seq + 1}) for fact in facts))

    @_over(room, "_without")
    def without(original, before, fact):
        present = [end for end in fact.sessions if end.session in before.sessions]
        return original(before, fact.model_copy(update={"sessions": present}))


def notice_before_commit():
    """Gateways are told of what is about to be committed."""

    @_over(Ledger, "_publish")
    async def publish(original, self, partition, message, fence):
        # Epochs come many at once: which of them gets which sequence cannot be said before.
        if fence:
            seq = (await self._js.stream_info(STREAM)).state.last_seq
            subject, headers = message.subject.replace(".evt.", ".pub."), {"Nats-Sequence": str(seq + 1)}
            await self._js._nc.publish(subject, message.data, headers=headers)
            await asyncio.sleep(LATER)
        return await original(self, partition, message, fence)


def answers_forgotten():
    """A command that comes again is carried out again."""

    @_over(Memory, "get")
    def get(original, self, key):
        # Answers are kept by app and id; ended sessions, by their name.
        return None if isinstance(key, tuple) else original(self, key)


def resume_unchecked():
    """A gateway goes on with a session that the registry says has ended."""

    @_over(Membership, "enter")
    async def enter(original, self, arrival):
        answer = await original(self, arrival)
        if isinstance(answer, EndedBeforeError):
            return ResumeReply(incarnation="1.1", seq=0, roster=(), attachment=2, user=answer.user or "somebody", role="anchor")
        return answer


def removed_by_user():
    """A gateway that comes to a removal late ends whoever has the user's name by then."""
    users, places = {}, {}

    @_over(Gateway, "apply")
    def apply(original, self, stored):
        original(self, stored)
        for key, _, message in read_events(stored.subject, stored.data):
            for fact in message.facts:
                if isinstance(fact, Joined | Left):
                    places[key] = fact.incarnation, fact.seq
                if isinstance(fact, Joined):
                    users[fact.session] = fact.user
                elif isinstance(fact, Left) and fact.reason is LeaveReason.REMOVED:
                    asyncio.get_running_loop().call_later(LATER, end_all, self, key, fact, message)

    def end_all(gateway, key, removal, message):
        incarnation, seq = places[key]
        for member in gateway._rooms.in_room(key):
            for end in removal.sessions:
                if users[member.id] == end.user:
                    sessions = (end.model_copy(update={"session": member.id}),)
                    fact = removal.model_copy(update={"incarnation": incarnation, "seq": seq + 1, "sessions": sessions})
                    member.post(Heard(fact, message.command, message.correlation, 0.0, {}))


def receipt_before_the_media_stops():
    """A receipt says that the media has stopped, which it does a moment later."""

    @_over(LocalMedia, "stop")
    async def stop(original, self, stopping=None, notice=None):
        self.later = asyncio.get_running_loop().call_later(LATER, lambda: asyncio.ensure_future(original(self, stopping, notice)))
        return time.time(), False


def gap_not_healed():
    """A message is lost on its way, and the jump that shows it is passed over."""
    lost = []

    @_over(Follower, "_enqueue")
    async def enqueue(original, self, message):
        if not lost and any(isinstance(fact, Joined) and fact.user == "lost" for fact in facts_in(message)):
            lost.append(message)
            return
        await original(self, message)

    @_over(Follower, "_heal")
    async def heal(_original, self, until):
        self.applied = until

    @_over(Follower, "catch_up")
    async def catch_up(original, self):
        # The round that would find the loss comes after the jump.
        if not lost or self.applied > int(lost[0].headers["Nats-Sequence"]):
            await original(self)


def last_event_lost():
    """A message is lost on its way, and nobody asks how far the stream has come."""
    _lose_removals(and_all_after=False)


def lease_renewed_while_deaf():
    """From some moment on a gateway hears nothing, and goes on to say that it does."""
    _lose_removals(and_all_after=True)


def _lose_removals(*, and_all_after):
    deaf = []

    @_over(Follower, "_enqueue")
    async def enqueue(original, self, message):
        if message.subject.endswith(".remove") or (deaf and and_all_after):
            deaf.append(message)
        else:
            await original(self, message)

    @_over(Follower, "catch_up")
    async def catch_up(original, self):
        await (self._stream.last_seq() if deaf else original(self))


BUGS = {
    bug.__name__: (service, bug)
    for service, bugs in {
        "room_registry": (fence_off, anchor_not_replaced, ended_twice, notice_before_commit, answers_forgotten),
        "edge_gateway": (
            resume_unchecked,
            removed_by_user,
            receipt_before_the_media_stops,
            gap_not_healed,
            last_event_lost,
            lease_renewed_while_deaf,
        ),
    }.items()
    for bug in bugs
}
"""By name: the service that has it, and what puts it there."""


def main():
    """Put the bug in, and become the service."""
    name, service = sys.argv[1:]
    BUGS[name][1]()
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
