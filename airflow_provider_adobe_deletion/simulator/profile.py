"""Real-Time Customer Profile delete requests ("system jobs").

Follows "Profile system jobs endpoint" in its three generations: ``azure`` (all editions until 2025
and the Azure tab of 2025), ``aws`` (the AWS tab of 2025) and ``unified`` (2026).
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.gateway import Gateway, Route
from airflow_provider_adobe_deletion.simulator.parameters import whole_number
from airflow_provider_adobe_deletion.simulator.state import (
    Moment,
    Sandbox,
    State,
    iso_micros,
    stage,
)

PAGE = 100
_STATUSES = {
    "azure": ("NEW", "PROCESSING", "COMPLETED", "ERROR"),
    "aws": ("NEW", "IN-PROGRESS", "SUCCESS", "FAILED"),
    "unified": ("NEW", "IN-PROGRESS", "SUCCESS", "FAILED"),
}


@dataclass(slots=True)
class SystemJob:
    """One delete request. Without a batch it truncates the dataset."""

    id: str
    dataset: str | None
    batch: str | None
    sandbox: Sandbox
    created: Moment
    record_batch: bool
    removed: bool = False

    @property
    def target(self) -> tuple[str | None, str | None]:
        """What the job deletes: a whole dataset, or a batch whatever its dataset."""
        return (None if self.batch else self.dataset, self.batch)


class Profile:
    """``/data/core/ups/system/jobs``."""

    def __init__(self, state: State, gateway: Gateway) -> None:
        self._state = state
        self._jobs: dict[str, SystemJob] = {}
        path = "/data/core/ups/system/jobs"
        admit = gateway.platform
        self.routes = [
            Route("GET", path, self.list_jobs, admit),
            Route("POST", path, self.create, admit),
            Route("GET", f"{path}/{{id}}", self.lookup, admit),
            Route("DELETE", f"{path}/{{id}}", self.remove, admit),
        ]

    def reset(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs ever created, for the control interface."""
        return [
            {
                "service": "profile",
                "id": job.id,
                "sandbox": job.sandbox.name,
                "created": job.created.time,
                "status": self._status(job),
                "target": {"datasetId": job.dataset, "batchId": job.batch},
                "removed": job.removed,
            }
            for job in list(self._jobs.values())
        ]

    async def create(self, exchange: Exchange) -> Response:
        """``POST /system/jobs``."""
        self._require_sandbox_id(exchange)
        settings = self._state.settings
        body = exchange.json_object()
        dataset, batch = _target(body)
        if batch is not None:
            owner = settings.batches.get(batch)
            if dataset is not None and owner not in (None, dataset):
                raise refusals.system_job(400, f"Batch '{batch}' does not belong to dataset '{dataset}'")
            known_dataset = dataset or owner
            entity_type = settings.record_datasets.get(known_dataset or "")
        else:
            known_dataset, entity_type = dataset, None
        azure = settings.profile_shape == "azure"
        if entity_type is not None and azure:
            raise refusals.system_job(
                400,
                f"Batch can only be specified for EE type '{entity_type}'",
                nested_code="500",
            )
        job = SystemJob(
            id=str(uuid.uuid4()),
            dataset=dataset if azure else known_dataset,
            batch=batch,
            sandbox=exchange.where,
            created=self._state.clock.moment(),
            record_batch=entity_type is not None,
        )
        self._refuse_duplicate(job)
        self._jobs[job.id] = job
        exchange.took_effect()
        return JSONResponse(self._element(job))

    async def list_jobs(self, exchange: Exchange) -> Response:
        """``GET /system/jobs``, paged as each generation does."""
        self._require_sandbox_id(exchange)
        jobs = self._visible(exchange, self._state.settings.list_lag)
        shape = self._state.settings.profile_shape
        if shape == "aws":
            return JSONResponse([self._element(job) for job in jobs[::-1][:PAGE]])
        if shape == "unified":
            return self._unified_page(exchange, jobs)
        limit = _number(exchange, "limit", PAGE, 1)
        start = _number(exchange, "start", 0) + _number(exchange, "page", 0) * limit
        return self._azure_page(jobs, start, limit)

    async def lookup(self, exchange: Exchange) -> Response:
        """``GET /system/jobs/{id}``; on Azure also the next page of a list."""
        self._require_sandbox_id(exchange)
        job_id = exchange.path_params["id"]
        if self._state.settings.profile_shape == "azure":
            cursor = _read_cursor(job_id)
            if cursor is not None:
                jobs = self._visible(exchange, self._state.settings.list_lag)
                return self._azure_page(jobs, *cursor)
        for job in self._visible(exchange, self._state.settings.lookup_lag, job_id):
            return JSONResponse(self._element(job))
        raise refusals.system_job(404, f"Delete request '{job_id}' not found")

    async def remove(self, exchange: Exchange) -> Response:
        """Azure only; the other generations have no such route."""
        if self._state.settings.profile_shape != "azure":
            raise refusals.no_such_route()
        job_id = exchange.path_params["id"]
        for job in self._visible(exchange, self._state.settings.lookup_lag, job_id):
            job.removed = True
            exchange.took_effect()
            return Response(status_code=200)
        raise refusals.system_job(404, f"Delete request '{job_id}' not found")

    def _require_sandbox_id(self, exchange: Exchange) -> None:
        if self._state.settings.profile_shape == "aws" and ("x-sandbox-id" not in exchange.headers):
            raise refusals.platform(
                400,
                "The x-sandbox-id header is missing",
                org_id=self._state.settings.org_id,
                client_id=exchange.client_id,
            )

    def _visible(self, exchange: Exchange, lag: float, job_id: str | None = None) -> list[SystemJob]:
        """The sandbox's jobs a client may see yet, oldest first."""
        if job_id is None:
            candidates = list(self._jobs.values())
        else:
            found = self._jobs.get(job_id)
            candidates = [] if found is None else [found]
        return [
            job
            for job in candidates
            if not job.removed
            and job.sandbox.name == exchange.where.name
            and (lag <= 0 or self._state.clock.age(job.created) >= lag)
        ]

    def _refuse_duplicate(self, new: SystemJob) -> None:
        settings = self._state.settings
        rule = settings.profile_duplicate_422
        if rule == "never" or settings.profile_shape == "aws":
            return
        for job in self._jobs.values():
            if job.removed or job.sandbox.name != new.sandbox.name:
                continue
            if job.target != new.target:
                continue
            if rule == "ever" or self._stage(job) < 2:
                raise refusals.system_job(422, "Delete request (Profile System Job) already exists")

    def _stage(self, job: SystemJob) -> int:
        settings = self._state.settings
        age = self._state.clock.age(job.created, settings.speed)
        return stage(age, settings.profile_seconds)

    def _fails(self, job: SystemJob) -> bool:
        targets = self._state.settings.fail_targets
        return job.record_batch or job.dataset in targets or job.batch in targets

    def _status(self, job: SystemJob) -> str:
        done = self._stage(job)
        words = _STATUSES[self._state.settings.profile_shape]
        return words[3] if done >= 2 and self._fails(job) else words[min(done, 2)]

    def _updated(self, job: SystemJob) -> float:
        settings = self._state.settings
        done = min(self._stage(job), len(settings.profile_seconds))
        if not done:
            return job.created.time
        passed = settings.profile_seconds[done - 1] / settings.speed
        return min(self._state.clock.now(), job.created.time + passed)

    def _element(self, job: SystemJob) -> dict[str, Any]:
        org_id = self._state.settings.org_id
        status, updated = self._status(job), self._updated(job)
        if self._state.settings.profile_shape != "azure":
            properties = {"batchId": job.batch, "datasetId": job.dataset}
            return {
                "requestId": job.id,
                "requestType": "DELETE_EE_BATCH" if job.batch else "TRUNCATE_DATASET",
                "imsOrgId": org_id,
                "sandbox": {
                    "sandboxName": job.sandbox.name,
                    "sandboxId": job.sandbox.id,
                },
                "status": status,
                "properties": {k: v for k, v in properties.items() if v is not None},
                "createdAt": iso_micros(job.created.time),
                "updatedAt": iso_micros(updated),
            }
        element: dict[str, Any] = {"id": job.id, "imsOrgId": org_id}
        if job.batch is None:
            element["dataSetId"] = job.dataset
        else:
            if job.dataset is not None:
                element["datasetId"] = job.dataset
            element["batchId"] = job.batch
        element |= {"jobType": "DELETE", "status": status}
        if status != "NEW":
            records = 5 if status == "COMPLETED" else 0
            taken = max(1, int(updated - job.created.time))
            element["metrics"] = json.dumps(
                {"recordsProcessed": records, "timeTakenInSec": taken},
                separators=(",", ":"),
            )
        element["createEpoch"] = int(job.created.time)
        element["updateEpoch"] = int(updated)
        return element

    def _azure_page(self, jobs: list[SystemJob], start: int, limit: int) -> Response:
        """Newest first; ``next`` is opaque and belongs into the look-up path."""
        jobs = jobs[::-1]
        page = jobs[start : start + limit]
        info: dict[str, Any] = {"count": len(page)}
        if start + limit < len(jobs):
            info["next"] = _write_cursor(start + limit, limit)
        return JSONResponse({"_page": info, "children": [self._element(job) for job in page]})

    def _unified_page(self, exchange: Exchange, jobs: list[SystemJob]) -> Response:
        """Oldest first; ``start`` counts pages, and ``next`` is there even at the end."""
        limit = min(_number(exchange, "limit", PAGE, 1), PAGE)
        start = _number(exchange, "start", 0)
        page = jobs[start * limit : (start + 1) * limit]
        return JSONResponse(
            {
                "_page": {
                    "pageSize": len(page),
                    "start": str(start),
                    "totalCount": len(jobs),
                    "next": start + 1,
                },
                "children": [self._element(job) for job in page],
            }
        )


def _target(body: dict[str, Any]) -> tuple[str | None, str | None]:
    """Dataset and batch of a request body.

    ``dataSetId``, with a capital S, asks for a whole dataset; a ``batchId`` beside it is ignored.
    """
    for name in ("dataSetId", "datasetId", "batchId"):
        if name in body and not (isinstance(body[name], str) and body[name]):
            raise refusals.system_job(400, f"{name} must be a non-empty string")
    if "dataSetId" in body:
        return body["dataSetId"], None
    if "batchId" in body:
        return body.get("datasetId"), body["batchId"]
    raise refusals.system_job(400, "dataSetId or batchId is required")


def _number(exchange: Exchange, name: str, default: int, least: int = 0) -> int:
    try:
        return whole_number(exchange.query.get(name), default, least)
    except ValueError as wrong:
        raise refusals.system_job(400, f"{name} is {wrong}") from None


def _write_cursor(start: int, limit: int) -> str:
    return base64.urlsafe_b64encode(f"+RID:{start}#{limit}".encode()).decode()


def _read_cursor(text: str) -> tuple[int, int] | None:
    try:
        mark, _, numbers = base64.urlsafe_b64decode(text).decode().partition(":")
        start, _, limit = numbers.partition("#")
        return (int(start), int(limit)) if mark == "+RID" else None
    except ValueError:
        return None
