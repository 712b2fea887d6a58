"""What all who use one credential on one event loop share: connections, their number, and the token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
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


def timeout() -> dict[str, float | None]:
    """Return the timeouts of one exchange, as httpx's requests carry them."""
    return TIMEOUT.as_dict()


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
        self._transport: httpx.AsyncBaseTransport | None = None
        self._opening = asyncio.Lock()
        # Callers queue here rather than in the pool, first come, first served.
        self._gate = asyncio.Semaphore(CONNECTIONS)

    async def send(self, request: httpx.Request) -> tuple[httpx.Response, datetime]:
        """Send a request as ``httpx.AsyncClient`` does, but for cookies and a log line each time.

        :return: the answer, and when the request was sent.
        :raises httpx.HTTPError: the exchange broke.
        """
        transport = self._transport or await self._open()
        async with self._gate:
            sent_at = datetime.now(UTC)
            async with aclosing(self._auth.async_auth_flow(request)) as flow:
                step = await anext(flow)
                while True:
                    response = await transport.handle_async_request(step)
                    try:
                        step = await flow.asend(response)
                    except StopAsyncIteration:
                        return response, sent_at

    async def aclose(self) -> None:
        """Close the connections; the next user opens new ones."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.aclose()

    async def _open(self) -> httpx.AsyncBaseTransport:
        async with self._opening:
            if self._transport is None:
                self._transport = await asyncio.to_thread(_new_transport)
            return self._transport


def _new_transport() -> httpx.AsyncBaseTransport:
    """Do what would hold the event loop up: import, and load certificates."""
    from airflow_provider_adobe_deletion.adobe.transport import AiohttpTransport

    return AiohttpTransport(_tls(), LIMITS)
