"""A server that sends one message to all its WebSockets in a bare loop, served exactly as a gateway serves its own.

Run by the measurements. Says on standard output which port it listens on. ``POST /`` sends its body to everybody.
"""

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from shared.http_server import HttpProtocol, WebSocketProtocol
from shared.service import MAX_MESSAGE_BYTES, PING_SECONDS, listen

_sockets: set[WebSocket] = set()


async def serve(websocket: WebSocket) -> None:
    """Keep a socket until it closes."""
    await websocket.accept()
    _sockets.add(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        _sockets.discard(websocket)


async def send(request: Request) -> Response:
    """Send the body to every socket."""
    text = (await request.body()).decode()
    for websocket in _sockets:
        await websocket.send_text(text)
    return JSONResponse({"Response": {"Sent": len(_sockets)}})


async def main() -> None:
    """Serve until the process is ended."""
    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[WebSocketRoute("/v1/signal", serve), Route("/", send, methods=["POST"])]),
            log_config=None,
            access_log=False,
            server_header=False,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            ws_per_message_deflate=False,
        )
    )
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(main())
