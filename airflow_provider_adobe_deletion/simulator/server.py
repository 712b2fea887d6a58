"""Runs the simulated Adobe on a local port, in a thread of its own."""

from __future__ import annotations

import json
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn

from airflow_provider_adobe_deletion.simulator.app import Adobe
from airflow_provider_adobe_deletion.simulator.connections import connection
from airflow_provider_adobe_deletion.simulator.ims import private_key_pem
from airflow_provider_adobe_deletion.simulator.state import Faults, Journal, Settings

_BACKLOG = 4096
_START_SECONDS = 10.0


class AdobeSimulator:
    """A local Adobe that speaks the documented protocol over real HTTP.

    >>> with AdobeSimulator() as adobe:
    ...     adobe.settings.profile_shape = "unified"
    ...     adobe.faults.add(Fault("POST", "/system/jobs", when="after", abort=True))
    ...     airflow_connection = adobe.connection(sandbox_name="prod")

    Everything may be inspected and changed while it runs. Further arguments are settings, which ``reset``
    restores. Jobs and tokens outlive ``stop`` and are there again after the next ``start``.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> None:
        self._adobe = Adobe(settings)
        self._host = host
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, and return once requests are answered."""
        if self._thread is not None:
            raise RuntimeError("the simulator is already running")
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Named, because asyncio turns Nagle's algorithm off only where it sees TCP.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        # A started simulator keeps its port over stop and start.
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._adobe,
            # h11 is always there, and faults depend on how it drives a connection.
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            log_level="error",
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [listener]},
            name="adobe-simulator",
            daemon=True,
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("the simulator did not start")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL of IMS, Platform and Analytics alike."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def settings(self) -> Settings:
        """How this Adobe behaves; change it at any time."""
        return self._adobe.state.settings

    @property
    def journal(self) -> Journal:
        """What was asked, oldest first."""
        return self._adobe.state.journal

    @property
    def faults(self) -> Faults:
        """What is going to go wrong."""
        return self._adobe.state.faults

    def secrets(self) -> frozenset[str]:
        """What nobody but the client may ever see: its secret and key, and all JWTs, access and validation tokens.

        For tests that look for them where they must not be. A reset forgets none.
        """
        return frozenset({self._adobe.ims.secret, private_key_pem(), *self._adobe.state.secrets} - {""})

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that exists, of all services, oldest first."""
        return self._adobe.jobs()

    def reset(self) -> None:
        """Forget jobs, journal, faults, settings and advanced time; issued tokens stay valid."""
        self._adobe.reset()

    def revoke_tokens(self) -> None:
        """Make every token given out so far invalid."""
        self._adobe.ims.revoke_tokens()

    def rotate_secret(self, new: str) -> None:
        """Replace the client secret of both credentials; tokens already issued live on."""
        self._adobe.ims.rotate_secret(new)

    def advance(self, seconds: float) -> None:
        """Move the simulated clock forward: jobs age, tokens expire, quotas reset."""
        self._adobe.state.clock.advance(seconds)

    def connection(self, **overrides: Any) -> dict[str, Any]:
        """An Airflow connection in JSON form, with OAuth server-to-server.

        ``login``, ``password``, ``conn_type`` and ``description`` are replaced at the top level,
        anything else in ``extra``; None leaves a field out.
        """
        return connection(self._adobe, self.url, **overrides)

    def connection_extra(self, **overrides: Any) -> dict[str, Any]:
        """Only the ``extra`` of ``connection``."""
        extra: dict[str, Any] = self.connection(**overrides)["extra"]
        return extra

    def connection_json(self, **overrides: Any) -> str:
        """``connection`` as text, for ``AIRFLOW_CONN_…``."""
        return json.dumps(self.connection(**overrides))

    def jwt_connection(self, **overrides: Any) -> dict[str, Any]:
        """An Airflow connection with the legacy service account (JWT)."""
        return connection(self._adobe, self.url, **{"auth": "jwt", **overrides})
