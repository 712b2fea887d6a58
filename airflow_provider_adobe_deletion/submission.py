"""Submit once, whatever crashes.

Before a creating request is sent, the intent is recorded, and after it, the job's id. Whoever comes next
(a retry, a cleared task, a resubmission after a lost answer) looks at that record and at Adobe's lists
before it asks for anything again. The rules:

- A recorded job is looked up: running or succeeded is adopted, failed is submitted anew.
- An intent without a job is searched for. Found: adopted. Look-up failed: nothing is submitted. Absent: the
  search goes on until the settle time has passed since the attempt and three looks in a row saw nothing.
- The identity of a submission never contains the try number: a retry must find what the try before it left.

This module decides; the client sends. It imports no Airflow.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from airflow_provider_adobe_deletion.adobe.calls import Flow, Pause
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeError,
    AdobeNotFoundError,
    AmbiguousOutcomeError,
)
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobRef, JobState, newest
from airflow_provider_adobe_deletion.adobe.waiting import lookup, utc_now

log = logging.getLogger(__name__)

RESUBMIT = "resubmit"
FAIL = "fail"
ADOPT = "adopt"

_RECORD_VERSION = 1
_KEY = "adobe_submission"
_CLOCK_SKEW = timedelta(minutes=5)
_VISIBLE_WITHIN = timedelta(minutes=2)
_LOOKS_UNTIL_ABSENT = 3
_FIRST_WAIT = 5.0
_LONGEST_WAIT = 60.0
_POSTS_PER_RUN = 3


class SubmissionError(AdobeError):
    """Nothing was submitted, and a retry would not change that; the message says how to go on."""


class IndeterminateError(SubmissionError):
    """It cannot be told whether Adobe has the job, so a person must decide."""


class ChangedInputError(SubmissionError):
    """What is to be submitted is not what this task submitted, or tried to, before."""


class Blocked(Exception):
    """Another job must end first; wait for it and come again."""

    def __init__(self, job: DeletionJob, reason: str) -> None:
        super().__init__(reason)
        self.job = job
        self.reason = reason


class StateStore(Protocol):
    """Where a submission's record lives: Airflow's task state store, or nothing on Airflow before 3.3."""

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep the value until it is replaced."""


@dataclass(frozen=True)
class Identity:
    """Whose submission it is.

    :param submission_key: what the user added to tell one submission of a task from another.
    :param generation: ``ti.max_tries``: constant over retries, raised only when a user clears the task.
    :param first_try: whether this task has never run before, retries and clears included.
    :param cleared: whether a user has cleared the task before.
    :param since: a time before which this task cannot have submitted anything.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    submission_key: str | None
    generation: int
    first_try: bool
    cleared: bool
    since: datetime

    @property
    def marker(self) -> str:
        """A short digest that tells this task's submissions from all others, the same for every try."""
        parts = (self.dag_id, self.run_id, self.task_id, str(self.map_index), self.submission_key or "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Found:
    """What a search saw.

    :param complete: whether a job that is not in it does not exist (as far as lists can be trusted).
    """

    jobs: tuple[DeletionJob, ...]
    complete: bool


class Work(Protocol):
    """What a service adds: how to create its job, and how to find one that may exist."""

    @property
    def what(self) -> str:
        """What is submitted, for messages, such as "a Profile delete job for dataset 5c80…"."""

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What the job is made of, by name, as ids and digests: never identity values."""

    def create(self, since: datetime) -> Flow[DeletionJob]:
        """Send the one creating request. ``since`` is when this work was first attempted."""

    def find(self, since: datetime) -> Flow[Found] | None:
        """Search the lists for jobs that do exactly this; ``None`` where that is not possible."""


@dataclass(frozen=True)
class Submitted:
    """A job, and since when the work is under way."""

    job: DeletionJob
    at: datetime


@dataclass(frozen=True)
class _Record:
    generation: int
    submission_key: str | None
    fingerprint: Mapping[str, str]
    at: datetime
    known: tuple[str, ...] = ()
    job: JobRef | None = None
    previous: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": _RECORD_VERSION,
            "generation": self.generation,
            "submission_key": self.submission_key,
            "fingerprint": dict(self.fingerprint),
            "at": self.at.isoformat(),
            "known": list(self.known),
            "job": self.job.to_dict() if self.job else None,
            "previous": list(self.previous),
        }

    @classmethod
    def from_dict(cls, data: Any) -> _Record:
        try:
            if data["version"] != _RECORD_VERSION:
                raise ValueError
            return cls(
                generation=int(data["generation"]),
                submission_key=data["submission_key"],
                fingerprint=dict(data["fingerprint"]),
                at=datetime.fromisoformat(data["at"]),
                known=tuple(data["known"]),
                job=JobRef.from_dict(data["job"]) if data["job"] else None,
                previous=tuple(data["previous"]),
            )
        except (TypeError, LookupError, ValueError):
            raise IndeterminateError(
                "This task's submission record (task state) cannot be read, so it is unknown whether a job exists. "
                "Look for one at Adobe; to submit a new one, delete the record or change submission_key."
            ) from None


class Submission:
    """One task's submission of one job.

    :param store: where the record is kept, or ``None``: then the lists alone decide, which is weaker.
    :param slot: tells several submissions of one task apart.
    :param on_ambiguous: ``resubmit`` or ``fail``, once a job whose outcome was unknown counts as absent.
    :param on_clear: ``adopt`` or ``resubmit``, for the job of an earlier generation.
    :param settle_time: seconds after an attempt before its job can count as absent.
    """

    def __init__(
        self,
        identity: Identity,
        store: StateStore | None,
        *,
        slot: str = "",
        on_ambiguous: str = RESUBMIT,
        on_clear: str = ADOPT,
        settle_time: float = 180.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._identity = identity
        self._store = store
        self._key = f"{_KEY}.{slot}" if slot else _KEY
        self._on_ambiguous = on_ambiguous
        self._on_clear = on_clear
        self._settle_time = timedelta(seconds=settle_time)
        self._now = now

    def obtain(self, work: Work) -> Flow[Submitted]:
        """Return the job of this submission: the one that exists, or else a new one.

        :raises SubmissionError: nothing was submitted and a person must decide.
        :raises Blocked: an earlier job must end first.
        :raises AdobeError: Adobe refused, or could not be asked; nothing more was submitted.
        """
        record = self._load()
        if record is None:
            earlier = yield from self._unrecorded(work)
        elif self._is_same_submission(record):
            earlier = yield from self._retried(work, record)
        else:
            earlier = yield from self._superseded(work, record)
        if earlier is not None:
            return earlier
        return (yield from self._submit(work, self._load()))

    def _load(self) -> _Record | None:
        data = self._store.get(self._key) if self._store is not None else None
        return None if data is None else _Record.from_dict(data)

    def _save(self, record: _Record) -> None:
        if self._store is not None:
            self._store.set(self._key, record.to_dict())

    def _is_same_submission(self, record: _Record) -> bool:
        mine = self._identity
        return record.generation == mine.generation and record.submission_key == mine.submission_key

    def _unrecorded(self, work: Work) -> Flow[Submitted | None]:
        """Decide without a record. With a store, that means that nothing was submitted, unless a Clear dropped it."""
        mine = self._identity
        if mine.first_try or (self._store is not None and not mine.cleared):
            return None
        log.info("No record of an earlier try; searching Adobe for %s since %s.", work.what, mine.since)
        job = yield from self._search(work, mine.since, (), attempted_at=self._now())
        if job is None or job.state in (JobState.FAILED, JobState.GONE):
            return None
        if self._on_clear == RESUBMIT and mine.cleared:
            _refuse_active(job)
            return None
        return self._adopt(work, job, job.created_at or mine.since)

    def _retried(self, work: Work, record: _Record) -> Flow[Submitted | None]:
        changed = _differences(record.fingerprint, work.fingerprint)
        if changed:
            raise ChangedInputError(
                f"This task has already submitted, or tried to submit, something else: {changed}. Nothing was "
                "submitted now. Restore what changed, or set another submission_key to submit this as well."
            )
        return (yield from self._resume(work, record))

    def _superseded(self, work: Work, record: _Record) -> Flow[Submitted | None]:
        """Decide about an earlier generation's job, or one of another submission_key."""
        if record.submission_key != self._identity.submission_key:
            log.info("submission_key has changed; the earlier submission (%s) stands.", _job_name(record))
            return None
        if _differences(record.fingerprint, work.fingerprint):
            log.info("The cleared task submits something else than before; the earlier %s stands.", _job_name(record))
            return None
        if self._on_clear == RESUBMIT:
            yield from self._refuse_while_active(work, record)
            return None
        earlier = yield from self._resume(work, record)
        if earlier is not None and earlier.job.state is JobState.SUCCEEDED:
            log.info(
                "%s had already succeeded before the task was cleared, so its result is returned and nothing new is "
                "submitted. To submit once more, use on_clear='resubmit' or another submission_key.",
                earlier.job.id,
            )
        return earlier

    def _refuse_while_active(self, work: Work, record: _Record) -> Flow[None]:
        job = yield from self._recorded_job(work, record)
        if job is not None:
            _refuse_active(job)

    def _resume(self, work: Work, record: _Record) -> Flow[Submitted | None]:
        job = yield from self._recorded_job(work, record)
        if job is None:
            return None
        if job.state is JobState.FAILED:
            log.warning("Earlier job %s has failed (%s); submitting a new one.", job.id, job.status)
            return None
        if job.state is JobState.GONE:
            if not self._is_same_submission(record):
                log.warning("Earlier job %s was removed from Adobe; submitting a new one.", job.id)
                return None
            raise SubmissionError(
                f"Job {job.id}, which this task submitted, was removed from Adobe by somebody. It is not submitted "
                "again by a retry; clear the task, or set another submission_key, to do so."
            )
        return self._adopt(work, job, record.at)

    def _recorded_job(self, work: Work, record: _Record) -> Flow[DeletionJob | None]:
        if record.job is None:
            return (yield from self._search(work, record.at, record.known, attempted_at=record.at))
        try:
            job: DeletionJob = yield lookup(record.job)
        except AdobeNotFoundError:
            fresh = self._now() - record.at < _VISIBLE_WITHIN
            return DeletionJob(record.job, JobState.PENDING if fresh else JobState.GONE, "HTTP 404")
        return job

    def _adopt(self, work: Work, job: DeletionJob, at: datetime) -> Submitted:
        log.info("Adopting job %s (%s), which exists already for %s.", job.id, job.status, work.what)
        known = self._load()
        record = known if known is not None else self._intent(work, at, ())
        self._save(replace(record, generation=self._identity.generation, job=job.ref))
        return Submitted(job, at)

    def _intent(self, work: Work, at: datetime, known: tuple[str, ...]) -> _Record:
        mine = self._identity
        return _Record(mine.generation, mine.submission_key, dict(work.fingerprint), at, known)

    def _submit(self, work: Work, before: _Record | None) -> Flow[Submitted]:
        previous = (*before.previous, before.job.id) if before and before.job else ()
        for number in range(1, _POSTS_PER_RUN + 1):
            search = work.find(self._now() - _CLOCK_SKEW)
            known = () if search is None else tuple(job.id for job in (yield from search).jobs)
            record = replace(self._intent(work, self._now(), known), previous=previous)
            self._save(record)
            job = yield from self._post(work, record, last=number == _POSTS_PER_RUN)
            if job is not None:
                self._save(replace(record, job=job.ref))
                return Submitted(job, record.at)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _post(self, work: Work, record: _Record, *, last: bool) -> Flow[DeletionJob | None]:
        """Send the request once, and find out what became of it; ``None`` where it may be sent again."""
        try:
            return (yield from work.create(record.at))
        except AmbiguousOutcomeError as error:
            log.warning("%s Looking for it.", error)
            job = yield from self._search(work, record.at, record.known, attempted_at=error.attempted_at)
            if job is None and last:
                raise IndeterminateError(_advice(work, record.at)) from error
            return job

    def _search(
        self, work: Work, since: datetime, known: tuple[str, ...], *, attempted_at: datetime
    ) -> Flow[DeletionJob | None]:
        """Look for a job that may exist, until it is found or counts as never created.

        :param known: ids of jobs like it that existed before the attempt.
        """
        looks, pause = 0, _FIRST_WAIT
        while True:
            search = work.find(since - _CLOCK_SKEW)
            if search is None:
                raise IndeterminateError(_advice(work, since))
            found = yield from search
            candidates = [job for job in found.jobs if job.id not in known]
            if candidates:
                return _pick(work, candidates)
            if not found.complete:
                raise IndeterminateError(_advice(work, since))
            looks += 1
            settled_in = (attempted_at + self._settle_time - self._now()).total_seconds()
            if looks >= _LOOKS_UNTIL_ABSENT and settled_in <= 0:
                self._refuse_absent(work, since)
                return None
            yield Pause(min(pause, settled_in) if settled_in > 0 else min(pause, self._settle_time.total_seconds()))
            pause = min(pause * 2, _LONGEST_WAIT)

    def _refuse_absent(self, work: Work, since: datetime) -> None:
        if self._on_ambiguous == FAIL:
            raise IndeterminateError(_advice(work, since))
        log.warning("Adobe shows no job for %s since %s, so it counts as never created.", work.what, since)


def _refuse_active(job: DeletionJob) -> None:
    if not job.state.terminal:
        raise Blocked(job, "on_clear='resubmit' submits a new job once the earlier one has ended")


def _pick(work: Work, candidates: list[DeletionJob]) -> DeletionJob:
    chosen = newest(candidates)
    if len(candidates) > 1:
        others = ", ".join(job.id for job in candidates if job.id != chosen.id)
        log.warning(
            "Adobe has several jobs for %s; adopting the newest, %s. The others: %s.", work.what, chosen.id, others
        )
    return chosen


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return "; ".join(f"{name} was {before.get(name, 'not set')} and is {after.get(name, 'not set')}" for name in names)


def _job_name(record: _Record) -> str:
    return f"job {record.job.id}" if record.job else "submission"


def _advice(work: Work, since: datetime) -> str:
    return (
        f"It is unknown whether Adobe has {work.what}, asked for at {since.isoformat(timespec='seconds')}, and "
        "nothing more was submitted. Look for it at Adobe. If it is there, wait for it with the sensor; if it is "
        "certainly not, set another submission_key to submit it anew."
    )
