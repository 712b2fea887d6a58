"""The simulated Adobe as one ASGI application: journal and faults around the services."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.control import control_app
from airflow_provider_adobe_deletion.simulator.data_repair import DataRepair
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.gateway import (
    Gateway,
    Route,
    SandboxManagement,
)
from airflow_provider_adobe_deletion.simulator.hygiene import Hygiene
from airflow_provider_adobe_deletion.simulator.hygiene_jobs import HygieneJobs
from airflow_provider_adobe_deletion.simulator.hygiene_ttl import DatasetExpirations
from airflow_provider_adobe_deletion.simulator.ims import Ims
from airflow_provider_adobe_deletion.simulator.profile import Profile
from airflow_provider_adobe_deletion.simulator.state import Fault, State


class Service(Protocol):
    """A part of Adobe that holds jobs."""

    routes: list[Route]

    def reset(self) -> None:
        """Forget all jobs."""

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs ever created, for the control interface."""
        ...


class Adobe:
    """IMS, the gateway and the services, behind one address."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.state = State(settings)
        self.ims = Ims(self.state)
        self.gateway = Gateway(self.state, self.ims)
        expirations = DatasetExpirations(self.state, self.gateway)
        self.services: list[Service] = [
            Profile(self.state, self.gateway),
            DataRepair(self.state, self.gateway),
            Hygiene(self.state, self.gateway, expirations),
            HygieneJobs(self.state, self.gateway),
            expirations,
        ]
        sandboxes = SandboxManagement(self.state)
        sandbox_path = "/data/foundation/sandbox-management"
        admit = self.gateway.organization
        self._routes = [route for service in self.services for route in service.routes]
        self._routes += [
            Route("GET", f"{sandbox_path}/", sandboxes.list_sandboxes, admit),
            Route("GET", f"{sandbox_path}/sandboxes", sandboxes.list_sandboxes, admit),
            Route("GET", f"{sandbox_path}/sandboxes/{{name}}", sandboxes.lookup, admit),
        ]
        for path, handler in (
            ("/ims/token/v3", self.ims.oauth),
            ("/ims/exchange/jwt", self.ims.exchange_jwt),
            ("/ims/exchange/jwt/", self.ims.exchange_jwt),
        ):
            self._routes.append(Route("POST", path, handler, self.gateway.open))
        self._control = control_app(self)

    def reset(self) -> None:
        """Forget all jobs, the journal, faults, settings and advanced time."""
        self.state.reset()
        self.ims.reset()
        self.gateway.reset()
        for service in self.services:
            service.reset()

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that exists, of all services, oldest first."""
        jobs = [job for service in self.services for job in service.jobs()]
        return sorted(jobs, key=lambda job: job["created"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or fail it as a fault demands."""
        if scope["type"] != "http":
            raise RuntimeError(f"unexpected ASGI scope {scope['type']!r}")
        if scope["path"].startswith("/_simulator/"):
            await self._control(scope, receive, send)
            return
        body, complete = await _read_body(receive)
        exchange = Exchange(self.state, scope, body)
        self.state.journal.append(exchange.entry)
        if not complete:
            return
        fault = self.state.faults.pick(exchange.method, exchange.path)
        response = await (self._respond(exchange) if fault is None else self._fail(fault, exchange))
        exchange.journal_body()
        cut = fault is not None and fault.truncate
        if response is None or (cut and len(response.body) < 2):
            await _hang_up(receive, send)
            return
        response.headers["x-request-id"] = exchange.entry.request_id or str(uuid.uuid4())
        exchange.entry.status = response.status_code
        if cut:
            await _send_half(response, receive, send)
        else:
            await response(scope, receive, send)

    async def _respond(self, exchange: Exchange) -> Response:
        try:
            for route in self._routes:
                if route.method == exchange.method:
                    match = route.pattern.match(exchange.path)
                    if match:
                        exchange.path_params = match.groupdict()
                        route.admit(exchange)
                        return await route.handler(exchange)
            raise refusals.no_such_route()
        except refusals.Refusal as refusal:
            return refusal.response

    async def _fail(self, fault: Fault, exchange: Exchange) -> Response | None:
        """The answer under a fault, None when the connection is to be closed instead."""
        exchange.entry.faulted = True
        response: Response | None = None
        replaced = fault.abort or fault.status is not None
        if fault.when == "after":
            response = await self._respond(exchange)
            await asyncio.sleep(fault.delay)
        else:
            await asyncio.sleep(fault.delay)
            if not replaced:
                response = await self._respond(exchange)
        if fault.abort:
            return None
        if fault.status is not None:
            return _replacement(_echoing(fault, exchange) if fault.echo else fault, fault.status)
        return response


def _echoing(fault: Fault, exchange: Exchange) -> Fault:
    """The fault with what the client has sent in the places for it."""
    sent = {
        "{authorization}": exchange.headers.get("authorization", ""),
        "{query}": exchange.scope["query_string"].decode("latin-1"),
        "{body}": exchange.body.decode("utf-8", "replace"),
    }
    headers = {name: _filled(value, sent) for name, value in fault.headers.items()}
    return replace(fault, body=_filled(fault.body, sent), headers=headers)


def _filled(node: Any, sent: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _filled(value, sent) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, sent) for value in node]
    if not isinstance(node, str):
        return node
    for place, text in sent.items():
        node = node.replace(place, text)
    return node


def _replacement(fault: Fault, status: int) -> Response:
    if isinstance(fault.body, dict | list):
        return JSONResponse(fault.body, status, headers=fault.headers, media_type=fault.content_type)
    return Response(fault.body, status, headers=fault.headers, media_type=fault.content_type)


async def _read_body(receive: Receive) -> tuple[bytes, bool]:
    """The whole body, and whether it arrived completely."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(chunks), False
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks), True


def _transport(send: Send) -> asyncio.Transport:
    """The connection under a request.

    ASGI has no message for hanging up, so this reaches into uvicorn: ``send`` is a method of its
    ``RequestResponseCycle``.
    """
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    return transport


async def _hang_up(receive: Receive, send: Send) -> None:
    _transport(send).abort()
    await _disconnected(receive)


async def _send_half(response: Response, receive: Receive, send: Send) -> None:
    """Promise the whole answer, send the first half of it, and close the connection."""
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    half = bytes(response.body[: len(response.body) // 2])
    await send({"type": "http.response.body", "body": half, "more_body": True})
    _transport(send).close()
    await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    """Wait until uvicorn knows; it would report an unanswered request otherwise."""
    while (await receive())["type"] != "http.disconnect":
        pass
