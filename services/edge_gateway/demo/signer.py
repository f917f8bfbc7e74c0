"""Signing a UserSig for whoever asks, on a developer's machine: ``POST /dev/usersig``.

What keeps other pages and other machines out: the listener is on loopback, the Host is one of its own names (against DNS
rebinding), the Origin is the page's own, and the content type forces a preflight that nobody answers.
"""

import json
import time

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.auth.apps import App
from shared.auth.usersig import sign
from shared.contracts.ids import UserId
from shared.http_body import BodyTooLargeError, read_body
from shared.rates import RateLimits

VALID_SECONDS = 600
MAX_BODY_BYTES = 4096
BODY_SECONDS = 10.0
_REQUESTS_PER_SECOND = 5
_BURST = 50


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    user: UserId


class Signer:
    """Signs for one app, for 10 minutes.

    Args:
        app: whose key signs.
        names: this server's own; with its port they are the values of Host that are answered.
    """

    def __init__(self, app: App, names: frozenset[str]) -> None:
        self._app = app
        self._names = names
        self._limits = RateLimits(_REQUESTS_PER_SECOND, _BURST, keys=1)

    async def serve(self, request: Request) -> Response:
        """Answer ``{"user"}`` with ``{"app", "user", "sig"}``."""
        host = request.headers.get("host", "")
        port = request.scope["server"][1]
        if host not in {f"{name}:{port}" for name in self._names}:
            return _no(421, "this Host is not served here")
        if request.headers.get("origin") != f"http://{host}":
            return _no(403, "the Origin is not this server's own")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _no(415, "the content type is application/json")
        if not self._limits.take(None, time.monotonic()):
            return _no(429, "too many requests, try again in a second")
        try:
            wish = _Wish.model_validate_json(await read_body(request, MAX_BODY_BYTES, BODY_SECONDS))
        except BodyTooLargeError:
            return _no(413, f"the body has at most {MAX_BODY_BYTES} bytes")
        except TimeoutError:
            return _no(408, f"the body has {BODY_SECONDS:.0f} seconds to come")
        except ValidationError as error:
            return _no(400, str(error.errors(include_input=False, include_url=False)[0]["msg"]))
        sig = sign(self._app, wish.user, int(time.time()), VALID_SECONDS)
        return JSONResponse({"app": self._app.sdk_app_id, "user": wish.user, "sig": sig}, headers={"Cache-Control": "no-store"})


def _no(status: int, message: str) -> Response:
    return Response(json.dumps({"error": message}), status_code=status, media_type="application/json")
