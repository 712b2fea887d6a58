"""Authentication with Adobe IMS, as an ``httpx.Auth``.

OAuth server-to-server (``/ims/token/v3``) and, for those who still have it, the service account JWT
(``/ims/exchange/jwt``). Adobe: *Server to Server authentication*, *Service Account (JWT)*.

One generator describes the protocol. The sync and the async driver only send what it yields and hold
the lock that it asks for, so a token is fetched once however many callers wait for it.
"""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAuthError,
    AdobeConfigError,
    AdobeRateLimitError,
    AdobeServerError,
    api_error,
)

TOKEN_REQUEST = "adobe_token_request"
"""Request extension that marks a request to IMS: when it breaks, nothing has reached a service."""

_RENEW_BEFORE = 300.0
_JWT_LIFETIME = 300
_MILLISECONDS_ABOVE = 1_000_000
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)


class _Lock(Enum):
    ACQUIRE = "acquire"
    RELEASE = "release"


@dataclass
class TokenCache:
    """The token of one credential in this process, and the locks that make its renewal single-flight."""

    token: str | None = field(default=None, repr=False)
    renew_at: float = 0.0
    fetches: int = 0
    error: AdobeAuthError | None = None
    thread_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    loop_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = field(
        default_factory=WeakKeyDictionary, repr=False
    )

    def usable(self, rejected: str | None) -> str | None:
        """Return the cached token unless it is due for renewal or is the one just rejected."""
        if self.token is None or self.token == rejected or time.monotonic() >= self.renew_at:
            return None
        return self.token

    def loop_lock(self) -> asyncio.Lock:
        """Return the lock for the running event loop; asyncio locks cannot be shared between loops."""
        return self.loop_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


_caches: dict[tuple[str, ...], TokenCache] = {}


def token_cache(config: AdobeConfig) -> TokenCache:
    """Return this process's cache for the credential of ``config``."""
    return _caches.setdefault(config.credential_key, TokenCache())


class AdobeAuth(httpx.Auth):
    """Adds the bearer token, fetching and renewing it as needed.

    A 401 drops the token; the request is sent once more with a fresh one, whatever its method, because
    Adobe's gateway rejected it before the service saw it. A second 401 is an :class:`AdobeAuthError`.

    :param config: whose credential to use.
    :param on_secret: called with each JWT and token before its first use, to register it for masking.
        On an event loop it is called in a thread, since it may block.
    """

    def __init__(self, config: AdobeConfig, on_secret: Callable[[str], None] | None = None) -> None:
        self._config = config
        self._on_secret = on_secret
        self._cache = token_cache(config)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Drive the flow for ``httpx.Client``."""
        flow, held = self._flow(request), False
        try:
            step = next(flow)
            while True:
                reply: Any = None
                if step is _Lock.ACQUIRE:
                    held = self._cache.thread_lock.acquire()
                elif step is _Lock.RELEASE:
                    self._cache.thread_lock.release()
                    held = False
                elif isinstance(step, httpx.Request):
                    reply = yield step
                    if TOKEN_REQUEST in step.extensions or reply.status_code == 401:
                        reply.read()
                else:
                    reply = step()
                step = flow.send(reply)
        except StopIteration:
            return
        finally:
            flow.close()
            if held:
                self._cache.thread_lock.release()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Drive the flow for ``httpx.AsyncClient``."""
        flow, held, lock = self._flow(request), False, self._cache.loop_lock()
        try:
            step = next(flow)
            while True:
                reply: Any = None
                if step is _Lock.ACQUIRE:
                    held = await lock.acquire()
                elif step is _Lock.RELEASE:
                    lock.release()
                    held = False
                elif isinstance(step, httpx.Request):
                    reply = yield step
                    if TOKEN_REQUEST in step.extensions or reply.status_code == 401:
                        await reply.aread()
                else:
                    reply = await asyncio.to_thread(step)
                step = flow.send(reply)
        except StopIteration:
            return
        finally:
            flow.close()
            if held:
                lock.release()

    def _flow(self, request: httpx.Request) -> Generator[Any, Any, None]:
        token = yield from self._token(request, rejected=None)
        response = yield _with_token(request, token)
        if response.status_code != 401:
            return
        token = yield from self._token(request, rejected=token)
        response = yield _with_token(request, token)
        if response.status_code == 401:
            said = api_error("accept a token", 401, _json(response), response.headers, confidential=(token,))
            marks = [f"code {said.code}"] if said.code else []
            marks += [f"request id {said.request_id}"] if said.request_id else []
            raise AdobeAuthError(
                "Adobe answered 401 to a token that Adobe IMS had just issued: the credential is not entitled "
                f"to this API, or Adobe's token validation is failing ({', '.join(['HTTP 401', *marks])}).",
                status=401,
                code=said.code,
            )

    def _token(self, request: httpx.Request, rejected: str | None) -> Generator[Any, Any, str]:
        if token := self._cache.usable(rejected):
            return token
        seen = self._cache.fetches
        yield _Lock.ACQUIRE
        if (token := self._cache.usable(rejected)) is None:
            if self._cache.fetches != seen:
                # Somebody fetched while this caller queued: share what came of it, even a token that ends at once.
                if self._cache.error is not None:
                    raise _copy(self._cache.error)
                token = self._cache.token if self._cache.token != rejected else None
            token = token or (yield from self._fetch(request))
        yield _Lock.RELEASE
        return token

    def _fetch(self, request: httpx.Request) -> Generator[Any, Any, str]:
        if self._config.auth == "jwt":
            url, form = yield self._jwt_form
        else:
            url, form = self._oauth_form()
        try:
            response = yield httpx.Request(
                "POST",
                url,
                data=form,
                headers={"Accept": "application/json"},
                extensions={"timeout": request.extensions.get("timeout", {}), TOKEN_REQUEST: True},
            )
        except GeneratorExit:
            # The request failed or was cancelled: those who queued behind it must not each wait as long again.
            self._cache.fetches += 1
            self._cache.error = AdobeAuthError("Adobe IMS could not be reached for a token.", transient=True)
            raise
        self._cache.fetches += 1
        self._cache.token = self._cache.error = None
        try:
            token, lifetime = self._issued(response, form)
        except AdobeAuthError as error:
            self._cache.error = error
            raise
        if self._on_secret is not None:
            mask = self._on_secret
            yield lambda: mask(token)
        self._cache.error = None
        self._cache.token = token
        self._cache.renew_at = time.monotonic() + lifetime - min(_RENEW_BEFORE, lifetime / 2)
        return token

    def _oauth_form(self) -> tuple[str, dict[str, str]]:
        config = self._config
        return f"{config.ims_url}/ims/token/v3", {
            "grant_type": "client_credentials",
            "client_id": config.client_id,
            "client_secret": config.client_secret,
            "scope": config.scope,
        }

    def _jwt_form(self) -> tuple[str, dict[str, str]]:
        signed = signed_jwt(self._config)
        if self._on_secret is not None:
            self._on_secret(signed)
        return f"{self._config.ims_url}/ims/exchange/jwt", {
            "client_id": self._config.client_id,
            "client_secret": self._config.client_secret,
            "jwt_token": signed,
        }

    def _issued(self, response: httpx.Response, form: dict[str, str]) -> tuple[str, float]:
        body = _json(response)
        if response.status_code != 200:
            raise self._refused(response, body, form)
        token = body.get("access_token") if isinstance(body, dict) else None
        lifetime = body.get("expires_in") if isinstance(body, dict) else None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise AdobeAuthError(
                "Adobe IMS answered the token request with success but without a token.",
                status=200,
                transient=True,
            )
        return token, _seconds(lifetime, in_milliseconds=self._config.auth == "jwt")

    def _refused(self, response: httpx.Response, body: Any, form: dict[str, str]) -> AdobeAuthError:
        confidential = (self._config.client_secret, form.get("jwt_token", ""))
        error = api_error(
            f"issue a token for client id {self._config.client_id}",
            response.status_code,
            body,
            response.headers,
            confidential=confidential,
        )
        transient = isinstance(error, AdobeRateLimitError | AdobeServerError)
        advice = "" if transient else " Check the connection's client id, client secret, and scopes."
        if not transient and self._config.auth == "jwt":
            advice = (
                " Check the connection's client id, client secret, technical account, private key and metascopes;"
                " Adobe has retired JWT credentials, so this one may have ended."
            )
        return AdobeAuthError(
            f"{error}{advice}",
            status=error.status,
            code=error.code,
            transient=transient,
            retry_after=error.retry_after,
        )


def signed_jwt(config: AdobeConfig) -> str:
    """Return the service account JWT of ``config``: RS256, one claim per metascope, a few minutes valid.

    :raises AdobeConfigError: the private key cannot sign. The key is not in the message.
    """
    import jwt

    claims: dict[str, Any] = {
        "exp": int(datetime.now(UTC).timestamp()) + _JWT_LIFETIME,
        "iss": config.org_id,
        "sub": config.technical_account_id,
        "aud": f"{config.ims_url}/c/{config.client_id}",
    }
    claims |= {f"{config.ims_url}/s/{name}": True for name in config.metascope_names}
    try:
        return jwt.encode(claims, config.private_key, algorithm="RS256")
    except Exception:
        # Whatever the cryptography library raises may quote the key.
        raise AdobeConfigError(
            "The Adobe connection's private_key cannot sign: it must be an unencrypted RSA key in PEM."
        ) from None


def sent_token(request: httpx.Request) -> str:
    """Return the token that a request carried, if any: an answer may repeat it."""
    return str(request.headers.get("Authorization", "")).removeprefix("Bearer ")


def _with_token(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return response.content.decode(errors="replace")


def _seconds(value: Any, *, in_milliseconds: bool) -> float:
    """Read ``expires_in``: seconds for OAuth, milliseconds for JWT. What is too long for seconds is milliseconds."""
    try:
        lifetime = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    if not 0 < lifetime < math.inf:
        return 0.0
    return lifetime / 1000 if in_milliseconds or lifetime > _MILLISECONDS_ABOVE else lifetime


def _copy(error: AdobeAuthError) -> AdobeAuthError:
    """Return the failure for another waiter: one exception object must not collect several tracebacks."""
    return AdobeAuthError(
        str(error),
        status=error.status,
        code=error.code,
        transient=error.transient,
        retry_after=error.retry_after,
    )
