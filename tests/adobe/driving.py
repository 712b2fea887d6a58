"""What the tests of the Adobe layer share: the two drivers, and a server that is not Adobe."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from airflow_provider_adobe_deletion.adobe.client import AdobeClient


class Driver:
    """Sends a call, or runs a flow, the one way or the other."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def send(self, client: AdobeClient, call: Any) -> Any:
        if self.kind == "sync":
            return client.send(call)
        return asyncio.run(self._closing(client, client.asend, call))

    def run(self, client: AdobeClient, flow: Any) -> Any:
        if self.kind == "sync":
            return client.run(flow)
        return asyncio.run(self._closing(client, client.arun, flow))

    async def _closing(self, client: AdobeClient, method: Callable[[Any], Any], argument: Any) -> Any:
        async with client:
            return await method(argument)


@dataclass
class Heard:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Stranger:
    """A server that is not Adobe: it remembers what it was sent, and answers what it is told to."""

    answer: Callable[[Heard], tuple[int, dict[str, str], bytes]]
    heard: list[Heard] = field(default_factory=list)
    url: str = ""


@contextmanager
def stranger(answer: Callable[[Heard], tuple[int, dict[str, str], bytes]]) -> Iterator[Stranger]:
    """Run such a server."""
    it = Stranger(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            it.heard.append(Heard(self.command, self.path, self.headers, body))
            status, headers, content = it.answer(it.heard[-1])
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    it.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
