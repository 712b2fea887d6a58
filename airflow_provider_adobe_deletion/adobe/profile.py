"""Profile system jobs: delete a dataset or a batch from the Real-Time Customer Profile store.

Adobe: *Profile system jobs API*, in all its generations: classic on Azure, AWS, and the cloud-neutral
one of 2026. Deletes from the Profile store only; the data lake is untouched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Reply, Service, checked_id, path_id
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeDuplicateError,
    AdobeNotFoundError,
    AdobeProtocolError,
    WrongTargetError,
)
from airflow_provider_adobe_deletion.adobe.jobs import (
    ALREADY_EXISTED,
    DeletionJob,
    JobKind,
    JobRef,
    JobState,
    newest,
    parse_time,
)

_PAGE_SIZE = 100
_MAX_PAGES = 50
_STATES = {
    "NEW": JobState.PENDING,
    "PROCESSING": JobState.RUNNING,
    "IN-PROGRESS": JobState.RUNNING,
    "COMPLETED": JobState.SUCCEEDED,
    "SUCCESS": JobState.SUCCEEDED,
    "ERROR": JobState.FAILED,
    "FAILED": JobState.FAILED,
}
_TRUNCATE = "TRUNCATE_DATASET"
_DELETIONS = {"DELETE", _TRUNCATE, "DELETE_EE_BATCH"}


class RecordBatchError(AdobeAPIError):
    """The batch belongs to a dataset of a record schema, whose batches Adobe cannot delete."""


@dataclass(frozen=True)
class ProfileTarget:
    """What a Profile delete job deletes: a whole dataset, or one batch.

    :param dataset_id: the dataset to delete whole; leave out for a batch.
    :param batch_id: the batch to delete; leave out for a dataset.
    :param batch_dataset_id: the dataset that the batch is in, where it is known.
    :raises TypeError: an id is not a string.
    :raises ValueError: neither or both are given, or an id cannot be one.
    """

    dataset_id: str | None = None
    batch_id: str | None = None
    batch_dataset_id: str | None = None

    def __post_init__(self) -> None:
        if (self.dataset_id is None) == (self.batch_id is None):
            raise ValueError("Give either dataset_id (to delete a whole dataset) or batch_id, and not both.")
        if self.dataset_id is not None and self.batch_dataset_id is not None:
            raise ValueError("batch_dataset_id goes with batch_id; to delete a whole dataset give only dataset_id.")
        for name in ("dataset_id", "batch_id", "batch_dataset_id"):
            if getattr(self, name) is not None:
                checked_id(getattr(self, name), name)

    def __str__(self) -> str:
        return f"batch {self.batch_id}" if self.batch_id else f"dataset {self.dataset_id}"

    def body(self) -> dict[str, str | None]:
        """Return the request body. ``dataSetId`` and ``batchId`` never meet: Adobe could truncate the dataset."""
        if self.batch_id is None:
            return {"dataSetId": self.dataset_id}
        if self.batch_dataset_id is None:
            return {"batchId": self.batch_id}
        return {"datasetId": self.batch_dataset_id, "batchId": self.batch_id}

    def is_of(self, job: DeletionJob) -> bool:
        """Whether ``job`` deletes exactly this."""
        if job.details.get("type") not in (None, *_DELETIONS):
            return False
        if self.batch_id is not None:
            return job.target.get("batch_id") == self.batch_id and job.details.get("type") != _TRUNCATE
        return job.target.get("dataset_id") == self.dataset_id and "batch_id" not in job.target


class _SystemJob(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(validation_alias=AliasChoices("requestId", "id"), min_length=1)
    type: str | None = Field(None, validation_alias=AliasChoices("requestType", "jobType"))
    dataset_id: str | None = Field(
        None, validation_alias=AliasChoices("dataSetId", "datasetId", AliasPath("properties", "datasetId"))
    )
    batch_id: str | None = Field(None, validation_alias=AliasChoices("batchId", AliasPath("properties", "batchId")))
    status: str | None = None
    created: Any = Field(None, validation_alias=AliasChoices("createEpoch", "createdAt"))
    updated: Any = Field(None, validation_alias=AliasChoices("updateEpoch", "updatedAt"))
    metrics: Any = None


@dataclass(frozen=True)
class JobPage:
    """One page of the list.

    :param next: where Adobe says the list goes on: a page number, an opaque token, or ``None``.
    :param total: how many jobs there are in all, where Adobe says so.
    """

    jobs: tuple[DeletionJob, ...]
    next: int | str | None
    total: int | None


@dataclass(frozen=True)
class JobList:
    """The jobs that a walk over the list saw.

    :param complete: ``False`` where the walk ended at its bound, so that a job not in it may exist.
    """

    jobs: tuple[DeletionJob, ...]
    complete: bool


def create_job(target: ProfileTarget) -> Call[DeletionJob]:
    """Ask for a delete job. Prefer :func:`create`, which also checks what Adobe made of it."""
    return Call(
        Service.PROFILE,
        "POST",
        "/system/jobs",
        f"create a Profile delete job for {target}",
        _read_job,
        body=target.body(),
        repeatable=False,
    )


def get_job(job_id: str) -> Call[DeletionJob]:
    """Look a job up by its id."""
    path = f"/system/jobs/{path_id(job_id, 'job_id')}"
    return Call(Service.PROFILE, "GET", path, f"look up Profile job {job_id}", _read_job)


def remove_job(job_id: str) -> Call[None]:
    """Remove a job. Only Azure documents it; that it stops a running deletion is not promised."""
    path = f"/system/jobs/{path_id(job_id, 'job_id')}"
    return Call(Service.PROFILE, "DELETE", path, f"remove Profile job {job_id}", lambda reply: None)


def list_page(params: Mapping[str, str], token: str | None = None) -> Call[JobPage]:
    """Return one page of the list; ``token`` is the opaque kind of ``next``, which goes into the path."""
    path = f"/system/jobs/{quote(token, safe='')}" if token else "/system/jobs"
    return Call(Service.PROFILE, "GET", path, "list the Profile jobs", _read_page, params=params)


def create(target: ProfileTarget, *, cloud: str, since: datetime | None = None) -> Flow[DeletionJob]:
    """Create a job, adopt the active one where Adobe says that it exists already, and check the target.

    :param cloud: ``azure`` or ``aws``, see :func:`list_jobs`.
    :param since: when this work was first attempted. An ended job that is younger is taken for ours.
    :raises AdobeDuplicateError: such a job exists, has ended, and is older.
    :raises RecordBatchError: the batch is of a record-schema dataset.
    :raises WrongTargetError: Adobe made a job for something else.
    """
    try:
        job: DeletionJob = yield create_job(target)
    except AdobeDuplicateError as duplicate:
        return (yield from _existing(target, duplicate, cloud, since))
    except AdobeAPIError as error:
        if (explained := _explained(target, error)) is None:
            raise
        raise explained from error
    _check_echo(target, job)
    return job


def list_jobs(cloud: str) -> Flow[JobList]:
    """Walk the list of jobs, whatever generation answers, and stop whatever the server says.

    The order is ascending in one generation and descending in another, so all pages are read, up to 50.
    A full page is followed even where ``totalCount`` is reached: it may count that page alone.

    :param cloud: ``aws`` takes no query parameters and answers once.
    """
    return (yield from _walk(cloud, _MAX_PAGES))


def newest_jobs(
    cloud: str, *, max_pages: int, enough: Callable[[Mapping[str, DeletionJob]], bool]
) -> Flow[tuple[DeletionJob, ...]]:
    """Walk the list where the newest jobs are, until it is enough; for somebody who knows the jobs' ids.

    The newest generation has the newest jobs on the last page, and numbered pages, so it is read from there.

    :param cloud: as for :func:`list_jobs`.
    :param max_pages: how many pages to read at the most.
    :param enough: whether what was found so far will do.
    """
    if cloud == "aws":
        return (yield from _walk(cloud, 1)).jobs
    first: JobPage = yield list_page(_numbered(0))
    found = {job.id: job for job in first.jobs}
    if type(first.next) is not int or first.total is None or first.total <= _PAGE_SIZE or enough(found):
        if max_pages > 1 and first.next is not None and not enough(found):
            return (yield from _walk(cloud, max_pages, enough)).jobs
        return tuple(found.values())
    last = (first.total - 1) // _PAGE_SIZE
    for number in range(last, max(0, last - max_pages + 1), -1):
        page: JobPage = yield list_page(_numbered(number))
        found.update((job.id, job) for job in page.jobs)
        if not page.jobs or enough(found):
            break
    return tuple(found.values())


def _numbered(page: int) -> dict[str, str]:
    return {"start": str(page), "limit": str(_PAGE_SIZE)}


def _walk(
    cloud: str,
    max_pages: int,
    enough: Callable[[Mapping[str, DeletionJob]], bool] = lambda found: False,
) -> Flow[JobList]:
    found: dict[str, DeletionJob] = {}
    params: dict[str, str] = {} if cloud == "aws" else _numbered(0)
    token: str | None = None
    for number in range(1, max_pages + 1):
        try:
            page: JobPage = yield list_page(params, token)
        except AdobeNotFoundError:
            if token is None:
                raise
            return JobList(tuple(found.values()), complete=False)
        new = [job for job in page.jobs if job.id not in found]
        found.update((job.id, job) for job in new)
        if enough(found):
            break
        if page.jobs and not new and token is None and number > 1 and isinstance(page.next, str):
            # Page numbers lead nowhere new; the documents put the opaque token into the path.
            params, token = {}, page.next
            continue
        everything = page.total is not None and len(found) >= page.total and len(page.jobs) < _PAGE_SIZE
        if not new or page.next is None or everything or cloud == "aws":
            return JobList(tuple(found.values()), complete=_complete(page, len(found), cloud))
        if isinstance(page.next, int):
            params = _numbered(page.next)
        elif token is not None:
            token = page.next
        else:
            params = {"page": str(number), "limit": str(_PAGE_SIZE)}
    return JobList(tuple(found.values()), complete=False)


def _complete(page: JobPage, found: int, cloud: str) -> bool:
    """Whether a walk that ended with ``page`` saw every job. A page that repeats others, yet goes on, is no end."""
    if page.total is not None:
        return found >= page.total
    if cloud == "aws":
        return found < _PAGE_SIZE
    return page.next is None or not page.jobs


def find(target: ProfileTarget, *, cloud: str, since: datetime | None = None) -> Flow[JobList]:
    """Walk the list for the jobs that delete exactly ``target``.

    :param since: leave out older jobs. Where the list is cut but shows older ones (AWS lists the newest
        first), it is complete for this purpose.
    """
    listed = yield from list_jobs(cloud)
    young = [job for job in listed.jobs if since is None or job.created_at is None or job.created_at >= since]
    reaches_back = cloud == "aws" and len(young) < len(listed.jobs)
    return JobList(tuple(job for job in young if target.is_of(job)), listed.complete or reaches_back)


def remove(job_id: str) -> Flow[bool]:
    """Remove a job and make sure that it is gone.

    :return: whether the job was there before.
    :raises AdobeAPIError: Adobe refused.
    :raises AdobeProtocolError: Adobe agreed, and still knows the job afterwards.
    """
    if not (yield from _exists(job_id)):
        return False
    refusal: AdobeNotFoundError | None = None
    try:
        yield remove_job(job_id)
    except AdobeNotFoundError as error:
        refusal = error
    if not (yield from _exists(job_id)):
        return True
    if refusal is None:
        raise AdobeProtocolError(f"Adobe accepted to remove Profile job {job_id}, but still has it.")
    raise AdobeAPIError(
        refusal.purpose,
        status=refusal.status,
        detail="the job exists, but this organisation's API has no call that removes one "
        "(only the Azure generation documents it)",
        code=refusal.code,
        request_id=refusal.request_id,
    ) from refusal


def remove_active(job_id: str) -> Flow[bool]:
    """Remove a job unless it has ended.

    :return: whether it was removed.
    :raises AdobeError: as :func:`remove`.
    """
    try:
        job: DeletionJob = yield get_job(job_id)
    except AdobeNotFoundError:
        return False
    return False if job.state.terminal else (yield from remove(job_id))


def _exists(job_id: str) -> Flow[bool]:
    try:
        yield get_job(job_id)
    except AdobeNotFoundError:
        return False
    return True


def _existing(
    target: ProfileTarget, duplicate: AdobeDuplicateError, cloud: str, since: datetime | None
) -> Flow[DeletionJob]:
    twins = (yield from find(target, cloud=cloud)).jobs
    active = [job for job in twins if not job.state.terminal]
    ours = [job for job in twins if since and job.created_at and job.created_at >= since]
    if active or ours:
        job = newest(active or ours)
        return replace(job, details={**job.details, ALREADY_EXISTED: True})
    raise AdobeDuplicateError(
        duplicate.purpose,
        status=duplicate.status,
        detail="; ".join(
            filter(
                None,
                [duplicate.detail, "no active job for it was found, and an earlier one is not taken for it"],
            )
        ),
        code=duplicate.code,
        request_id=duplicate.request_id,
    ) from duplicate


def _explained(target: ProfileTarget, error: AdobeAPIError) -> RecordBatchError | None:
    if target.batch_id is None or "batch can only be specified" not in error.detail.lower():
        return None
    return RecordBatchError(
        error.purpose,
        status=error.status,
        detail="the batch belongs to a dataset of a record schema, and Adobe cannot delete single batches of those, "
        "because each batch overwrites earlier records; delete the whole dataset, or ingest the records again. "
        f"Adobe says: {error.detail}",
        code=error.code,
        request_id=error.request_id,
    )


def _check_echo(target: ProfileTarget, job: DeletionJob) -> None:
    if target.batch_id is not None:
        right = job.target.get("batch_id") == target.batch_id and job.details.get("type") != _TRUNCATE
    else:
        right = job.target.get("dataset_id", target.dataset_id) == target.dataset_id and "batch_id" not in job.target
    if not right:
        made = ", ".join(f"{name} {value}" for name, value in job.target.items()) or "no target"
        raise WrongTargetError(
            f"Asked to delete {target} from the Profile store, Adobe created job {job.id} for something else "
            f"({job.details.get('type', 'no type')}: {made}). "
            "Look at that job at once: it may be deleting the wrong data.",
            job.id,
        )


def _read_job(reply: Reply) -> DeletionJob:
    job = _normalised(reply.body)
    checked_id(job.id, "the job's id")
    return job


def _normalised(body: Any) -> DeletionJob:
    job = _SystemJob.model_validate(body)
    status = job.status or ""
    target = {"dataset_id": job.dataset_id, "batch_id": job.batch_id}
    details: dict[str, Any] = {"type": job.type} if job.type else {}
    if metrics := _metrics(job.metrics):
        details["metrics"] = metrics
    return DeletionJob(
        ref=JobRef(JobKind.PROFILE, job.id),
        state=_STATES.get(status.upper().replace("_", "-"), JobState.UNKNOWN),
        status=status,
        target={name: value for name, value in target.items() if value},
        created_at=parse_time(job.created),
        updated_at=parse_time(job.updated),
        details=details,
    )


def _metrics(value: Any) -> dict[str, int | float]:
    """Read the metrics, which some generations send as a JSON string; only figures are kept."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(value, dict):
        return {}
    return {str(name): figure for name, figure in value.items() if _is_figure(figure)}


def _is_figure(value: Any) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _read_page(reply: Reply) -> JobPage:
    """Read a list: a bare array, or ``children`` with a ``_page`` whose members differ by generation."""
    if isinstance(reply.body, list):
        return JobPage(tuple(_normalised(entry) for entry in reply.body), None, None)
    if not isinstance(reply.body, dict) or not isinstance(reply.body.get("children", []), list):
        raise ValueError("not a list of jobs")
    page = reply.body.get("_page") or {}
    following = page.get("next")
    if isinstance(following, str) and following.isdecimal():
        following = int(following)
    total = page.get("totalCount")
    return JobPage(
        tuple(_normalised(entry) for entry in reply.body.get("children", [])),
        following if type(following) in (int, str) and following != "" else None,
        total if type(total) is int else None,
    )
