"""The demo page's files, under a policy that runs nothing but them."""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from services.edge_gateway.demo.signer import Signer
from services.edge_gateway.settings import GatewaySettings
from shared.contracts.errors import ConfigurationError

_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def routes(settings: GatewaySettings) -> Sequence[BaseRoute]:
    """Build the page's routes and the signer's.

    Raises:
        ConfigurationError: the gateway listens where others can reach it, or its apps come from a file.
    """
    if not _is_loopback(settings.host):
        raise ConfigurationError(f"STAGEDOOR_DEMO signs for whoever asks: it is refused on {settings.host}, only loopback may have it")
    app = None if settings.sdk_app_id is None else settings.apps().app(settings.sdk_app_id)
    if app is None:
        raise ConfigurationError(
            "STAGEDOOR_DEMO signs with STAGEDOOR_SECRET_KEY for STAGEDOOR_SDK_APP_ID, and not with STAGEDOOR_APPS_FILE"
        )
    signer = Signer(app, frozenset({"localhost", f"[{settings.host}]" if ":" in settings.host else settings.host}))
    files = [Route(f"/{path.name}", _file(path)) for path in sorted(_STATIC.iterdir()) if path.suffix in _TYPES]
    return [Route("/", _file(_STATIC / "index.html")), Route("/dev/usersig", signer.serve, methods=["POST"]), *files]


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def serve(_request: Request) -> Response:
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)

    return serve


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
