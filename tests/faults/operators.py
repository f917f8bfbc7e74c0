"""Those who make others leave: back ends over HTTP, operators over the bus; and what they were answered."""

import json
import secrets

import httpx
import nats.errors

from shared.clients.commands import CommandClient, deadline
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import RefusedError, UnavailableError
from tests.admin_api.support import sign
from tests.faults.installation import API_SECRET, APP, SECRET_ID

_HTTP_SECONDS = 20
_BUS_SECONDS = 10


class BackEnd:
    """Calls the server API, any replica of it, with requests that it signs once and may send again.

    Args:
        journal: written to.
        admins: gives the addresses to choose from.
        rng: decides.
    """

    def __init__(self, journal, admins, rng):
        self._journal = journal
        self._admins = admins
        self._rng = rng
        # A connection that is kept may be closed just when the next request goes out over it.
        self._http = httpx.AsyncClient(timeout=_HTTP_SECONDS, limits=httpx.Limits(max_keepalive_connections=0))

    async def remove(self, room, users, times=1):
        """Call RemoveUser so many times, with one and the same request."""
        return await self._call("RemoveUser", room, {"UserIds": list(users)}, users, times)

    async def dismiss(self, room, times=1):
        """Call DismissRoom."""
        return await self._call("DismissRoom", room, {}, (), times)

    async def close(self):
        """End."""
        await self._http.aclose()

    async def _call(self, action, room, fields, users, times):
        kind = "remove" if action == "RemoveUser" else "dismiss"
        if isinstance(room, str):
            action += "ByStrRoomId"
        # The same body signed twice within a second is the same command: white space tells them apart.
        blank = "".join(self._rng.choices(" \t\n", k=24))
        body = (json.dumps({"SdkAppId": APP, "RoomId": room, **fields}) + blank).encode()
        headers = sign("POST", "", body, host="api", action=action, secret_id=SECRET_ID, secret_key=API_SECRET)
        answer = None
        for _ in range(times):
            answer = await self._post(kind, room, users, body, headers)
        return answer

    async def _post(self, kind, room, users, body, headers):
        common = {"action": kind, "via": "http", "room": room, "users": list(users)}
        try:
            answer = (await self._http.post(self._rng.choice(self._admins()), content=body, headers=headers)).json()["Response"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self._journal.write("operation", command="", outcome="unreachable", reason=repr(error)[:200], **common)
            return None
        if "Error" in answer:
            self._journal.write("operation", command="", outcome=answer["Error"]["Code"], **common)
            return answer
        removed = answer.get("Removed", [])
        self._journal.write(
            "operation",
            command=answer["CommandId"],
            outcome="done",
            removed=[each["SessionId"] for each in removed] if kind == "remove" else [],
            not_found=answer.get("NotFound", []),
            confirmed=[each["SessionId"] for each in removed if each["State"] == "confirmed"],
            states=[each["State"] for each in removed],
            **common,
        )
        return answer


class Operator:
    """Sends commands over the bus, through the door."""

    def __init__(self, journal, connection):
        self._journal = journal
        self._client = CommandClient(connection)

    async def remove(self, room, users, command=None, *, other=False):
        """Remove users; returns the command's id. ``other`` says that the id was used for another content before."""
        command = command or secrets.token_hex(16)
        await self._send(Remove(id=command, app=APP, room=room, users=tuple(users), expires_at=deadline(_BUS_SECONDS)), other)
        return command

    async def dismiss(self, room):
        """Dismiss a room."""
        await self._send(Dismiss(id=secrets.token_hex(16), app=APP, room=room, expires_at=deadline(_BUS_SECONDS)))

    async def _send(self, command, other=False):  # noqa: FBT002 -- passed on
        fields = {"command": command.id, "action": str(command.verb), "via": "bus", "room": command.room, "other": other}
        try:
            reply = await self._client.send(command)
        except RefusedError as error:
            self._journal.write("operation", outcome=str(error.code), **fields)
        except (UnavailableError, nats.errors.Error, TimeoutError) as error:
            self._journal.write("operation", outcome="unavailable", reason=str(error), **fields)
        else:
            removed = [each.session for each in getattr(reply, "removed", ())]
            not_found = list(getattr(reply, "not_found", ()))
            self._journal.write("operation", outcome="done", removed=removed, not_found=not_found, **fields)
