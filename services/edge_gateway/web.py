"""What the gateway serves over HTTP beside health: the signalling socket, the SDK, and in demo mode the page."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from services.edge_gateway.demo import pages
from services.edge_gateway.settings import GatewaySettings
from services.edge_gateway.signalling import Signalling

_SDK_FILES = ("trtc.js", "trtc.esm.js")
_SDK_HEADERS = {
    # A page of any origin may load the SDK; it may load nothing else from here.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def routes(settings: GatewaySettings, signalling: Signalling) -> Sequence[BaseRoute]:
    """Build the routes.

    Raises:
        ConfigurationError: demo mode is asked for where it must not be.
    """
    return [
        WebSocketRoute("/v1/signal", signalling.serve),
        *(Route(f"/sdk/{name}", _sdk_file(settings, name)) for name in _SDK_FILES),
        *(pages.routes(settings) if settings.demo else ()),
    ]


def _sdk_file(settings: GatewaySettings, name: str) -> Callable[[Request], Awaitable[Response]]:
    path = settings.sdk_dir / name

    async def serve(_request: Request) -> Response:
        if not path.is_file():
            return PlainTextResponse(f"{name} is not built: make sdk", status_code=404)
        return FileResponse(path, media_type="text/javascript", headers=_SDK_HEADERS)

    return serve
