"""A partition with its stream, and short ways to speak to it."""

import hashlib

from services.room_registry.domain.decisions import begin_epoch, decide, lose
from services.room_registry.domain.partition import Limits, Partition
from shared.contracts.commands import Detach, Dismiss, Join, Leave, Remove, Resume, Role, SwitchRole
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason

APP = 1400000001
EDGE = "edge_" + "0" * 16
EDGE_AGAIN = "edge_" + "1" * 16
OTHER = "other_" + "2" * 16


def session(number):
    return f"{number:032x}"


def token(number):
    """The digest of a session's token."""
    return hashlib.sha256(session(number).encode()).hexdigest()


def replay(stream, limits=None):
    """Fold a stream from its beginning."""
    partition = Partition(limits or Limits())
    for seq, entry in enumerate(stream, start=1):
        partition.fold(seq, [entry])
    return partition


class World:
    """One partition, owned from the start. Sessions are numbers; each has its own token."""

    def __init__(self, **limits):
        self.partition = Partition(Limits(**limits))
        self.stream = []
        self.now = 1_000
        self._commands = 0
        self.commit([begin_epoch(self.partition, "owner", "epoch", self.now)])

    def id(self):
        self._commands += 1
        return f"c{self._commands}"

    def commit(self, entries):
        self.facts = [fact for entry in entries for fact in entry.message.facts]
        for entry in entries:
            self.stream.append(entry)
            self.partition.fold(len(self.stream), [entry])

    def do(self, command):
        decision = decide(self.partition, command, self.now)
        self.commit(decision.events)
        return decision.reply

    def common(self, room, id=None):
        return {"id": id or self.id(), "app": APP, "room": room}

    def join(self, number, user="ann", role=Role.ANCHOR, room=1, gateway=EDGE, **fields):
        names = {"session": session(number), "user": user, "role": role, "gateway": gateway, "token": token(number)}
        return self.do(Join(**self.common(room) | names | fields))

    def resume(self, number, gateway=OTHER, room=1, id=None, shown=None):
        names = {"session": session(number), "token": shown or token(number), "gateway": gateway}
        return self.do(Resume(**self.common(room, id), **names))

    def leave(self, number, reason=LeaveReason.LEFT, room=1, attachment=1, id=None):
        return self.do(Leave(**self.common(room, id), session=session(number), reason=reason, attachment=attachment))

    def switch_role(self, number, role, room=1, attachment=1, id=None):
        return self.do(SwitchRole(**self.common(room, id), session=session(number), role=role, attachment=attachment))

    def detach(self, number, gateway=EDGE, room=1, attachment=1):
        return self.do(Detach(**self.common(room), session=session(number), gateway=gateway, attachment=attachment))

    def remove(self, *users, room=1, id=None):
        return self.do(Remove(**self.common(room, id), users=users))

    def dismiss(self, room=1, id=None):
        return self.do(Dismiss(**self.common(room, id)))

    def lose(self, gateway=EDGE, id=None, *, silent=True):
        entries = lose(self.partition, gateway, id or self.id(), self.now, silent=silent)
        self.commit(entries)
        return entries

    def room(self, room=1):
        return self.partition.rooms[RoomKey(APP, room)]

    def session(self, number, room=1):
        return self.room(room).sessions[session(number)]

    def members(self, room=1):
        found = self.partition.rooms.get(RoomKey(APP, room))
        return set() if found is None else {int(s, 16) for s in found.sessions}
