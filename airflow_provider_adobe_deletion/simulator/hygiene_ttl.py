"""Data Hygiene: dataset expirations (``/ttl``).

Follows "Dataset expiration endpoint", of today (``ttl_generation="new"``) and of its middle age
(``"mid"``: created by ``PUT /ttl/{datasetId}``).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.gateway import Gateway, Route
from airflow_provider_adobe_deletion.simulator.parameters import instant, whole_number
from airflow_provider_adobe_deletion.simulator.state import Moment, Sandbox, State, iso_millis

PATH = "/data/core/hygiene/ttl"
DAY = 24 * 3600
DEFAULT_LIMIT = 25
MAX_LIMIT = 100
AUTHOR = "Simulator <simulator@techacct.adobe.com> 51MU1A70R@techacct.adobe.com"
_ORDER_FIELDS = ("ttlId", "datasetId", "datasetName", "displayName", "description", "status", "expiry", "updatedAt")
_DATE_FIELDS = ("created", "updated", "cancelled", "completed", "executed", "expiry")


@dataclass(slots=True)
class Expiration:
    """One dataset's appointed end."""

    id: str
    dataset: str
    sandbox: Sandbox
    created: Moment
    expiry: float
    display_name: str | None
    description: str | None
    updated: float
    cancelled: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class DatasetExpirations:
    """``/data/core/hygiene/ttl``."""

    def __init__(self, state: State, gateway: Gateway) -> None:
        self._state = state
        self._expirations: dict[str, Expiration] = {}
        self.routes = [
            Route("GET", PATH, self.list_expirations, gateway.platform),
            Route("POST", PATH, self.create, gateway.platform),
            Route("GET", f"{PATH}/{{id}}", self.lookup, gateway.platform),
            Route("PUT", f"{PATH}/{{id}}", self.put, gateway.platform),
            Route("DELETE", f"{PATH}/{{id}}", self.cancel, gateway.platform),
        ]

    def reset(self) -> None:
        """Forget all expirations."""
        self._expirations.clear()

    def jobs(self) -> list[dict[str, Any]]:
        """All expirations ever created, for the control interface."""
        return [
            {
                "service": "ttl",
                "id": expiration.id,
                "sandbox": expiration.sandbox.name,
                "created": expiration.created.time,
                "status": self._status(expiration),
                "target": {
                    "datasetId": expiration.dataset,
                    "expiry": iso_millis(expiration.expiry),
                    "displayName": expiration.display_name,
                },
                "removed": False,
            }
            for expiration in list(self._expirations.values())
        ]

    def is_active(self, dataset: str, sandbox: Sandbox) -> bool:
        """Whether the dataset has an expiration that is neither over nor cancelled."""
        return any(
            expiration.dataset == dataset and expiration.sandbox.name == sandbox.name and self._is_active(expiration)
            for expiration in self._expirations.values()
        )

    def active(self) -> int:
        """How many expirations count against the organisation's quota."""
        return sum(self._is_active(expiration) for expiration in self._expirations.values())

    async def create(self, exchange: Exchange) -> Response:
        """``POST /ttl``; there is no such verb in the middle generation."""
        if self._state.settings.ttl_generation == "mid":
            raise refusals.no_such_route()
        body = exchange.json_object()
        dataset = body.get("datasetId")
        if not isinstance(dataset, str) or not dataset:
            raise self._bad(exchange, "datasetId is required.")
        if not body.get("displayName"):
            raise self._bad(exchange, "displayName is required.")
        if self.is_active(dataset, exchange.where):
            raise self._bad(exchange, "A dataset expiration already exists for this dataset.")
        return JSONResponse(self._element(self._add(exchange, dataset, body)), 201)

    async def put(self, exchange: Exchange) -> Response:
        """``PUT /ttl/{ttlId}`` updates; in the middle generation, ``PUT /ttl/{datasetId}`` creates."""
        body = exchange.json_object()
        key = exchange.path_params["id"]
        expiration = self._expirations.get(key)
        if self._state.settings.ttl_generation == "mid":
            expiration = expiration or self._latest(key, exchange.where, active=True)
            if expiration is None:
                return JSONResponse(self._element(self._add(exchange, key, body)), 201)
        if (
            expiration is None
            or expiration.sandbox.name != exchange.where.name
            or not self._seen(expiration, self._state.settings.lookup_lag)
        ):
            raise _not_found(key)
        if self._status(expiration) != "pending":
            raise self._bad(exchange, "Only a pending dataset expiration can be updated.")
        if "expiry" in body:
            expiration.expiry = self._expiry(exchange, body["expiry"])
        expiration.display_name = self._text(exchange, body, "displayName") or expiration.display_name
        expiration.description = self._text(exchange, body, "description") or expiration.description
        self._note(exchange, expiration, "updated")
        element = self._element(expiration)
        if self._state.settings.ttl_generation == "mid":
            element["workorderId"] = element.pop("ttlId")
        return JSONResponse(element)

    async def list_expirations(self, exchange: Exchange) -> Response:
        """``GET /ttl``."""
        mid = self._state.settings.ttl_generation == "mid"
        query = exchange.query
        limit = self._number(exchange, "size" if mid else "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        page = self._number(exchange, "page", 0, 0)
        sandbox = query.get("sandboxName", exchange.where.name)
        lag = self._state.settings.list_lag
        found = [
            expiration
            for expiration in self._expirations.values()
            if sandbox in ("*", expiration.sandbox.name) and self._seen(expiration, lag)
        ]
        for wanted in self._filters(exchange):
            found = [expiration for expiration in found if wanted(expiration)]
        elements = self._ordered(exchange, [self._element(expiration) for expiration in found])
        results = elements[page * limit : (page + 1) * limit]
        if mid:
            return JSONResponse({"totalRecords": len(elements), "ttlDetails": results})
        return JSONResponse(
            {
                "results": results,
                "current_page": page,
                "total_pages": ceil(len(elements) / limit),
                "total_count": len(elements),
            }
        )

    async def lookup(self, exchange: Exchange) -> Response:
        """``GET /ttl/{ttlId or datasetId}``; of a dataset's expirations the active or newest one."""
        expiration = self._find(exchange)
        element = self._element(expiration)
        if exchange.query.get("include") == "history":
            element["history"] = expiration.history
        return JSONResponse(element)

    async def cancel(self, exchange: Exchange) -> Response:
        """``DELETE /ttl/{id}``: 204, formerly 200 with the object; 404 unless pending."""
        expiration = self._find(exchange)
        if self._status(expiration) != "pending":
            raise _not_found(exchange.path_params["id"])
        expiration.cancelled = self._state.clock.now()
        self._note(exchange, expiration, "cancelled")
        if self._state.settings.ttl_generation == "new":
            return Response(status_code=204)
        return JSONResponse(self._element(expiration))

    def _add(self, exchange: Exchange, dataset: str, body: dict[str, Any]) -> Expiration:
        settings = self._state.settings
        expiry = self._expiry(exchange, body.get("expiry"))
        if settings.enforce_quota and self.active() >= settings.quota_expirations:
            raise self._bad(exchange, "The quota of active dataset expirations is exceeded.")
        expiration = Expiration(
            id=f"SD-{uuid.uuid4()}",
            dataset=dataset,
            sandbox=exchange.where,
            created=self._state.clock.moment(),
            expiry=expiry,
            display_name=self._text(exchange, body, "displayName"),
            description=self._text(exchange, body, "description"),
            updated=self._state.clock.now(),
        )
        self._expirations[expiration.id] = expiration
        self._note(exchange, expiration, "created")
        return expiration

    def _note(self, exchange: Exchange, expiration: Expiration, what: str) -> None:
        """Write a change into history and journal."""
        expiration.updated = self._state.clock.now()
        expiration.history.append(
            {
                "status": what,
                "expiry": iso_millis(expiration.expiry),
                "updatedAt": iso_millis(expiration.updated),
                "updatedBy": AUTHOR,
            }
        )
        exchange.took_effect()

    def _expiry(self, exchange: Exchange, value: Any) -> float:
        """ISO 8601; a time without zone is UTC, a bare date its midnight."""
        try:
            expiry = instant(value)
        except (TypeError, ValueError):
            raise self._bad(exchange, "expiry must be an ISO 8601 date.") from None
        if expiry < self._state.clock.now() + DAY:
            raise self._bad(exchange, "expiry must be at least 24 hours ahead.")
        return expiry

    def _text(self, exchange: Exchange, body: dict[str, Any], name: str) -> str | None:
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            raise self._bad(exchange, f"{name} must be text.")
        return value

    def _latest(self, dataset: str, sandbox: Sandbox, *, active: bool = False) -> Expiration | None:
        for expiration in reversed(self._expirations.values()):
            if expiration.dataset == dataset and expiration.sandbox.name == sandbox.name:
                return expiration if self._is_active(expiration) or not active else None
        return None

    def _find(self, exchange: Exchange) -> Expiration:
        key = exchange.path_params["id"]
        found = self._expirations.get(key) or self._latest(key, exchange.where)
        if (
            found is None
            or found.sandbox.name != exchange.where.name
            or not self._seen(found, self._state.settings.lookup_lag)
        ):
            raise _not_found(key)
        return found

    def _seen(self, expiration: Expiration, lag: float) -> bool:
        return lag <= 0 or self._state.clock.age(expiration.created) >= lag

    def _is_active(self, expiration: Expiration) -> bool:
        return self._status(expiration) in ("pending", "executing")

    def _completed(self, expiration: Expiration) -> float:
        settings = self._state.settings
        return expiration.expiry + settings.ttl_seconds / settings.speed

    def _status(self, expiration: Expiration) -> str:
        now = self._state.clock.now()
        if expiration.cancelled is not None:
            return "cancelled"
        if now < expiration.expiry:
            return "pending"
        if now < self._completed(expiration):
            return "executing"
        return "executed" if self._state.settings.ttl_generation == "mid" else "completed"

    def _element(self, expiration: Expiration) -> dict[str, Any]:
        status = self._status(expiration)
        updated = {
            "executing": expiration.expiry,
            "completed": self._completed(expiration),
            "executed": self._completed(expiration),
        }.get(status, expiration.updated)
        element = {
            "ttlId": expiration.id,
            "datasetId": expiration.dataset,
            "datasetName": f"Dataset {expiration.dataset}",
            "sandboxName": expiration.sandbox.name,
            "displayName": expiration.display_name,
            "description": expiration.description,
            "imsOrg": self._state.settings.org_id,
            "status": status,
            "expiry": iso_millis(expiration.expiry),
            "updatedAt": iso_millis(updated),
            "updatedBy": AUTHOR,
        }
        return {name: value for name, value in element.items() if value is not None}

    def _filters(self, exchange: Exchange) -> list[Callable[[Expiration], bool]]:
        query = exchange.query
        filters: list[Callable[[Expiration], bool]] = []
        if "ttlId" in query:
            filters.append(lambda item: item.id == query["ttlId"])
        if "datasetId" in query:
            filters.append(lambda item: item.dataset == query["datasetId"])
        if "status" in query:
            statuses = query["status"].split(",")
            filters.append(lambda item: self._status(item) in statuses)
        if "author" in query:
            author = query["author"].removeprefix("LIKE ").strip("%")
            filters.append(lambda item: author in AUTHOR)
        if "orgId" in query:
            filters.append(lambda item: query["orgId"] == self._state.settings.org_id)
        filters += [
            _holds(text, query[name])
            for name, text in (
                ("datasetName", lambda item: f"Dataset {item.dataset}"),
                ("displayName", lambda item: item.display_name or ""),
                ("description", lambda item: item.description or ""),
                ("search", lambda item: f"{item.id} {item.display_name} {item.description} Dataset {item.dataset}"),
            )
            if name in query
        ]
        for name in _DATE_FIELDS:
            filters += self._date_filters(exchange, name)
        return filters

    def _date_filters(self, exchange: Exchange, name: str) -> list[Callable[[Expiration], bool]]:
        """The filters ``<name>Date``, ``<name>FromDate`` and ``<name>ToDate`` that are present."""

        def moment(item: Expiration) -> float | None:
            over = self._completed(item) if self._status(item) in ("completed", "executed") else None
            return {
                "created": item.created.time,
                "updated": item.updated,
                "cancelled": item.cancelled,
                "completed": over,
                "executed": over,
                "expiry": item.expiry,
            }[name]

        def day(parameter: str) -> float:
            try:
                return instant(exchange.query[parameter])
            except ValueError:
                raise self._bad(exchange, f"{parameter} is not a date.") from None

        filters: list[Callable[[Expiration], bool]] = []
        if f"{name}Date" in exchange.query:
            begin = day(f"{name}Date")
            filters.append(lambda item: begin <= (moment(item) or 0.0) < begin + DAY)
        if f"{name}FromDate" in exchange.query:
            first = day(f"{name}FromDate")
            filters.append(lambda item: (moment(item) or 0.0) >= first)
        if f"{name}ToDate" in exchange.query:
            last = day(f"{name}ToDate")
            filters.append(lambda item: 0.0 < (moment(item) or 0.0) <= last)
        return filters

    def _ordered(self, exchange: Exchange, elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
        order_by = exchange.query.get("orderBy")
        if order_by is None:
            return elements[::-1]
        name = order_by.strip().lstrip("+-")
        if name not in _ORDER_FIELDS:
            raise self._bad(exchange, "orderBy names an unknown field.")
        return sorted(elements, key=lambda item: str(item.get(name, "")), reverse=order_by.strip().startswith("-"))

    def _number(self, exchange: Exchange, name: str, default: int, least: int, most: int | None = None) -> int:
        try:
            return whole_number(exchange.query.get(name), default, least, most)
        except ValueError as wrong:
            raise self._bad(exchange, f"{name} is {wrong}.") from None

    def _bad(self, exchange: Exchange, title: str) -> refusals.Refusal:
        return refusals.platform(
            400,
            title,
            code="HYGN-3102-400",
            org_id=self._state.settings.org_id,
            client_id=exchange.client_id,
            sandbox=exchange.where.name,
        )


def _not_found(key: str) -> refusals.Refusal:
    return refusals.gateway(404, "404003", f"Dataset expiration configuration {key} not found.")


def _holds(text: Callable[[Expiration], str], wanted: str) -> Callable[[Expiration], bool]:
    return lambda item: wanted.lower() in text(item).lower()
