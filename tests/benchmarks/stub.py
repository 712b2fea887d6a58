"""A stub of the peers' APIs: answers at once that the run is still running, and counts."""

from __future__ import annotations

import asyncio
import json

DATABRICKS = {
    "job_id": 1,
    "run_id": 1,
    "state": {"life_cycle_state": "RUNNING", "result_state": "", "state_message": "In run"},
    "run_page_url": "http://127.0.0.1/run/1",
    "start_time": 1700000000000,
    "tasks": [],
}
DBT = {"status": {"code": 200, "is_success": True}, "data": {"id": 1, "account_id": 1, "job_id": 1, "status": 3}}


class Stub(asyncio.Protocol):
    """One connection."""

    requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete; none of the peers' look-ups needs its body to be read."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0
            )
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(head.split(b" ", 2)[1])

    def _answer(self, path: bytes) -> None:
        if path == b"/count":
            body = json.dumps(Stub.requests).encode()
        else:
            Stub.requests += 1
            body = json.dumps(DATABRICKS if b"/api/2" in path else DBT).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )


async def serve() -> None:
    """Serve until killed; the address is printed."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
