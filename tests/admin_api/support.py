"""What the suites of the server API share: its settings, a caller of the vendor's scheme, and a registry that the test plays."""

import asyncio
import hashlib
import json
import time

import httpx
from tencentcloud.common.sign import Sign

from services.admin_api.settings import AdminSettings
from shared.contracts.commands import ROOM_COMMANDS
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.replies import AnswerQuery, AnswerReply, DismissReply, RemovedSession, RemoveReply
from shared.contracts.subjects import ANSWERS, parse_subject, receipt_subject

APP = 1400000001
SECRET_ID = "AKIDTEST"
SECRET_KEY = "api-secret-key"
GATEWAY, FORMER, FOREIGN = "gw_0123456789abcdef", "old_0123456789abcdef", "other_0123456789abcdef"
SESSION = "0123456789abcdef" * 2


def settings(nats_url="nats://127.0.0.1:1", **more):
    """Return settings of a service on a port that the kernel chooses."""
    return AdminSettings(
        **{
            "nats_url": nats_url,
            "port": 0,
            "sdk_app_id": APP,
            "secret_key": "usersig-secret-key",
            "secret_id": SECRET_ID,
            "api_secret_key": SECRET_KEY,
            "stop_seconds": 5.0,
            "admin_receipt_seconds": 0.0,
        }
        | more
    )


def sign(method, query, body, *, host, action, version="2019-07-22", secret_id=SECRET_ID, secret_key=SECRET_KEY, now=None):
    """Return the headers of a signed request. The signing itself is the vendor's code."""
    timestamp = int(time.time() if now is None else now)
    date = time.strftime("%Y-%m-%d", time.gmtime(timestamp))
    kind = "application/json" if method == "POST" else "application/x-www-form-urlencoded"
    canonical = f"{method}\n/\n{query}\ncontent-type:{kind}\nhost:{host}\n\ncontent-type;host\n{hashlib.sha256(body).hexdigest()}"
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{date}/trtc/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = Sign.sign_tc3(secret_key, date, "trtc", text)
    headers = {
        "Content-Type": kind,
        "Host": host,
        "X-TC-Timestamp": str(timestamp),
        "X-TC-Action": action,
        "X-TC-Version": version,
        "Authorization": f"TC3-HMAC-SHA256 Credential={secret_id}/{date}/trtc/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signature}",
    }
    return {name: value for name, value in headers.items() if value is not None}


class Caller:
    """A back end: sends signed requests, one parameter of which may be wrong, and reads the answers."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.host = client.base_url.netloc.decode()

    async def post(self, action, parameters, *, headers=None, **signing):
        """Send parameters as JSON, or the bytes given."""
        body = parameters if isinstance(parameters, bytes) else json.dumps(parameters).encode()
        signed = sign("POST", "", body, host=self.host, action=action, **signing)
        return self.read(await self._client.post("/", content=body, headers=signed | (headers or {})))

    async def get(self, action, query, **signing):
        """Send parameters as a query."""
        signed = sign("GET", query, b"", host=self.host, action=action, **signing)
        return self.read(await self._client.get(f"/?{query}", headers=signed))

    @staticmethod
    def read(answer):
        """Check what every answer has, and return its content."""
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert "access-control-allow-origin" not in answer.headers
        (response,) = answer.json().values()
        assert response["RequestId"]
        return response


def code_of(response):
    """Return an answer's error code, or None."""
    return response.get("Error", {}).get("Code")


class PlayedRegistry:
    """A registry that the test plays on the bus: notes each command, and answers what the test put in."""

    def __init__(self, bus):
        self._bus = bus
        self.commands = []
        self.subjects = []
        self.answers = {}
        """By verb: a reply, or a function of the command that returns one, or None for silence."""
        self.remembered = {}
        """By command: what was answered; what a test takes out is forgotten."""
        self.answered = asyncio.Queue()
        """Commands, as they were answered."""
        self.lost = set()
        self.silent = False
        """To those who ask what was answered."""

    async def start(self):
        """Listen to the commands of all partitions."""
        await self._bus.subscribe("stagedoor.v1.cmd.>", cb=self._on_command)
        await self._bus.subscribe(ANSWERS.subscription(), cb=self._on_query)
        await self._bus.flush()

    async def _on_command(self, message):
        verb = parse_subject(message.subject).verb
        command = ROOM_COMMANDS[verb].model_validate_json(message.data)
        self.subjects.append(message.subject)
        self.commands.append(command)
        answer = self.answers.get(verb, default_answer)
        if callable(answer):
            answer = answer(command)
        if answer is not None:
            self.remembered[command.app, command.id] = answer
            await message.respond(answer.to_bytes())
            self.answered.put_nowait(command)

    async def _on_query(self, message):
        query = AnswerQuery.model_validate_json(message.data)
        if self.silent:
            return
        answer = self.remembered.get((query.app, query.command))
        named = {gateway for each in getattr(answer, "removed", ()) for gateway in (each.gateway, *each.former)}
        named |= set(getattr(answer, "attachments", ()))
        await message.respond(AnswerReply(answer=answer, lost=tuple(named & self.lost)).to_bytes())


def default_answer(command):
    """Everybody named ``u...`` is there with one session, others are not."""
    if command.verb == "dismiss":
        return DismissReply(incarnation="1.1", seq=9, sessions=3, attachments={GATEWAY: 3})
    return RemoveReply(
        removed=tuple(RemovedSession(user=user, session=SESSION, gateway=GATEWAY, seq=7) for user in command.users if user[0] == "u"),
        not_found=tuple(user for user in command.users if user[0] != "u"),
    )


class PlayedGateways:
    """Gateways that the test plays: they write receipts."""

    def __init__(self, bus):
        self._js = bus.jetstream()

    async def report(self, command, *, session=SESSION, user="u1", gateway=GATEWAY, stopped=None, told=None):
        """Store what a gateway says of one session."""
        each = SessionReceipt(session=session, user=user, media_stopped_at=stopped, told_at=told)
        await self.write(Receipt(app=APP, command=command, gateway=gateway, sessions=(each,)))

    async def write(self, receipt, *, subject=None):
        """Store a receipt, where it belongs or elsewhere."""
        await self._js.publish(subject or receipt_subject(receipt.app, receipt.command, receipt.gateway), receipt.to_bytes())
