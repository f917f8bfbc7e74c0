"""`stagedoor check`: whether an installation works, by a join at its gateway and a kick by its server API."""

import argparse
import asyncio
import contextlib
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from stagedoor_client import RefusedError, SignallingClient

from cli.arguments import Commands, add_app
from shared.auth import tc3
from shared.auth.apps import App
from shared.auth.settings import CredentialSettings
from shared.auth.usersig import sign
from shared.contracts.errors import ConfigurationError, StagedoorError

_SECONDS = 30.0
_SIG_SECONDS = 600
_RETRY_SECONDS = 1.0
_VERSION = "2019-07-22"


class NotWorkingError(StagedoorError):
    """The installation does not do what it should; the text says where it stopped."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="see whether an installation works",
        description="Join a room of its own at a gateway, remove that user by the server API, and wait to be told.",
    )
    add_app(parser)
    parser.add_argument("--gateway", required=True, metavar="URL", help="the gateway, as browsers reach it")
    parser.add_argument("--admin", required=True, metavar="URL", help="admin_api, as back ends reach it")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Join, remove, and wait to be told."""
    app = _app(arguments.app)
    user = room = f"check-{secrets.token_hex(8)}"
    step = "joining"
    try:
        async with asyncio.timeout(_SECONDS), contextlib.AsyncExitStack() as stack:
            client = await _join(stack, arguments.gateway, app, user, room)
            print(f"joined   {arguments.gateway}  session {client.session}", flush=True)
            step = "removing"
            # Its answer waits for the receipt, and that for the acknowledgement.
            _, reply = await asyncio.gather(_hear(client), asyncio.to_thread(_remove, arguments.admin, app, user, room))
    except TimeoutError as error:
        raise NotWorkingError(f"{step}: nothing after {_SECONDS:.0f} s") from error
    except OSError as error:
        raise NotWorkingError(f"{step}: {error}") from error
    (session,) = reply["Removed"]
    print(f"removed  {arguments.admin}  {session['State']}")
    return 0


def _app(number: int | None) -> App:
    """Return the app to try, the first one that can be where none is named."""
    for app in CredentialSettings.load().apps().callers():
        if number in (None, app.sdk_app_id):
            return app
    raise ConfigurationError(f"{'no app' if number is None else f'app {number}'} is configured with a credential of the server API")


async def _hear(client: SignallingClient) -> None:
    ended = await client.expect("ended")
    await client.acknowledge()
    print(f"told     {ended['reason']}: {ended['client_banned']['message']}", flush=True)


async def _join(stack: contextlib.AsyncExitStack, gateway: str, app: App, user: str, room: str) -> SignallingClient:
    """Join, again and again where the gateway says that it cannot at the moment."""
    while True:
        client = await stack.enter_async_context(SignallingClient.open(gateway))
        try:
            await client.join(app=app.sdk_app_id, user=user, sig=sign(app, user, int(time.time()), _SIG_SECONDS), room=room)
        except RefusedError as error:
            if not error.retry:
                raise NotWorkingError(f"joining: {error}") from error
            print(f"refused    {error}", flush=True)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return client


def _remove(admin: str, app: App, user: str, room: str) -> dict[str, Any]:
    body = json.dumps({"SdkAppId": app.sdk_app_id, "RoomId": room, "UserIds": [user]}).encode()
    headers = {"Content-Type": "application/json", "X-TC-Action": "RemoveUserByStrRoomId", "X-TC-Version": _VERSION}
    host = urllib.parse.urlsplit(admin).netloc
    secret_id, key = next(iter(app.credentials.items()))
    signed = tc3.sign(secret_id, key, host=host, headers=headers, body=body, now=int(time.time()))
    request = urllib.request.Request(admin.rstrip("/") + "/", data=body, headers=signed)  # noqa: S310 -- an operator's own address
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 -- the same
        reply: dict[str, Any] = json.loads(answer.read())["Response"]
    if "Error" in reply:
        raise NotWorkingError(f"removing: {reply['Error']['Code']}: {reply['Error']['Message']}")
    return reply
