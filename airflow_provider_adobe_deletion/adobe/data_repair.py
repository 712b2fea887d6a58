"""Data Repair: change or delete the values of variables in Adobe Analytics report suites.

Adobe: *Data Repair API* v1. A job takes a date range of one report suite and a job definition (see
:mod:`~airflow_provider_adobe_deletion.adobe.data_repair_definition`). It is billed by the rows that it
scans, it cannot be stopped, and what it changes cannot be restored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Reply, Service, path_id
from airflow_provider_adobe_deletion.adobe.data_repair_definition import same_definition
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState, parse_time

T = TypeVar("T")

MAX_MONTHS = 60
"""How many months back Adobe repairs data."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EARLIEST_ZONE = timezone(timedelta(hours=14))
_LATEST_ZONE = timezone(timedelta(hours=-12))
_CLOCK_TOLERANCE = timedelta(minutes=5)
_EPOCH = datetime.fromtimestamp(0, UTC)
_SUCCESS = {"complete", "completed", "success"}
_FAILURE = ("fail", "error", "abort", "cancel", "reject", "invalid")
_VOCABULARY = {"action", "condition", "variable"}
# Shorter values are everywhere in ordinary words, and hiding them would leave no error readable.
_SHORTEST_CONFIDENTIAL = 4


@dataclass(frozen=True)
class Estimate:
    """What a job would scan, and the leave to create it.

    :param report_suite_id: the report suite.
    :param date_range_start: the first day.
    :param date_range_end: the last day.
    :param server_calls: how many rows a job over these days scans, whatever its filters: the cost.
    :param validation_token: the leave. It holds for this suite and these days, and for one job.
    """

    report_suite_id: str
    date_range_start: date
    date_range_end: date
    server_calls: int
    validation_token: str = field(repr=False)


@dataclass(frozen=True)
class JobListing:
    """A job, and the definition that Adobe echoes.

    They are apart because a definition may hold personal data, and a job is logged and stored.

    :param definition: the echo, or ``None`` where Adobe sent none.
    """

    job: DeletionJob
    definition: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True)
class Usage:
    """What the jobs of a period have cost.

    :param server_calls: the rows scanned.
    :param job_count: how many jobs there were.
    :param global_company_id: the company.
    :param report_suite_id: the report suite, or ``None`` for the whole company.
    """

    server_calls: int
    job_count: int
    global_company_id: str | None
    report_suite_id: str | None


@dataclass(frozen=True)
class Company:
    """An Analytics company that the credential can see.

    :param org_id: the organisation that it belongs to.
    :param id: its global company id.
    :param name: its name.
    """

    org_id: str
    id: str
    name: str


class _Answer(BaseModel):
    model_config = ConfigDict(
        extra="ignore", alias_generator=to_camel, coerce_numbers_to_str=True, hide_input_in_errors=True
    )


class _Estimate(_Answer):
    report_suite_id: str
    date_range_start: str
    date_range_end: str
    server_call_estimate: int = Field(ge=0)
    validation_token: str = Field(min_length=1)


class _Job(_Answer):
    """A job. The answers of 2020 had nothing but the id, and a number in one place is text in another."""

    job_id: str = Field(min_length=1)
    status: str | None = None
    date_range_start: str | None = None
    date_range_end: str | None = None
    progress: Any = None
    server_calls: Any = None
    job_create_time: Any = None
    job_complete_time: Any = None
    job_definition: Any = None


class _Usage(_Answer):
    server_calls: int
    job_count: int
    global_company_id: str | None = None
    report_suite_id: str | None = None


class _Company(_Answer):
    global_company_id: str = Field(min_length=1)
    company_name: str | None = None


class _Organisation(_Answer):
    ims_org_id: str
    companies: list[_Company] = Field(default_factory=list)


class _Discovery(_Answer):
    ims_orgs: list[_Organisation]


def check_dates(start: str | date, end: str | date, *, now: datetime | None = None) -> tuple[date, date]:
    """Return the first and the last day of a repair, if Adobe can accept them.

    Adobe's rules: whole days, both inclusive, in the report suite's time zone; the range ends before the
    current month and starts within the last 60 months. The time zone is unknown here, and so is how Adobe
    counts the months. So the present month is taken from where it begins first (UTC+14), and 60 months
    back from the first day of the month where it ends last (UTC-12): what is refused here, Adobe refuses.

    :param start: the first day, ``YYYY-MM-DD`` or a date.
    :param end: the last day, ``YYYY-MM-DD`` or a date.
    :param now: the moment to judge by, with a time zone; left out, the present one.
    :raises ValueError: with all that is wrong with them.
    """
    days: list[date] = []
    problems: list[str] = []
    for name, value in (("date_range_start", start), ("date_range_end", end)):
        try:
            days.append(_day(value, name))
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise ValueError(" ".join(problems))

    now = now or datetime.now(UTC)
    first, last = days
    if first > last:
        problems.append(f"date_range_start ({first}) is after date_range_end ({last}).")
    current = now.astimezone(_EARLIEST_ZONE).date().replace(day=1)
    if last >= current:
        problems.append(f"date_range_end ({last}) must be before the current month, so before {current}.")
    oldest = _months_before(now.astimezone(_LATEST_ZONE).date(), MAX_MONTHS)
    if first < oldest:
        problems.append(
            f"date_range_start ({first}) is too long ago: Adobe repairs the last {MAX_MONTHS} months, "
            f"which began no earlier than {oldest}."
        )
    if problems:
        raise ValueError(" ".join(problems))
    return first, last


def authorise(report_suite_id: str) -> Call[str]:
    """Ask whether the credential may repair the report suite. A refusal is an :class:`AdobeAPIError`.

    :return: Adobe's ``status``, whose values it does not document.
    """
    return Call(
        Service.DATA_REPAIR,
        "GET",
        f"{_suite(report_suite_id)}/auth",
        f"check the right to repair report suite {report_suite_id}",
        lambda reply: str(reply.body["status"]),
    )


def estimate(report_suite_id: str, start: str | date, end: str | date) -> Call[Estimate]:
    """Ask what a job would scan, and for the token to create it. The token is best used at once."""
    first, last = _range(start, end)

    def read(reply: Reply) -> Estimate:
        body = _Estimate.model_validate(reply.body)
        echo = (body.report_suite_id.lower(), body.date_range_start, body.date_range_end)
        if echo != (report_suite_id.lower(), str(first), str(last)):
            raise ValueError("the estimate is for another report suite or other days")
        return Estimate(report_suite_id, first, last, body.server_call_estimate, body.validation_token)

    return Call(
        Service.DATA_REPAIR,
        "GET",
        f"{_suite(report_suite_id)}/serverCallEstimate",
        f"estimate a Data Repair job for report suite {report_suite_id}, {first} to {last}",
        read,
        params=_range_params(first, last),
    )


def create_job(
    report_suite_id: str, start: str | date, end: str | date, definition: Mapping[str, Any], token: str
) -> Call[DeletionJob]:
    """Create a job. It starts at once and cannot be stopped.

    :param definition: the request of a job definition.
    :param token: of an estimate for the same suite and days.
    """
    first, last = _range(start, end)
    return Call(
        Service.DATA_REPAIR,
        "POST",
        f"{_suite(report_suite_id)}/job",
        f"create a Data Repair job for report suite {report_suite_id}, {first} to {last}",
        lambda reply: _listing(reply.body, report_suite_id, (first, last)).job,
        params={"validationToken": token, **_range_params(first, last)},
        body=dict(definition),
        repeatable=False,
        confidential=_confidential(definition, token),
    )


def validate_only(
    report_suite_id: str, start: str | date, end: str | date, definition: Mapping[str, Any], token: str
) -> Call[DeletionJob | None]:
    """Ask Adobe to check a job definition without creating a job.

    Whether this uses the token up is not documented: take a fresh estimate before :func:`create_job`.

    :return: ``None`` where the definition is right. A job, should Adobe answer with one: it has been
        created, whatever was asked, and must be treated so.
    """
    first, last = _range(start, end)

    def read(reply: Reply) -> DeletionJob | None:
        return None if reply.body is None else _listing(reply.body, report_suite_id, (first, last)).job

    return Call(
        Service.DATA_REPAIR,
        "POST",
        f"{_suite(report_suite_id)}/job",
        f"validate a Data Repair job for report suite {report_suite_id}, {first} to {last}",
        read,
        params={"validationToken": token, **_range_params(first, last), "validateOnly": "true"},
        body=dict(definition),
        repeatable=False,
        confidential=_confidential(definition, token),
    )


def get_job(report_suite_id: str, job_id: str) -> Call[DeletionJob]:
    """Look a job up by its id."""
    return Call(
        Service.DATA_REPAIR,
        "GET",
        f"{_suite(report_suite_id)}/job/{path_id(job_id, 'job_id')}",
        f"look up Data Repair job {job_id} of report suite {report_suite_id}",
        lambda reply: _listing(reply.body, report_suite_id).job,
    )


def list_jobs(report_suite_id: str) -> Call[tuple[DeletionJob, ...]]:
    """Return the 20 most recent jobs of the report suite, running and ended; Adobe has no more pages."""
    return _job_list(report_suite_id, lambda listings: tuple(listing.job for listing in listings))


def list_jobs_with_definitions(report_suite_id: str) -> Call[tuple[JobListing, ...]]:
    """Return the jobs of :func:`list_jobs`, each with its definition, which may hold personal data."""
    return _job_list(report_suite_id, tuple)


def usage(start: str | date, end: str | date, report_suite_id: str | None = None) -> Call[Usage]:
    """Return what the jobs from ``start`` to ``end`` have cost, in the company or in one report suite."""
    first, last = _range(start, end)
    whose = f"of report suite {report_suite_id}" if report_suite_id is not None else "of the company"

    def read(reply: Reply) -> Usage:
        body = _Usage.model_validate(reply.body)
        return Usage(body.server_calls, body.job_count, body.global_company_id, body.report_suite_id)

    return Call(
        Service.DATA_REPAIR,
        "GET",
        f"{_suite(report_suite_id) if report_suite_id is not None else ''}/usage",
        f"read the Data Repair usage {whose}, {first} to {last}",
        read,
        params=_range_params(first, last),
    )


def find(
    report_suite_id: str,
    start: str | date,
    end: str | date,
    definition: Mapping[str, Any],
    since: datetime,
    known_ids: Collection[str] = (),
) -> Flow[tuple[DeletionJob, ...]]:
    """Look for the job that a request of unknown outcome may have created.

    A job of the same days and definition counts if it is not older than the request, but for some minutes
    that the clocks may differ, and if it was not there before. A job whose creation time or definition
    Adobe does not tell counts too: overlooking ours would pay for it twice.

    :param definition: the request of the job definition that was sent.
    :param since: when the job was first asked for, with a time zone.
    :param known_ids: the jobs that were there before.
    :return: such jobs, the newest first.
    """
    first, last = _range(start, end)
    days = {"date_range_start": str(first), "date_range_end": str(last)}
    listings: tuple[JobListing, ...] = yield list_jobs_with_definitions(report_suite_id)
    ours = [
        listing.job
        for listing in listings
        if listing.job.id not in known_ids
        and days.items() <= listing.job.target.items()
        and (listing.job.created_at is None or listing.job.created_at >= since - _CLOCK_TOLERANCE)
        and (listing.definition is None or same_definition(definition, listing.definition))
    ]
    return tuple(sorted(ours, key=lambda job: job.created_at or _EPOCH, reverse=True))


def discover() -> Call[tuple[Company, ...]]:
    """Return the Analytics companies that the credential can see. Adobe: *Analytics discovery API*."""
    return Call(Service.DISCOVERY, "GET", "/me", "list the Analytics companies of this credential", _read_companies)


def choose_company(companies: Iterable[Company], org_id: str) -> Company:
    """Return the one Analytics company of the organisation.

    :raises AdobeConfigError: it has none, or several, so that the connection must name one.
    """
    seen = tuple(companies)
    matching = [company for company in seen if company.org_id.lower() == org_id.lower()]
    if len(matching) == 1:
        return matching[0]
    if matching:
        choices = ", ".join(f"{company.name} ({company.id})" for company in matching)
        raise AdobeConfigError(
            f"Organisation {org_id} has {len(matching)} Analytics companies: {choices}. "
            "Set the Adobe connection's global_company_id to one of these ids."
        )
    others = ", ".join(f"{company.name} ({company.id}, organisation {company.org_id})" for company in seen) or "none"
    raise AdobeConfigError(
        f"The credential sees no Analytics company of organisation {org_id}; the companies that it sees: {others}. "
        "Check the Adobe connection's org_id, or set global_company_id."
    )


def _job_list(report_suite_id: str, result: Callable[[Iterable[JobListing]], T]) -> Call[T]:
    def read(reply: Reply) -> T:
        if not isinstance(reply.body, list):
            raise ValueError("not a list of jobs")
        return result([_listing(entry, report_suite_id) for entry in reply.body])

    return Call(
        Service.DATA_REPAIR,
        "GET",
        f"{_suite(report_suite_id)}/job",
        f"list the Data Repair jobs of report suite {report_suite_id}",
        read,
    )


def _listing(body: Any, report_suite_id: str, asked: tuple[date, date] | None = None) -> JobListing:
    """Read one job; ``asked`` are the days to note where the answer to a creation names none."""
    job = _Job.model_validate(body)
    first, last = asked or (None, None)
    target = {
        "report_suite_id": report_suite_id,
        "date_range_start": job.date_range_start or first,
        "date_range_end": job.date_range_end or last,
    }
    return JobListing(
        DeletionJob(
            ref=JobRef(JobKind.DATA_REPAIR, job.job_id, {"report_suite_id": report_suite_id}),
            state=_state(job.status),
            status=job.status or "",
            target={name: str(value) for name, value in target.items() if value},
            created_at=parse_time(job.job_create_time),
            updated_at=parse_time(job.job_complete_time),
            details={"server_calls": _figure(job.server_calls), "progress": _figure(job.progress)},
        ),
        job.job_definition if isinstance(job.job_definition, dict) else None,
    )


def _state(status: str | None) -> JobState:
    """Read a status. Adobe documents ``processing`` and ``complete``, and that jobs fail, but not how it says so."""
    if not status:
        return JobState.PENDING
    word = status.strip().lower()
    if word in _SUCCESS:
        return JobState.SUCCEEDED
    if any(part in word for part in _FAILURE):
        return JobState.FAILED
    return JobState.RUNNING if word == "processing" else JobState.UNKNOWN


def _figure(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _read_companies(reply: Reply) -> tuple[Company, ...]:
    return tuple(
        Company(organisation.ims_org_id, company.global_company_id, company.company_name or company.global_company_id)
        for organisation in _Discovery.model_validate(reply.body).ims_orgs
        for company in organisation.companies
    )


def _suite(report_suite_id: str) -> str:
    return f"/{path_id(report_suite_id, 'report_suite_id')}"


def _day(value: str | date, name: str) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    shown = repr(value[:60]) if isinstance(value, str) else type(value).__name__
    raise ValueError(f"{name} must be a day, written YYYY-MM-DD, not {shown}.")


def _range(start: str | date, end: str | date) -> tuple[date, date]:
    return _day(start, "date_range_start"), _day(end, "date_range_end")


def _range_params(first: date, last: date) -> dict[str, str]:
    return {"dateRangeStart": str(first), "dateRangeEnd": str(last)}


def _months_before(day: date, months: int) -> date:
    """Return the first day of the month that is ``months`` before that of ``day``."""
    count = day.year * 12 + day.month - 1 - months
    return date(count // 12, count % 12 + 1, 1)


def _confidential(definition: Mapping[str, Any], token: str) -> tuple[str, ...]:
    """Return what an error text must not repeat: the token, also as it is in the URL, and the definition's values."""
    values = {text for text in _values(definition) if len(text) >= _SHORTEST_CONFIDENTIAL}
    # The longest first: a value may be a part of another one, of which the rest would remain.
    return (token, quote(token, safe=""), *sorted(values, key=len, reverse=True))


def _values(node: Any, name: str = "") -> Iterator[str]:
    if isinstance(node, Mapping):
        for member, value in node.items():
            yield from _values(value, member)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _values(value, name)
    elif isinstance(node, str) and name not in _VOCABULARY:
        yield node
