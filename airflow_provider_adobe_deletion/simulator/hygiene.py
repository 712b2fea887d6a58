"""Data Hygiene: record delete work orders and quotas.

Follows "Record delete work orders (workorder endpoint)" in three generations, "Quota endpoint" and "Data
lifecycle best practices". Work orders are kept as counts and a digest;
the identities in them are forgotten at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.gateway import Gateway, RateLimit, Route
from airflow_provider_adobe_deletion.simulator.hygiene_ttl import DatasetExpirations
from airflow_provider_adobe_deletion.simulator.parameters import instant, whole_number
from airflow_provider_adobe_deletion.simulator.state import (
    Moment,
    Sandbox,
    State,
    iso_micros,
    iso_millis,
    stage,
)

BASE = "/data/core/hygiene"
MAX_IDENTITIES = 100_000
SMALL_ORDER = 100
SMALL_ORDER_WINDOW = 60.0
DEFAULT_LIMIT = 25
MAX_LIMIT = 100
MAX_DISPLAY_NAME = 255
MAX_DESCRIPTION = 1000
CREATED_BY = "Simulator <simulator@techacct.adobe.com> 51MU1A70R@techacct.adobe.com"
STATUSES = ("received", "validated", "submitted", "ingested", "completed")
ALL_SERVICES = ("profile", "datalake", "identity", "ajo")
PROFILE_ONLY = {"identity", "profile", "ajo"}
_PRODUCTS = {
    "datalake": "Data Management",
    "identity": "Identity Service",
    "profile": "Profile Service",
    "ajo": "Journey Orchestrator",
}
_ORDER_FIELDS = {
    "displayName": "displayName",
    "description": "description",
    "id": "workorderId",
    "createdBy": "createdBy",
    "createdAt": "createdAt",
    "updatedAt": "updatedAt",
    "operation": "action",
    "operationCount": "operationCount",
    "status": "status",
}


@dataclass(frozen=True, slots=True)
class Identities:
    """What remains of the identities of an order."""

    count: int
    namespaces: list[str]
    sha256: str


@dataclass(slots=True)
class WorkOrder:
    """One record delete order."""

    id: str
    bundle: str
    dataset: str
    display_name: str | None
    description: str | None
    identities: Identities
    services: tuple[str, ...]
    sandbox: Sandbox
    created: Moment
    size: int
    renamed: float | None = None


@dataclass(slots=True)
class Consumption:
    """Identities deleted per day and per month of the simulated clock."""

    daily: dict[str, int] = field(default_factory=dict)
    monthly: dict[str, int] = field(default_factory=dict)

    def add(self, day: str, count: int) -> None:
        """Count an accepted order."""
        self.daily[day] = self.daily.get(day, 0) + count
        self.monthly[day[:7]] = self.monthly.get(day[:7], 0) + count


class Hygiene:
    """``/data/core/hygiene/workorder`` and ``/quota``."""

    def __init__(self, state: State, gateway: Gateway, expirations: DatasetExpirations) -> None:
        self._state = state
        self._expirations = expirations
        self._orders: dict[str, WorkOrder] = {}
        self._consumption = Consumption()
        self._small_orders = RateLimit(state.clock)
        self.routes = [
            Route("GET", f"{BASE}/workorder/{{id}}", self.lookup, gateway.platform),
            Route("GET", f"{BASE}/workorder", self.list_orders, gateway.platform),
            Route("POST", f"{BASE}/workorder", self.create, gateway.platform),
            Route("PUT", f"{BASE}/workorder/{{id}}", self.rename, gateway.platform),
            Route("GET", f"{BASE}/quota", self.quota, gateway.organization),
        ]

    def reset(self) -> None:
        """Forget all orders and what they consumed."""
        self._orders.clear()
        self._consumption = Consumption()
        self._small_orders.reset()

    def jobs(self) -> list[dict[str, Any]]:
        """All orders ever created, for the control interface."""
        return [
            {
                "service": "workorder",
                "id": order.id,
                "sandbox": order.sandbox.name,
                "created": order.created.time,
                "status": self._status(order),
                "target": {
                    "datasetId": order.dataset,
                    "displayName": order.display_name,
                    "identities": order.identities.count,
                    "namespaces": order.identities.namespaces,
                    "sha256": order.identities.sha256,
                    "targetServices": list(order.services),
                },
                "removed": False,
            }
            for order in list(self._orders.values())
        ]

    async def create(self, exchange: Exchange) -> Response:
        """``POST /workorder``."""
        body = exchange.json_object()
        generation = self._state.settings.hygiene_generation
        identities = self._identities(body)
        exchange.journal_order(identities.count, identities.namespaces)
        if body.get("action") != "delete_identity":
            raise _bad("Action must be delete_identity.")
        dataset = self._dataset(body)
        services = self._services(body, dataset) if generation == 3 else ALL_SERVICES
        display_name = _text(body, "displayName", MAX_DISPLAY_NAME)
        description = _text(body, "description", MAX_DESCRIPTION)
        for one in dataset.split(","):
            if self._expirations.is_active(one, exchange.where):
                raise _bad(f"Dataset {one} has an active dataset expiration.")
        self._refuse_small_orders(exchange, identities.count)
        self._consume(exchange, identities.count)
        name = str(uuid.uuid4())
        order = WorkOrder(
            id=name if generation == 1 else f"DI-{name}",
            bundle=str(uuid.uuid4()),
            dataset=dataset,
            display_name=display_name,
            description=description,
            identities=identities,
            services=services,
            sandbox=exchange.where,
            created=self._state.clock.moment(),
            size=len(exchange.body),
        )
        self._orders[order.id] = order
        exchange.took_effect()
        return JSONResponse(self._element(order), 201 if generation == 1 else 200)

    async def list_orders(self, exchange: Exchange) -> Response:
        """``GET /workorder``; follow none of its links, the base path is missing from them."""
        query = exchange.query
        page, limit = _number(query, "page", 0, 0), _number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        lag = self._state.settings.list_lag
        sandbox = query.get("sandboxName", exchange.where.name)
        orders = [
            order for order in self._orders.values() if sandbox in ("*", order.sandbox.name) and self._seen(order, lag)
        ]
        if self._state.settings.hygiene_generation == 1:
            accepts = self._window(query, "start", "end")
            elements = [self._element(order) for order in reversed(orders) if accepts(order)]
        else:
            for wanted in self._filters(query):
                orders = [order for order in orders if wanted(order)]
            elements = _ordered([self._element(order) for order in orders], query.get("orderBy"))
        results = elements[page * limit : (page + 1) * limit]
        if "properties" in query and self._state.settings.hygiene_generation != 1:
            kept = query["properties"].split(",")
            results = [{name: item[name] for name in kept if name in item} for item in results]
        link = f"{exchange.base_url}/workorder"
        return JSONResponse(
            {
                "results": results,
                "total": len(elements),
                "count": len(results),
                "_links": {
                    "next": {"href": f"{link}?page={page + 1}&limit={limit}", "templated": False},
                    "page": {"href": f"{link}?limit={{limit}}&page={{page}}", "templated": True},
                },
            }
        )

    async def lookup(self, exchange: Exchange) -> Response:
        """``GET /workorder/{id}``."""
        order = self._find(exchange)
        element = self._element(order)
        if self._state.settings.hygiene_generation != 1 and self._stage(order) >= 2:
            element["productStatusDetails"] = self._products(order)
        return JSONResponse(element)

    async def rename(self, exchange: Exchange) -> Response:
        """``PUT /workorder/{id}``: ``displayName`` before generation 2, ``name`` since."""
        order = self._find(exchange)
        body = exchange.json_object()
        generation = self._state.settings.hygiene_generation
        name = _text(body, "displayName" if generation == 1 else "name", MAX_DISPLAY_NAME)
        description = _text(body, "description", MAX_DESCRIPTION)
        if name is None and description is None:
            raise _bad("Nothing to update.")
        order.display_name = order.display_name if name is None else name
        order.description = order.description if description is None else description
        order.renamed = self._state.clock.now()
        exchange.took_effect()
        return JSONResponse(self._element(order))

    async def quota(self, exchange: Exchange) -> Response:
        """``GET /quota``: of the organisation, whatever the sandbox."""
        settings = self._state.settings
        day = self._today()
        quotas = [
            (
                "datasetExpirationQuota",
                "The number of concurrently active dataset-expiration delete operations in all work order "
                "requests for the organization.",
                self._expirations.active(),
                settings.quota_expirations,
            ),
            (
                "dailyConsumerDeleteIdentitiesQuota",
                "The consumed number of deleted identities in all work order requests for the organization for today.",
                self._consumption.daily.get(day, 0),
                settings.quota_daily,
            ),
            (
                "monthlyConsumerDeleteIdentitiesQuota",
                "The consumed number of deleted identities in all work order requests for the organization this month.",
                self._consumption.monthly.get(day[:7], 0),
                settings.quota_monthly,
            ),
        ]
        wanted = exchange.query.get("quotaType")
        return JSONResponse(
            {
                "quotas": [
                    {"name": name, "description": text, "consumed": consumed, "quota": quota}
                    for name, text, consumed, quota in quotas
                    if wanted in (None, name)
                ]
            }
        )

    def _identities(self, body: dict[str, Any]) -> Identities:
        settings = self._state.settings
        single = body.get("identities")
        grouped = body.get("namespacesIdentities") if settings.hygiene_generation > 1 else None
        if single and grouped:
            raise _bad("Identities and NamespacesIdentities are not allowed at the same time")
        spellings = ["IDs"] if settings.hygiene_generation == 2 else ["ids"]
        if settings.accept_both_id_spellings:
            spellings = ["ids", "IDs"]
        try:
            if single:
                codes = [item["namespace"]["code"] for item in single]
                ids = [item["id"] for item in single]
            else:
                codes, ids = [], []
                for group in grouped or ():
                    for spelling in spellings:
                        some = group.get(spelling, [])
                        if not isinstance(some, list):
                            raise TypeError
                        ids += some
                        codes += [group["namespace"]["code"]] * len(some)
            digest = hashlib.sha256("\n".join(codes).encode())
            digest.update(b"\0")
            digest.update("\n".join(ids).encode())
        except (KeyError, TypeError, AttributeError):
            raise _bad("An identity needs a namespace code and an id.") from None
        if not ids:
            raise _bad("Identities are Empty for Delete Identity request.")
        if len(ids) > MAX_IDENTITIES:
            raise _bad(f"A work order may hold at most {MAX_IDENTITIES} identities.")
        return Identities(len(ids), sorted(set(codes)), digest.hexdigest())

    def _dataset(self, body: dict[str, Any]) -> str:
        dataset = body.get("datasetId")
        if not isinstance(dataset, str) or not dataset:
            raise _bad("datasetId is required.")
        if dataset == "ALL":
            return dataset
        parts = [part.strip() for part in dataset.split(",")]
        if len(parts) > 1 and self._state.settings.hygiene_generation < 3:
            raise _bad("datasetId must be one dataset id or ALL.")
        if "ALL" in parts or not all(re.fullmatch(r"[\w-]+", part) for part in parts):
            raise _bad("datasetId must be ALL, a dataset id or a list of dataset ids.")
        return ",".join(parts)

    def _services(self, body: dict[str, Any], dataset: str) -> tuple[str, ...]:
        services = body.get("targetServices")
        cja_only = self._state.settings.cja_only
        if services is None:
            return ("datalake",) if cja_only else ALL_SERVICES
        if not isinstance(services, list) or not all(isinstance(name, str) for name in services):
            raise _bad("targetServices must be an array of service names.")
        if cja_only:
            if services != ["datalake"]:
                raise _bad("targetServices must be [datalake] for this organization.")
        elif set(services) != PROFILE_ONLY or len(services) != len(PROFILE_ONLY):
            raise _bad("targetServices must be identity, profile and ajo.")
        elif dataset != "ALL":
            raise _bad("A profile-only delete requires datasetId ALL.")
        return tuple(services)

    def _refuse_small_orders(self, exchange: Exchange, count: int) -> None:
        limit = self._state.settings.small_order_limit
        if limit is None or count >= SMALL_ORDER:
            return
        wait = self._small_orders.wait(exchange.client_id, limit, SMALL_ORDER_WINDOW)
        if wait:
            raise refusals.problem(
                429,
                "Too Many Requests",
                "Send fewer and larger work orders.",
                {"Retry-After": str(wait)},
            )

    def _consume(self, exchange: Exchange, count: int) -> None:
        """Adobe documents no error for an exhausted quota; this is a plain 400 without a real code."""
        settings = self._state.settings
        day = self._today()
        for name, consumed, quota in (
            ("daily", self._consumption.daily.get(day, 0), settings.quota_daily),
            ("monthly", self._consumption.monthly.get(day[:7], 0), settings.quota_monthly),
        ):
            if settings.enforce_quota and consumed + count > quota:
                raise refusals.platform(
                    400,
                    f"The {name} quota of identities to delete is exceeded.",
                    org_id=settings.org_id,
                    client_id=exchange.client_id,
                )
        self._consumption.add(day, count)

    def _today(self) -> str:
        return datetime.fromtimestamp(self._state.clock.now(), UTC).date().isoformat()

    def _find(self, exchange: Exchange) -> WorkOrder:
        order = self._orders.get(exchange.path_params["id"])
        if (
            order is None
            or order.sandbox.name != exchange.where.name
            or not self._seen(order, self._state.settings.lookup_lag)
        ):
            raise refusals.gateway(404, "404003", "Work order not found.")
        return order

    def _seen(self, order: WorkOrder, lag: float) -> bool:
        return lag <= 0 or self._state.clock.age(order.created) >= lag

    def _stage(self, order: WorkOrder) -> int:
        settings = self._state.settings
        age = self._state.clock.age(order.created, settings.speed)
        return stage(age, settings.workorder_seconds)

    def _fails(self, order: WorkOrder) -> bool:
        targets = self._state.settings.fail_targets
        return order.display_name in targets or not targets.isdisjoint(order.dataset.split(","))

    def _status(self, order: WorkOrder) -> str:
        done = self._stage(order)
        if done >= len(STATUSES) - 1 and self._fails(order):
            return "failed"
        return STATUSES[min(done, len(STATUSES) - 1)]

    def _updated(self, order: WorkOrder) -> float:
        settings = self._state.settings
        done = min(self._stage(order), len(settings.workorder_seconds))
        passed = settings.workorder_seconds[done - 1] / settings.speed if done else 0.0
        moved = min(self._state.clock.now(), order.created.time + passed)
        return max(moved, order.renamed or 0.0)

    def _element(self, order: WorkOrder) -> dict[str, Any]:
        org_id = self._state.settings.org_id
        status = self._status(order)
        if self._state.settings.hygiene_generation == 1:
            message = json.dumps({"error": "The work order failed."}) if status == "failed" else status
            return {
                "workorderId": order.id,
                "orgId": org_id,
                "batchId": order.bundle,
                "bundleOrdinal": 1,
                "payloadByteSize": order.size,
                "operationCount": order.identities.count,
                "createdAt": int(order.created.time * 1000),
                "responseMessage": message,
                "status": status,
                "createdBy": CREATED_BY,
            }
        element = {
            "workorderId": order.id,
            "orgId": org_id,
            "bundleId": f"BN-{order.bundle}",
            "action": "identity-delete",
            "createdAt": iso_millis(order.created.time),
            "updatedAt": iso_millis(self._updated(order)),
            "operationCount": order.identities.count,
            "targetServices": list(order.services),
            "status": status,
            "createdBy": CREATED_BY,
            "datasetId": order.dataset,
            "datasetName": "ALL" if order.dataset == "ALL" else f"Dataset {order.dataset}",
        }
        if order.display_name is not None:
            element["displayName"] = order.display_name
        if order.description is not None:
            element["description"] = order.description
        return element

    def _products(self, order: WorkOrder) -> list[dict[str, Any]]:
        done = self._stage(order) >= len(STATUSES) - 1
        word = ("failure" if self._fails(order) else "success") if done else "waiting"
        now = iso_micros(self._updated(order))
        return [
            {"productName": _PRODUCTS[service], "productStatus": word, "createdAt": now} for service in order.services
        ]

    def _filters(self, query: dict[str, str]) -> list[Callable[[WorkOrder], bool]]:
        """The list filters of the current documents that are present in ``query``."""
        filters: list[Callable[[WorkOrder], bool]] = [self._window(query, "fromDate", "toDate")]
        if "search" in query:
            searched = query["search"].lower()
            filters.append(
                lambda order: any(
                    searched in (text or "").lower()
                    for text in (order.display_name, order.description, order.id, order.dataset)
                )
            )
        if "type" in query:
            filters.append(lambda order: query["type"] == "identity-delete")
        if "status" in query:
            statuses = query["status"].split(",")
            filters.append(lambda order: self._status(order) in statuses)
        if "author" in query:
            author = query["author"]
            pattern = author.removeprefix("LIKE ").strip("%") if author.startswith("LIKE ") else None
            filters.append(lambda order: author == CREATED_BY if pattern is None else pattern in CREATED_BY)
        if "displayName" in query:
            filters.append(lambda order: self._names(query["displayName"], order.display_name))
        if "description" in query:
            filters.append(lambda order: self._names(query["description"], order.description))
        if "workorderId" in query:
            filters.append(lambda order: order.id == query["workorderId"])
        if "filterDate" in query:
            day = _day(query, "filterDate")
            filters.append(
                lambda order: (
                    day
                    in (
                        datetime.fromtimestamp(order.created.time, UTC).date(),
                        datetime.fromtimestamp(self._updated(order), UTC).date(),
                    )
                )
            )
        return filters

    def _names(self, wanted: str, name: str | None) -> bool:
        wanted, name = wanted.lower(), (name or "").lower()
        return wanted == name if self._state.settings.display_name_match == "exact" else wanted in name

    def _window(self, query: dict[str, str], first: str, last: str) -> Callable[[WorkOrder], bool]:
        """Creation between two times, of which neither goes without the other."""
        if (first in query) != (last in query):
            raise _bad(f"{first} and {last} must be given together.")
        if first not in query:
            return lambda order: True
        begin, end = _instant(query, first), _instant(query, last, end_of_day=True)
        return lambda order: begin <= order.created.time <= end


def _bad(message: str) -> refusals.Refusal:
    return refusals.gateway(400, "400001", message)


def _text(body: dict[str, Any], name: str, longest: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise _bad(f"{name} must be text of at most {longest} characters.")
    return value


def _number(query: dict[str, str], name: str, default: int, least: int, most: int | None = None) -> int:
    try:
        return whole_number(query.get(name), default, least, most)
    except ValueError as wrong:
        raise _bad(f"{name} is {wrong}.") from None


def _day(query: dict[str, str], name: str) -> date:
    return datetime.fromtimestamp(_instant(query, name), UTC).date()


def _instant(query: dict[str, str], name: str, *, end_of_day: bool = False) -> float:
    """Epoch milliseconds, as generation 1 shows them, or ISO 8601."""
    text = query[name]
    if text.isascii() and text.isdecimal():
        return int(text) / 1000
    try:
        return instant(text, end_of_day=end_of_day)
    except ValueError:
        raise _bad(f"{name} is not a date.") from None


def _ordered(elements: list[dict[str, Any]], order_by: str | None) -> list[dict[str, Any]]:
    """Newest first, or by a documented field; ``+`` arrives as a blank where it was not encoded."""
    text = (order_by or "-createdAt").strip()
    descending = text.startswith("-")
    name = _ORDER_FIELDS.get(text.lstrip("+-"))
    if name is None:
        raise _bad("orderBy names an unknown field.")
    if name == "createdAt":
        return elements[::-1] if descending else elements
    return sorted(
        elements,
        key=lambda item: item[name] if name == "operationCount" else str(item.get(name, "")),
        reverse=descending,
    )
