"""The Adobe I/O gateway: what is refused before a service sees the call.

Follows "Experience Platform troubleshooting guide" (codes), "Sandboxes overview" (the default
sandbox) and "Sandboxes endpoint".
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.ims import Ims
from airflow_provider_adobe_deletion.simulator.state import Clock, Sandbox, State

ANALYTICS_REQUESTS = 12
ANALYTICS_WINDOW = 6.0

Handler = Callable[[Exchange], Awaitable[Response]]
Admission = Callable[[Exchange], None]


@dataclass(frozen=True, slots=True)
class Route:
    """A path with a verb, who may call it, and what answers."""

    method: str
    path: str
    handler: Handler
    admit: Admission
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", compile_path(self.path)[0])


class RateLimit:
    """At most ``requests`` per ``window`` seconds of simulated time, per key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._passed: dict[str, deque[float]] = {}

    def wait(self, key: str, requests: int, window: float) -> int:
        """0 when the request may pass, else the whole seconds until one may."""
        now = self._clock.now()
        passed = self._passed.setdefault(key, deque())
        while passed and passed[0] <= now - window:
            passed.popleft()
        if len(passed) < requests:
            passed.append(now)
            return 0
        return max(1, ceil(passed[0] + window - now))

    def reset(self) -> None:
        """Forget what has passed."""
        self._passed.clear()


class Gateway:
    """Checks token, API key, organisation and sandbox."""

    def __init__(self, state: State, ims: Ims) -> None:
        self._state = state
        self._ims = ims
        self._analytics_rate = RateLimit(state.clock)

    def reset(self) -> None:
        """Forget the requests counted so far."""
        self._analytics_rate.reset()

    def open(self, exchange: Exchange) -> None:
        """Admit everybody."""

    def analytics(self, exchange: Exchange) -> None:
        """Admit a call to ``analytics.adobe.io``; needs no organisation header."""
        settings = self._state.settings
        try:
            self._authenticate(exchange, "ent_analytics_bulk_ingest_sdk")
        except refusals.Refusal as refusal:
            if settings.analytics_401 == "service" and (refusal.response.status_code == 401):
                raise refusals.analytics(401, "invalid_token", "IMS token failed IMS Facade token validation") from None
            raise
        if settings.analytics_rate_limit and self._analytics_rate.wait(
            exchange.client_id, ANALYTICS_REQUESTS, ANALYTICS_WINDOW
        ):
            raise refusals.gateway(429, "429050", "Too many requests")

    def organization(self, exchange: Exchange) -> None:
        """Admit a call to ``platform.adobe.io`` that is not about one sandbox."""
        self._authenticate(exchange, "ent_dataservices_sdk")
        org_id = exchange.headers.get("x-gw-ims-org-id")
        if not org_id:
            raise refusals.gateway(400, "400003", "x-gw-ims-org-id header is missing")
        if org_id != self._state.settings.org_id:
            raise refusals.gateway(403, "403027", "User region is missing")

    def platform(self, exchange: Exchange) -> None:
        """Admit a call that acts in a sandbox, without headers in the default one."""
        self.organization(exchange)
        name = exchange.headers.get("x-sandbox-name")
        sandbox_id = exchange.headers.get("x-sandbox-id")
        for sandbox in self._state.settings.sandboxes:
            if name is None and sandbox_id is None:
                found = sandbox.is_default
            else:
                found = name in (None, sandbox.name) and sandbox_id in (
                    None,
                    sandbox.id,
                )
            if found:
                exchange.sandbox = sandbox
                exchange.entry.sandbox = sandbox.name
                return
        raise refusals.platform(
            400,
            "The sandbox in the request headers does not exist",
            org_id=self._state.settings.org_id,
            client_id=exchange.client_id,
            sandbox=name,
            sandbox_id=sandbox_id,
        )

    def _authenticate(self, exchange: Exchange, metascope: str) -> None:
        authorization = exchange.headers.get("authorization")
        if not authorization:
            raise refusals.gateway(403, "403010", "Oauth token is missing")
        api_key = exchange.headers.get("x-api-key")
        if not api_key:
            raise refusals.gateway(403, "403000", "Api Key is required")
        if not self._ims.is_client(api_key):
            raise refusals.gateway(403, "403003", "Api Key is invalid")
        scheme, _, value = authorization.partition(" ")
        token = self._ims.token(value) if scheme.lower() == "bearer" else None
        if token is None:
            raise refusals.gateway(401, "401013", "Oauth token is not valid")
        if token.client_id != api_key:
            raise refusals.gateway(403, "403003", "Api Key is invalid")
        if token.metascopes is not None and metascope not in token.metascopes:
            raise refusals.gateway(403, "403025", "Profile is not valid")
        exchange.client_id = api_key


class SandboxManagement:
    """``/data/foundation/sandbox-management``, as far as a deletion client reads it."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def list_sandboxes(self, exchange: Exchange) -> Response:
        """All sandboxes of the organisation."""
        sandboxes = [_sandbox(sandbox) for sandbox in self._state.settings.sandboxes]
        return JSONResponse(
            {
                "sandboxes": sandboxes,
                "_page": {"limit": 50, "count": len(sandboxes)},
                "_links": {},
            }
        )

    async def lookup(self, exchange: Exchange) -> Response:
        """One sandbox by name."""
        name = exchange.path_params["name"]
        for sandbox in self._state.settings.sandboxes:
            if sandbox.name == name:
                return JSONResponse(_sandbox(sandbox))
        return JSONResponse(
            {
                "status": 404,
                "title": f"Sandbox {name} not found",
                "type": f"http://ns.adobe.com/aep/errors/{refusals.UNDOCUMENTED}-404",
            },
            404,
        )


def _sandbox(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "title": sandbox.name.capitalize(),
        "state": "active",
        "type": sandbox.type,
        "region": "VA7",
        "isDefault": sandbox.is_default,
        "eTag": 1,
    }
