"""One request under way: what came in, who sent it, and its line in the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Scope

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.state import (
    JournalEntry,
    Sandbox,
    State,
)

JOURNALLED_BODY = 64 * 1024
_SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "client_secret",
        "jwt_token",
        "user_token",
        "validationtoken",
    }
)
_HIDDEN = "***"
_PLAIN_FIELDS = ("action", "datasetId", "displayName", "name", "description", "targetServices", "expiry")


class Exchange:
    """A request, read whole, with what the gateway has found out about it."""

    __slots__ = (
        "_json",
        "body",
        "client_id",
        "entry",
        "headers",
        "method",
        "path",
        "path_params",
        "query",
        "sandbox",
        "scope",
        "state",
    )

    def __init__(self, state: State, scope: Scope, body: bytes) -> None:
        self.state = state
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.body = body
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        query = scope["query_string"]
        self.query: dict[str, str] = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
        self.path_params: Mapping[str, str] = {}
        self.client_id = ""
        self.sandbox: Sandbox | None = None
        self._json: Any = None
        self.entry = JournalEntry(
            time=state.clock.now(),
            method=self.method,
            path=self.path,
            query={
                name: _HIDDEN if name.lower() in _SECRET_PARAMETERS else value for name, value in self.query.items()
            },
            body_size=len(body),
            api_key=self.headers.get("x-api-key"),
            sandbox_name=self.headers.get("x-sandbox-name"),
            sandbox_id=self.headers.get("x-sandbox-id"),
            user_agent=self.headers.get("user-agent"),
            request_id=self.headers.get("x-request-id"),
        )

    @property
    def base_url(self) -> str:
        """The address under which the client reached the simulator."""
        return f"http://{self.headers.get('host', 'localhost')}"

    @property
    def where(self) -> Sandbox:
        """The sandbox this call acts in; only for routes that have one."""
        assert self.sandbox is not None
        return self.sandbox

    def json(self) -> Any:
        """The body as JSON, parsed once; raises ``ValueError``."""
        if self._json is None:
            self._json = json.loads(self.body)
        return self._json

    def json_object(self) -> dict[str, Any]:
        """The body of a Platform POST or PUT, refused unless it is a declared JSON object."""
        if "application/json" not in self.headers.get("content-type", ""):
            raise refusals.problem(400, "BAD_REQUEST", "The mandatory header Content-Type was not set")
        try:
            value = self.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise refusals.gateway(400, "400001", "The body is not a JSON object.")
        return value

    def took_effect(self) -> None:
        """Note in the journal that this call created, changed or removed something."""
        self.entry.took_effect = True

    def journal_order(self, identities: int, namespaces: list[str]) -> None:
        """Put a work order in the journal whose identities are already counted."""
        self.entry.body = {**_plain_fields(self.json()), "identities": identities, "namespaces": namespaces}

    def journal_body(self) -> None:
        """Put the body in the journal, as far as it may be kept."""
        if self.entry.body is not None or not self.body or self.path.startswith("/ims/"):
            return
        hygiene = self.path.startswith("/data/core/hygiene/")
        if len(self.body) >= JOURNALLED_BODY and not (hygiene and self._json is not None):
            return
        try:
            body = self.json()
        except ValueError:
            return
        self.entry.body = _without_people(body) if hygiene else body


def _plain_fields(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _PLAIN_FIELDS if name in body}


def _without_people(body: Any) -> Any:
    """A Data Hygiene body with counts in the place of identities; other fields only if known."""
    if not isinstance(body, dict):
        return None
    result = _plain_fields(body)
    namespaces: set[str] = set()
    groups = [item for name in ("identities", "namespacesIdentities") for item in _objects(body, name)]
    if "identities" in body or "namespacesIdentities" in body:
        result["identities"] = sum(_size(group) for group in groups)
        codes = (group.get("namespace") for group in groups)
        namespaces.update(str(code.get("code")) for code in codes if isinstance(code, dict))
    if "users" in body:
        users = _objects(body, "users")
        user_ids = [item for user in users for item in _objects(user, "userIDs")]
        result |= {"users": len(users), "userIDs": len(user_ids)}
        namespaces.update(str(item.get("namespace")) for item in user_ids)
    return {**result, "namespaces": sorted(namespaces)} if namespaces else result


def _objects(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = body.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _size(group: dict[str, Any]) -> int:
    ids = group.get("ids", group.get("IDs"))
    return len(ids) if isinstance(ids, list) else 1
