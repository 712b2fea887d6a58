"""What all who use one credential on one event loop share: connections, their number, and the token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import httpx

from airflow_provider_adobe_deletion.adobe.auth import AdobeAuth
from airflow_provider_adobe_deletion.adobe.config import AdobeConfig

# Adobe's gateway gives up at 60 s; a shorter timeout would make outcomes ambiguous that need not be.
TIMEOUT = httpx.Timeout(connect=10.0, read=70.0, write=70.0, pool=70.0)
CONNECTIONS = 10
LIMITS = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=30.0)


def http_options() -> dict[str, Any]:
    """Return how connections are made, for httpx's clients of either kind."""
    return {"verify": _tls(), "timeout": TIMEOUT, "limits": LIMITS}


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Return the process's TLS context: loading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()


class Channel:
    """A pool of ten connections that adds the credential's token to each request.

    :param config: whose credential to use; its sandbox and company do not matter here.
    :param on_secret: called with each minted token.
    """

    def __init__(self, config: AdobeConfig, on_secret: Callable[[str], None] | None = None) -> None:
        self._auth = AdobeAuth(config, on_secret)
        self._http: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        # The pool's own queue takes time quadratic in its length, so callers queue before it.
        self.gate = asyncio.Semaphore(CONNECTIONS)

    async def open(self) -> httpx.AsyncClient:
        """Return the pool."""
        if self._http is None:
            async with self._opening:
                if self._http is None:
                    self._http = await asyncio.to_thread(self._new)
        return self._http

    async def aclose(self) -> None:
        """Close the connections; the next user opens new ones."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    def _new(self) -> httpx.AsyncClient:
        """Do what would hold the event loop up: import, and load certificates."""
        from airflow_provider_adobe_deletion.adobe.transport import AiohttpTransport

        options = http_options()
        transport = AiohttpTransport(options["verify"], options["limits"])
        return httpx.AsyncClient(transport=transport, timeout=options["timeout"], auth=self._auth)
