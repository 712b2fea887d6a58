"""Analytics: the Data Repair API, and the discovery call that finds the company.

Follows "Data Repair API" (server call estimate, job, JSON body, usage, FAQ) and "Discovery API". What
those documents leave open (every error, the word for a failed job) is our choice; see ``Settings``.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from starlette.responses import JSONResponse, Response

from airflow_provider_adobe_deletion.simulator import refusals, repair_definition
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.gateway import Gateway, Handler, Route
from airflow_provider_adobe_deletion.simulator.state import Moment, State, iso_seconds

LISTED_JOBS = 20
MONTHS_BACK = 60
FIRST_JOB_ID = 24
CALLS_AT_START = 100
"""``serverCalls`` of a job just created; the documents show such a number, unrelated to the estimate."""
VOLUME_TOLERANCE = 0.1
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(slots=True)
class RepairJob:
    """One repair of a report suite."""

    id: int
    suite: str
    start: str
    end: str
    definition: Any
    created: Moment
    rows: int


class DataRepair:
    """``/api/{gcid}/datarepair/v1`` and ``/discovery/me``."""

    def __init__(self, state: State, gateway: Gateway) -> None:
        self._state = state
        self._fernet = Fernet(Fernet.generate_key())
        self._jobs: dict[str, RepairJob] = {}
        self._consumed: set[str] = set()
        self._ids = itertools.count(FIRST_JOB_ID)
        base = "/api/{gcid}/datarepair/v1"
        routes: list[tuple[str, str, Handler]] = [
            ("GET", f"{base}/{{rsid}}/job/{{id}}", self.lookup),
            ("GET", f"{base}/{{rsid}}/job", self.list_jobs),
            ("POST", f"{base}/{{rsid}}/job", self.create),
            ("GET", f"{base}/{{rsid}}/serverCallEstimate", self.estimate),
            ("GET", f"{base}/{{rsid}}/auth", self.auth),
            ("GET", f"{base}/{{rsid}}/usage", self.usage),
            ("GET", f"{base}/usage", self.usage),
            ("GET", "/discovery/me", self.discover),
        ]
        self.routes = [Route(method, path, handler, gateway.analytics) for method, path, handler in routes]

    def reset(self) -> None:
        """Forget all jobs; estimates given out stay good."""
        self._jobs.clear()
        self._consumed.clear()
        self._ids = itertools.count(FIRST_JOB_ID)

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs ever created, for the control interface."""
        return [
            {
                "service": "data_repair",
                "id": str(job.id),
                "sandbox": None,
                "created": job.created.time,
                "status": self._status(job),
                "target": {
                    "reportSuiteId": job.suite,
                    "dateRangeStart": job.start,
                    "dateRangeEnd": job.end,
                    "jobDefinition": job.definition,
                },
                "removed": False,
            }
            for job in list(self._jobs.values())
        ]

    async def discover(self, exchange: Exchange) -> Response:
        """``GET /discovery/me``: a stranger's organisation comes first, as it well may."""
        settings = self._state.settings
        orgs = {**settings.other_companies, settings.org_id: settings.global_company_ids}
        return JSONResponse(
            {
                "imsUserId": "SIMULATOR@techacct.adobe.com",
                "imsOrgs": [
                    {
                        "imsOrgId": org_id,
                        "companies": [
                            {
                                "globalCompanyId": company,
                                "companyName": company.capitalize(),
                                "apiRateLimitPolicy": "aa_api_tier10_tp",
                                "dpc": "sin",
                            }
                            for company in companies
                        ],
                    }
                    for org_id, companies in orgs.items()
                ],
            }
        )

    async def auth(self, exchange: Exchange) -> Response:
        """``GET /{rsid}/auth``."""
        self._suite(exchange)
        return JSONResponse({"status": "authorized"})

    async def estimate(self, exchange: Exchange) -> Response:
        """``GET /{rsid}/serverCallEstimate``: the price, and the token without which nothing runs."""
        suite = self._suite(exchange)
        start, end = self._repair_range(exchange)
        rows = self._rows(suite, start, end)
        claims = {
            "rsid": suite,
            "start": start.isoformat(),
            "end": end.isoformat(),
            "rows": rows,
            "nonce": str(uuid.uuid4()),
        }
        token = self._fernet.encrypt_at_time(json.dumps(claims).encode(), int(self._state.clock.now()))
        self._state.secrets.add(token.decode())
        return JSONResponse(
            {
                "dateRangeEnd": end.isoformat(),
                "dateRangeStart": start.isoformat(),
                "reportSuiteId": suite,
                "serverCallEstimate": rows,
                "validationToken": token.decode(),
            }
        )

    async def create(self, exchange: Exchange) -> Response:
        """``POST /{rsid}/job``."""
        settings = self._state.settings
        suite = self._suite(exchange)
        start, end = self._repair_range(exchange)
        validate_only = _flag(exchange, "validateOnly")
        rows = self._rows(suite, start, end)
        nonce = self._check_token(exchange, suite, start, end, rows)
        definition = _definition(exchange)
        if validate_only and settings.validate_only_answer == "204":
            return Response(status_code=204)
        if any(job.suite == suite and self._running(job) for job in self._jobs.values()):
            raise refusals.analytics(
                400, "job_already_running", f"A repair job is already running for report suite {suite}."
            )
        job = RepairJob(
            next(self._ids),
            suite,
            start.isoformat(),
            end.isoformat(),
            definition,
            self._state.clock.moment(),
            rows,
        )
        self._jobs[str(job.id)] = job
        self._consumed.add(nonce)
        exchange.took_effect()
        return JSONResponse({**self._element(job), "jobId": job.id}, 201)

    async def list_jobs(self, exchange: Exchange) -> Response:
        """``GET /{rsid}/job``: the 20 most recent jobs of the suite, no more, oldest of them first."""
        suite = self._suite(exchange)
        lag = self._state.settings.list_lag
        jobs = [job for job in self._jobs.values() if job.suite == suite and self._seen(job, lag)]
        return JSONResponse([self._element(job) for job in jobs[-LISTED_JOBS:]])

    async def lookup(self, exchange: Exchange) -> Response:
        """``GET /{rsid}/job/{jobId}``."""
        suite = self._suite(exchange)
        job = self._jobs.get(exchange.path_params["id"])
        if job is None or job.suite != suite or not self._seen(job, self._state.settings.lookup_lag):
            raise refusals.analytics(404, "job_not_found", "The job does not exist.")
        return JSONResponse(self._element(job))

    async def usage(self, exchange: Exchange) -> Response:
        """``GET /usage`` and ``GET /{rsid}/usage``: what jobs completed in the range have scanned."""
        suite = self._suite(exchange) if "rsid" in exchange.path_params else None
        self._company(exchange)
        start, end = _range(exchange)
        jobs = [
            job
            for job in self._jobs.values()
            if suite in (None, job.suite)
            and self._status(job) == "complete"
            and start <= datetime.fromtimestamp(self._completed(job), UTC).date() <= end
        ]
        answer = {
            "serverCalls": sum(job.rows for job in jobs),
            "jobCount": len(jobs),
            "dateRangeStart": start.isoformat(),
            "dateRangeEnd": end.isoformat(),
            "globalCompanyId": exchange.path_params["gcid"],
        }
        return JSONResponse(answer if suite is None else {**answer, "reportSuiteId": suite})

    def _company(self, exchange: Exchange) -> None:
        if exchange.path_params["gcid"] not in self._state.settings.global_company_ids:
            raise refusals.analytics(400, "invalid_company", "Cannot find proper global company ID")

    def _suite(self, exchange: Exchange) -> str:
        self._company(exchange)
        suite = exchange.path_params["rsid"]
        known = self._state.settings.report_suites
        if known is not None and suite not in known:
            raise refusals.analytics(404, "report_suite_not_found", f"Report suite {suite} not found.")
        return suite

    def _repair_range(self, exchange: Exchange) -> tuple[date, date]:
        """A range that ends before this month and starts at most 60 calendar months before it."""
        start, end = _range(exchange)
        today = datetime.fromtimestamp(self._state.clock.now(), UTC).date()
        this_month = today.year * 12 + today.month - 1
        if end.year * 12 + end.month - 1 >= this_month:
            raise refusals.analytics(400, "invalid_date_range", "The date range must end before the current month.")
        if start.year * 12 + start.month - 1 < this_month - MONTHS_BACK:
            raise refusals.analytics(
                400, "invalid_date_range", f"The date range must start within {MONTHS_BACK} months."
            )
        return start, end

    def _rows(self, suite: str, start: date, end: date) -> int:
        settings = self._state.settings
        per_day = settings.suite_rows_per_day.get(suite, settings.rows_per_day)
        return ((end - start).days + 1) * per_day

    def _check_token(self, exchange: Exchange, suite: str, start: date, end: date, rows: int) -> str:
        """The nonce of the validation token, once it fits this very request."""
        lifetime = self._state.settings.validation_token_lifetime
        token = _required(exchange, "validationToken").encode()
        try:
            if lifetime is None:
                payload = self._fernet.decrypt(token)
            else:
                payload = self._fernet.decrypt_at_time(token, int(lifetime), int(self._state.clock.now()))
        except InvalidToken:
            raise _bad_token("The validation token is invalid or has expired.") from None
        claims = json.loads(payload)
        if (claims["rsid"], claims["start"], claims["end"]) != (
            suite,
            start.isoformat(),
            end.isoformat(),
        ):
            raise _bad_token("The validation token was issued for another report suite or date range.")
        if claims["nonce"] in self._consumed:
            raise _bad_token("The validation token has already been used.")
        if abs(rows - claims["rows"]) > VOLUME_TOLERANCE * claims["rows"]:
            raise _bad_token("The data volume has changed since the estimate; request a new one.")
        return str(claims["nonce"])

    def _seen(self, job: RepairJob, lag: float) -> bool:
        return lag <= 0 or self._state.clock.age(job.created) >= lag

    def _running(self, job: RepairJob) -> bool:
        settings = self._state.settings
        return self._state.clock.age(job.created, settings.speed) < settings.repair_seconds

    def _status(self, job: RepairJob) -> str:
        if self._running(job):
            return "processing"
        settings = self._state.settings
        return settings.repair_failed_status if job.suite in settings.fail_targets else "complete"

    def _completed(self, job: RepairJob) -> float:
        settings = self._state.settings
        ended = job.created.time + settings.repair_seconds / settings.speed
        return min(self._state.clock.now(), ended)

    def _element(self, job: RepairJob) -> dict[str, Any]:
        settings = self._state.settings
        status = self._status(job)
        running = status == "processing"
        age = self._state.clock.age(job.created, settings.speed)
        return {
            "jobId": str(job.id),
            "status": status,
            # A failed job ends at 100 as well: progress alone does not tell success.
            "progress": min(99, int(100 * age / settings.repair_seconds)) if running else 100,
            "jobCompleteTime": None if running else iso_seconds(self._completed(job)),
            "jobCreateTime": iso_seconds(job.created.time),
            "serverCalls": job.rows if status == "complete" else CALLS_AT_START,
            "reportSuiteId": job.suite,
            "dateRangeStart": job.start,
            "dateRangeEnd": job.end,
            "jobDefinition": job.definition,
        }


def _bad_token(description: str) -> refusals.Refusal:
    return refusals.analytics(400, "invalid_validation_token", description)


def _required(exchange: Exchange, name: str) -> str:
    value = exchange.query.get(name)
    if not value:
        raise refusals.analytics(400, "missing_parameter", f"Parameter {name} is required.")
    return value


def _range(exchange: Exchange) -> tuple[date, date]:
    start, end = (_date(name, _required(exchange, name)) for name in ("dateRangeStart", "dateRangeEnd"))
    if start > end:
        raise refusals.analytics(400, "invalid_date_range", "The date range ends before it starts.")
    return start, end


def _date(name: str, text: str) -> date:
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise refusals.analytics(400, "invalid_date", f"{name} must be a date like 2024-01-31.")


def _flag(exchange: Exchange, name: str) -> bool:
    text = exchange.query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise refusals.analytics(400, "invalid_parameter", f"{name} must be true or false.")
    return text == "true"


def _definition(exchange: Exchange) -> Any:
    if "application/json" not in exchange.headers.get("content-type", ""):
        raise refusals.analytics(415, "unsupported_media_type", "Content-Type must be application/json.")
    try:
        definition = exchange.json()
        repair_definition.check(definition)
    except repair_definition.InvalidDefinition as invalid:
        raise refusals.analytics(400, "invalid_job_definition", str(invalid)) from None
    except ValueError:
        raise refusals.analytics(400, "invalid_job_definition", "The body is not valid JSON.") from None
    return definition
