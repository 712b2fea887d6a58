"""httpx over aiohttp's connections, which take a third of the CPU of its own. For the event loop only."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import getproxies

import aiohttp
import httpx
from yarl import URL

_LONGEST_HEADER = 65_536


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends httpx's requests through a pool of aiohttp's, and proxies from the environment.

    Every error is one of httpx's. What broke before the connection was made is told from what broke after, since a
    request that may have been sent must not be repeated.

    :param context: how to verify the other side.
    :param limits: how many connections to have.
    """

    def __init__(self, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._context = context
        self._limits = limits
        self._opened: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the whole answer."""
        timeout = request.extensions.get("timeout", {})
        with _translated(request):
            async with self._session().request(
                request.method,
                # Ids and tokens go out exactly as they were encoded.
                URL(str(request.url), encoded=True),
                headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
                skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=timeout.get("pool"), sock_connect=timeout.get("connect"), sock_read=timeout.get("read")
                ),
            ) as response:
                content = await response.read()
        return httpx.Response(response.status, headers=response.raw_headers, content=content, request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            connector = aiohttp.TCPConnector(
                limit=self._limits.max_connections or 0,
                keepalive_timeout=self._limits.keepalive_expiry,
                ssl=self._context,
            )
            self._opened = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_field_size=_LONGEST_HEADER,
                max_line_size=_LONGEST_HEADER,
                # With it, aiohttp reads the environment and a .netrc in threads, for each request.
                trust_env=bool(getproxies()),
            )
            # Whether and how often a request is repeated is decided in one place, which is not this.
            self._opened._retry_connection = False
        return self._opened


@contextmanager
def _translated(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error), request=request) from error
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error), request=request) from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.RemoteProtocolError("the answer was cut short", request=request) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.ReadError(type(error).__name__, request=request) from error
