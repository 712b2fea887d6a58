"""Dataset expirations: delete a whole dataset at a given time.

Adobe: *Data Hygiene API*, endpoint ``/ttl``, in its generations of 2022, 2024 and now. A dataset has at most one
active expiration. Only a pending one can be moved or cancelled. What it deletes cannot be brought back here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Pause, Reply, Service, checked_id, path_id
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeNotFoundError,
    AdobeProtocolError,
    AmbiguousOutcomeError,
    WrongTargetError,
)
from airflow_provider_adobe_deletion.adobe.hygiene import (
    DESCRIPTION_LIMIT,
    DISPLAY_NAME_LIMIT,
    MAX_PAGES,
    PAGE_SIZE,
    Listing,
    ListPage,
    checked_text,
    walk,
)
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState, parse_time

NOTICE = timedelta(hours=24)
"""How far ahead an expiry must be."""

_STATES = {
    "pending": JobState.PENDING,
    "executing": JobState.RUNNING,
    "completed": JobState.SUCCEEDED,
    "executed": JobState.SUCCEEDED,
    # It has ended, and nothing was deleted.
    "cancelled": JobState.FAILED,
}
_DAYS = ("created", "updated", "cancelled", "completed", "executed", "expiry")
_FILTERS = frozenset(
    {
        *("author", "datasetId", "datasetName", "displayName", "description", "orderBy", "orgId", "sandboxName"),
        *("search", "status", "ttlId"),
        *(f"{day}{end}" for day in _DAYS for end in ("Date", "FromDate", "ToDate")),
    }
)
# A change may not show at once; how long it takes is not documented.
_LOOKS = (0.0, 2.0, 5.0, 10.0)


class _Expiration(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(validation_alias=AliasChoices("ttlId", "workorderId"), min_length=1)
    dataset_id: str | None = Field(None, validation_alias="datasetId")
    status: str | None = None
    expiry: Any = None
    display_name: str | None = Field(None, validation_alias="displayName")
    created: Any = Field(None, validation_alias="createdAt")
    updated: Any = Field(None, validation_alias="updatedAt")


def check_expiry(value: str | date | datetime, now: datetime | None = None) -> datetime:
    """Return an expiry as a time in UTC, in whole seconds.

    :param value: ISO 8601 text, a date or a time. Without a zone it is UTC; a date alone is its midnight.
    :param now: the current time, for tests.
    :raises TypeError: it is neither.
    :raises ValueError: it is no ISO 8601, or less than 24 hours ahead.
    """
    expiry = parse_expiry(value)
    if expiry - (now or datetime.now(UTC)) < NOTICE:
        raise ValueError(f"expiry is {expiry.isoformat()}; Adobe takes only what is at least 24 hours ahead.")
    return expiry


def parse_expiry(value: str | date | datetime) -> datetime:
    """Return an expiry as a time in UTC, in whole seconds, however far ahead; otherwise as :func:`check_expiry`."""
    return _moment(value).replace(microsecond=0)


def create_expiration(dataset_id: str, expiry: datetime, display_name: str, description: str = "") -> Call[DeletionJob]:
    """Ask for an expiration. Prefer :func:`create_or_move`, which also understands that there is one already.

    :param expiry: what :func:`check_expiry` returned.
    """
    body = {"datasetId": checked_id(dataset_id, "dataset_id"), **_members(expiry, display_name, description)}
    return Call(
        Service.HYGIENE,
        "POST",
        "/ttl",
        f"create an expiration of dataset {dataset_id}",
        _read_expiration,
        body=body,
        repeatable=False,
    )


def get_expiration(ttl_or_dataset_id: str) -> Call[DeletionJob]:
    """Look an expiration up by its own id or its dataset's."""
    path = f"/ttl/{path_id(ttl_or_dataset_id, 'ttl_id')}"
    return Call(Service.HYGIENE, "GET", path, f"look up the expiration {ttl_or_dataset_id}", _read_expiration)


def update_expiration(
    ttl_id: str, *, expiry: datetime | None = None, display_name: str = "", description: str = ""
) -> Call[DeletionJob]:
    """Change a pending expiration; what is left out stays as it is.

    :param ttl_id: its own id: Adobe does not take the dataset's here.
    :raises ValueError: nothing is to be changed.
    """
    body = _members(expiry, display_name, description)
    if not body:
        raise ValueError("Nothing to change: give expiry, display_name or description.")
    path = f"/ttl/{path_id(ttl_id, 'ttl_id')}"
    return Call(Service.HYGIENE, "PUT", path, f"change the expiration {ttl_id}", _read_expiration, body=body)


def cancel_expiration(ttl_or_dataset_id: str) -> Call[DeletionJob | None]:
    """Cancel a pending expiration. Prefer :func:`cancel`, which makes sure of it.

    :return: the expiration where Adobe answers with it; some generations answer with nothing, or a message.
    """
    path = f"/ttl/{path_id(ttl_or_dataset_id, 'ttl_id')}"
    return Call(Service.HYGIENE, "DELETE", path, f"cancel the expiration {ttl_or_dataset_id}", _read_cancelled)


def list_expirations(page: int = 0, filters: Mapping[str, str] | None = None) -> Call[ListPage]:
    """Return one page of the list.

    :param page: its number, from 0.
    :param filters: Adobe's query parameters, such as ``status`` or ``datasetId``.
    :raises ValueError: there is no such filter.
    """
    chosen = dict(filters or {})
    if unknown := sorted(set(chosen) - _FILTERS):
        raise ValueError(f"Expirations cannot be filtered by {', '.join(unknown)}.")
    params = {**chosen, "page": str(page), "limit": str(PAGE_SIZE)}
    return Call(Service.HYGIENE, "GET", "/ttl", "list the dataset expirations", _read_page, params=params)


def list_flow(filters: Mapping[str, str] | None = None, *, max_pages: int = MAX_PAGES) -> Flow[Listing]:
    """Walk the list of expirations; ``filters`` as for :func:`list_expirations`."""
    return (yield from walk(lambda page: list_expirations(page, filters), max_pages=max_pages))


def create_or_move(
    dataset_id: str,
    expiry: datetime,
    display_name: str,
    description: str = "",
    *,
    put_by_dataset: bool = False,
) -> Flow[DeletionJob]:
    """Make a dataset expire at ``expiry``, whether it has an expiration already or not. May be repeated.

    :param expiry: what :func:`check_expiry` returned.
    :param put_by_dataset: whether to use the ``PUT /ttl/{dataset id}`` of 2024 where there is no POST (404, 405).
    :raises AdobeAPIError: Adobe refused, or the dataset's expiration is executing and cannot be moved.
    :raises AmbiguousOutcomeError: whether Adobe created it is unknown, and it does not show.
    :raises WrongTargetError: Adobe set something else than was asked.
    """
    try:
        job: DeletionJob = yield create_expiration(dataset_id, expiry, display_name, description)
    except AmbiguousOutcomeError:
        existing = yield from _active(dataset_id)
        if existing is None or not _expires_at(existing, expiry):
            raise
        return existing
    except AdobeAPIError as refusal:
        if refusal.status in (404, 405) and put_by_dataset:
            job = yield _put_by_dataset(dataset_id, expiry, display_name, description)
        elif refusal.status in (400, 409, 422):
            # Adobe's 400 does not say reliably that an expiration exists, so look.
            existing = yield from _active(dataset_id)
            if existing is None:
                raise
            return (yield from _move(existing, expiry, display_name, description))
        else:
            raise
    return _checked_echo(job, dataset_id, expiry)


def ensure(
    dataset_id: str, expiry: datetime, display_name: str, description: str = "", *, put_by_dataset: bool = False
) -> Flow[DeletionJob]:
    """Make a dataset expire at ``expiry``; may be repeated at any time, also once that has begun or is done.

    An expiration that has this expiry, and was not cancelled, is returned in whatever state it is. Otherwise
    as :func:`create_or_move`.

    :param expiry: what :func:`parse_expiry` returned.
    :raises ValueError: there is none yet, and ``expiry`` is less than 24 hours ahead.
    """
    try:
        existing: DeletionJob = yield get_expiration(dataset_id)
    except AdobeNotFoundError:
        pass
    else:
        if _expires_at(existing, expiry) and not _is_cancelled(existing):
            return existing
    check_expiry(expiry)
    return (yield from create_or_move(dataset_id, expiry, display_name, description, put_by_dataset=put_by_dataset))


def cancel(ttl_or_dataset_id: str) -> Flow[DeletionJob]:
    """Cancel a pending expiration and make sure of it. May be repeated.

    :return: the cancelled expiration.
    :raises AdobeNotFoundError: there is no such expiration.
    :raises AdobeAPIError: it is not pending any more, or Adobe refused.
    :raises AdobeProtocolError: Adobe accepted, but the expiration does not show as cancelled.
    """
    before: DeletionJob = yield get_expiration(ttl_or_dataset_id)
    if _is_cancelled(before):
        return before
    refusal: AdobeAPIError | None = None
    answered: DeletionJob | None = None
    try:
        answered = yield cancel_expiration(before.id)
    except AdobeAPIError as error:
        if error.status not in (400, 404):
            raise
        refusal = error
    after = yield from _cancelled(before.id, looks=_LOOKS[:1] if refusal else _LOOKS)
    if after is not None:
        return after
    if refusal is not None:
        raise AdobeAPIError(
            refusal.purpose,
            status=refusal.status,
            detail="; ".join(filter(None, [refusal.detail, f"its status was {before.status or 'unknown'}"])),
            code=refusal.code,
            request_id=refusal.request_id,
        ) from refusal
    if answered is not None and _is_cancelled(answered):
        return answered
    raise AdobeProtocolError(
        f"Adobe accepted the cancellation of expiration {before.id}, but it does not show as cancelled."
    )


def _move(existing: DeletionJob, expiry: datetime, display_name: str, description: str) -> Flow[DeletionJob]:
    """Give an active expiration the expiry that is wanted, unless it has it."""
    if _expires_at(existing, expiry):
        return existing
    if existing.state is not JobState.PENDING:
        raise AdobeAPIError(
            f"move the expiration {existing.id}",
            status=400,
            detail=f"it is {existing.status or 'in an unknown status'}, and only a pending one can be moved",
        )
    moved: DeletionJob = yield update_expiration(
        existing.id, expiry=expiry, display_name=display_name, description=description
    )
    if "expiry" not in moved.details:
        moved = yield get_expiration(existing.id)
    return _checked_echo(moved, existing.target.get("dataset_id"), expiry)


def _active(dataset_id: str) -> Flow[DeletionJob | None]:
    """Return the dataset's expiration, unless there is none or it has ended."""
    try:
        job: DeletionJob = yield get_expiration(dataset_id)
    except AdobeNotFoundError:
        return None
    return None if job.state.terminal else job


def _cancelled(ttl_id: str, looks: tuple[float, ...]) -> Flow[DeletionJob | None]:
    for wait in looks:
        if wait:
            yield Pause(wait)
        try:
            job: DeletionJob = yield get_expiration(ttl_id)
        except AdobeNotFoundError:
            return None
        if _is_cancelled(job):
            return job
    return None


def _put_by_dataset(dataset_id: str, expiry: datetime, display_name: str, description: str) -> Call[DeletionJob]:
    path = f"/ttl/{path_id(dataset_id, 'dataset_id')}"
    body = _members(expiry, display_name, description)
    return Call(
        Service.HYGIENE, "PUT", path, f"set the expiration of dataset {dataset_id}", _read_expiration, body=body
    )


def _checked_echo(job: DeletionJob, dataset_id: str | None, expiry: datetime) -> DeletionJob:
    shown = job.target.get("dataset_id", dataset_id)
    if shown != dataset_id or ("expiry" in job.details and not _expires_at(job, expiry)):
        raise WrongTargetError(
            f"Asked to let dataset {dataset_id} expire at {expiry.isoformat()}, Adobe set expiration {job.id} of "
            f"dataset {shown} to {job.details.get('expiry', 'no time')}. Look at that expiration at once.",
            job.id,
        )
    return job


def _expires_at(job: DeletionJob, expiry: datetime) -> bool:
    shown = parse_time(job.details.get("expiry"))
    return shown is not None and shown.replace(microsecond=0) == expiry.replace(microsecond=0)


def _is_cancelled(job: DeletionJob) -> bool:
    return _status_name(job.status) == "cancelled"


def _status_name(status: str) -> str:
    name = status.lower()
    return "cancelled" if name == "canceled" else name


def _members(expiry: datetime | None, display_name: str, description: str) -> dict[str, str]:
    members = {
        "expiry": expiry.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if expiry else "",
        "displayName": checked_text(display_name, "display_name", DISPLAY_NAME_LIMIT),
        "description": checked_text(description, "description", DESCRIPTION_LIMIT, lines=True),
    }
    return {name: value for name, value in members.items() if value}


def _moment(value: str | date | datetime) -> datetime:
    if isinstance(value, str):
        text = value.strip()
        try:
            # Python takes any character between some parts.
            value = datetime.fromisoformat(text if text.isprintable() else "")
        except ValueError:
            raise ValueError("expiry is not an ISO 8601 date or time, such as 2030-12-31T00:00:00Z.") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise TypeError(f"expiry must be ISO 8601 text, a date or a time, not {type(value).__name__}.")
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("expiry is beyond the calendar: in UTC it has no year of four digits.") from None


def _read_expiration(reply: Reply) -> DeletionJob:
    return _normalised(reply.body)


def _read_cancelled(reply: Reply) -> DeletionJob | None:
    """Read the answer to a cancellation, of which only an object with an id says anything."""
    body = reply.body
    return _normalised(body) if isinstance(body, dict) and (body.get("ttlId") or body.get("workorderId")) else None


def _normalised(body: Any) -> DeletionJob:
    if not isinstance(body, dict) or not (body.get("ttlId") or body.get("workorderId")):
        raise ValueError("no ttlId")
    expiration = _Expiration.model_validate(body)
    details: dict[str, Any] = {}
    if expiry := parse_time(expiration.expiry):
        details["expiry"] = expiry.isoformat()
    if expiration.display_name is not None:
        details["display_name"] = expiration.display_name[:DISPLAY_NAME_LIMIT]
    return DeletionJob(
        ref=JobRef(JobKind.DATASET_EXPIRATION, expiration.id),
        state=_STATES.get(_status_name(expiration.status or ""), JobState.UNKNOWN),
        status=expiration.status or "",
        target={"dataset_id": expiration.dataset_id} if expiration.dataset_id else {},
        created_at=parse_time(expiration.created),
        updated_at=parse_time(expiration.updated),
        details=details,
    )


def _read_page(reply: Reply) -> ListPage:
    """Read a list: ``results`` with ``total_count``, or, in 2024, ``ttlDetails`` with ``totalRecords``."""
    body = reply.body if isinstance(reply.body, dict) else {}
    entries = body.get("results", body.get("ttlDetails"))
    if not isinstance(entries, list):
        raise ValueError("not a list of expirations")
    total = body.get("total_count", body.get("totalRecords"))
    return ListPage(
        tuple(_normalised(entry) for entry in entries),
        total if isinstance(total, int) and not isinstance(total, bool) else None,
    )
