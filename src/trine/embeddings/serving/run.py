"""The server as a process: where it may listen, and its start and end."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from trine.core.errors import UsageError
from trine.embeddings.serving.app import Served, create_app
from trine.embeddings.serving.schemas import Limits

__all__ = ["KEY", "check_address", "run_server"]

KEY = "TRINE_API_KEY"

_LOG = logging.getLogger(__name__)


def check_address(host: str) -> str:
    """The key that clients must send, from `$TRINE_API_KEY`; empty if none is set.

    Args:
      host: where the server is to listen.

    Raises:
      UsageError: without a key, unless only this machine can reach the server.
    """
    key = os.environ.get(KEY, "").strip()
    if not key and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines and no key is set",
            accepted="127.0.0.1, ::1 or localhost without a key",
            hint=f"set {KEY}, which every client must then send",
        )
    return key


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may mean any machine


def run_server(
    encoder: Served,
    name: str,
    *,
    host: str,
    port: int,
    key: str = "",
    limits: Limits | None = None,
    batch_texts: int = 256,
    say: Callable[[str], None] = lambda message: None,
) -> None:
    """Serves until Ctrl-C or SIGTERM; requests that have begun are answered first.

    Args:
      encoder: see `trine.embeddings.serving.app.Served`.
      name: of the model in answers.
      host: to listen on.
      port: to listen on; 0: a free one, which is said.
      key: that clients must send; empty: none.
      limits: of requests.
      batch_texts: see `create_app`.
      say: told the address when it listens, and the end.

    Raises:
      UsageError: if the address cannot be listened on.
    """
    import uvicorn

    app = create_app(encoder, name, key=key, limits=limits, batch_texts=batch_texts)
    listening = _listen(host, port)
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]

    class Server(uvicorn.Server):
        """Says where it listens once it does."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                guard = "a key is asked for" if key else "no key is asked for"
                say(f"serving {name} at http://{shown}:{address[1]}/v1 ({guard}); Ctrl-C ends it")

    # h11 refuses a head that does not end; httptools, which uvicorn would prefer, keeps all of it.
    config: Any = uvicorn.Config(
        app, http="h11", log_level="warning", access_log=False, lifespan="on",
        timeout_graceful_shutdown=30,
    )  # fmt: skip
    with listening:
        try:
            Server(config).run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn has shut down in order and raises it again
            pass
    say("stopped")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror or error}") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        made.close()
        raise UsageError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
            hint="choose another port; --port 0 finds a free one",
        ) from error
    return made
