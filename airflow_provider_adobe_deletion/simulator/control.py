"""Control over HTTP, for tests that live in another process than the simulator.

These routes are the simulator's own. They need no credentials, are not journalled, and no fault
touches them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_adobe_deletion.simulator.connections import connection
from airflow_provider_adobe_deletion.simulator.state import Fault

if TYPE_CHECKING:
    from airflow_provider_adobe_deletion.simulator.app import Adobe


def control_app(adobe: Adobe) -> Starlette:
    """The application behind ``/_simulator``."""
    state = adobe.state

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "time": state.clock.now()})

    async def read_journal(request: Request) -> Response:
        entries = state.journal.select(
            request.query_params.get("method"),
            request.query_params.get("path_contains", ""),
        )
        return JSONResponse([asdict(entry) for entry in entries])

    async def clear_journal(request: Request) -> Response:
        state.journal.clear()
        return Response(status_code=204)

    async def list_faults(request: Request) -> Response:
        return JSONResponse([fault.as_dict() for fault in state.faults])

    async def add_fault(request: Request) -> Response:
        fault = state.faults.add(Fault(**await _object(request)))
        return JSONResponse(fault.as_dict(), 201)

    async def clear_faults(request: Request) -> Response:
        state.faults.clear()
        return Response(status_code=204)

    async def read_settings(request: Request) -> Response:
        return JSONResponse(_jsonable(asdict(state.settings)))

    async def patch_settings(request: Request) -> Response:
        state.settings.update(await _object(request))
        return JSONResponse(_jsonable(asdict(state.settings)))

    async def advance(request: Request) -> Response:
        state.clock.advance((await _object(request))["seconds"])
        return JSONResponse({"time": state.clock.now()})

    async def revoke_tokens(request: Request) -> Response:
        adobe.ims.revoke_tokens()
        return Response(status_code=204)

    async def rotate_secret(request: Request) -> Response:
        adobe.ims.rotate_secret(str((await _object(request))["secret"]))
        return Response(status_code=204)

    async def reset(request: Request) -> Response:
        adobe.reset()
        return Response(status_code=204)

    async def jobs(request: Request) -> Response:
        return JSONResponse(adobe.jobs())

    async def read_connection(request: Request) -> Response:
        auth = request.query_params.get("auth", "oauth")
        base_url = str(request.base_url).rstrip("/")
        return JSONResponse(connection(adobe, base_url, auth=auth))

    routes: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("GET", "health", health),
        ("GET", "journal", read_journal),
        ("DELETE", "journal", clear_journal),
        ("GET", "faults", list_faults),
        ("POST", "faults", add_fault),
        ("DELETE", "faults", clear_faults),
        ("GET", "settings", read_settings),
        ("PATCH", "settings", patch_settings),
        ("POST", "advance", advance),
        ("POST", "revoke-tokens", revoke_tokens),
        ("POST", "rotate-secret", rotate_secret),
        ("POST", "reset", reset),
        ("GET", "jobs", jobs),
        ("GET", "connection", read_connection),
    ]
    return Starlette(
        routes=[Route(f"/_simulator/{name}", endpoint, methods=[method]) for method, name, endpoint in routes],
        exception_handlers={ValueError: _bad_request, TypeError: _bad_request},
    )


async def _object(request: Request) -> dict[str, Any]:
    body = await request.json()
    if not isinstance(body, dict):
        raise TypeError("the body must be a JSON object")
    return body


async def _bad_request(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def _jsonable(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, set) else value for name, value in settings.items()}
