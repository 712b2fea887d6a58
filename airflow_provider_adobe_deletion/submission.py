"""Submit once, whatever crashes.

Before a creating request is sent, the intent is recorded, and after it, the job's id. Whoever comes next
(a retry, a cleared task, a resubmission after a lost answer) looks at that record and at Adobe's lists
before it asks for anything again. The rules:

- A recorded job is looked up: running or succeeded is adopted, failed is submitted anew.
- An intent without a job is searched for. Found: adopted. Look-up failed: nothing is submitted. Absent: the
  search goes on until the settle time has passed since the request left and three looks in a row saw nothing.
- The identity of a submission never contains the try number: a retry must find what the try before it left.

This module decides; the client sends. It imports no Airflow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Pause
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeError,
    AdobeNotFoundError,
    AdobeRateLimitError,
    AdobeServerError,
    AmbiguousOutcomeError,
    WrongTargetError,
)
from airflow_provider_adobe_deletion.adobe.jobs import ALREADY_EXISTED, DeletionJob, JobRef, JobState, newest
from airflow_provider_adobe_deletion.adobe.lookup import lookup
from airflow_provider_adobe_deletion.adobe.waiting import utc_now
from airflow_provider_adobe_deletion.submission_record import (
    Identity,
    IndeterminateError,
    Record,
    Records,
    StateStore,
    SubmissionError,
)

T = TypeVar("T")

log = logging.getLogger(__name__)

RESUBMIT = "resubmit"
FAIL = "fail"
ADOPT = "adopt"

_CLOCK_SKEW = timedelta(minutes=5)
_VISIBLE_WITHIN = timedelta(minutes=2)
_LOOKS_UNTIL_ABSENT = 3
_MOST_LOOKS = 12
_FIRST_WAIT = 5.0
_LONGEST_WAIT = 60.0
_POSTS_PER_RUN = 3
_ENDED_BADLY = (JobState.FAILED, JobState.GONE)


class ChangedInputError(SubmissionError):
    """What is to be submitted is not what this task submitted, or tried to, before."""


class NotTakenError(AdobeError):
    """Adobe has lost several requests in a row, and each counts as never taken. A later one may get through."""


class Blocked(Exception):
    """Another job must end first; wait for it and come again."""

    def __init__(self, job: DeletionJob, reason: str) -> None:
        super().__init__(reason)
        self.job = job
        self.reason = reason


class AlreadyCreated(Exception):
    """Adobe has made the job before it was asked to; it counts as the one asked for."""

    def __init__(self, job: DeletionJob) -> None:
        super().__init__(job.id)
        self.job = job


class Sealer(Protocol):
    """Keeps a secret readable for the same credential only."""

    def seal(self, secret: str) -> str:
        """Return the secret, encrypted."""

    def unseal(self, sealed: str) -> str | None:
        """Return the secret, or ``None`` where it cannot be read any more."""


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

    def prepare(self) -> Flow[str | None]:
        """Do what must come before the request, such as an estimate.

        :return: a secret that the request needs, and that a repetition of it must use again; or ``None``.
        :raises Blocked: another job must end first.
        :raises AlreadyCreated: Adobe has made the job already.
        """

    def create(self, since: datetime, secret: str | None) -> Flow[DeletionJob]:
        """Send the one creating request. ``since`` is when this work was first attempted."""

    def refused(self, error: AdobeError) -> Flow[None]:
        """Look for the reason of a request that was refused for certain.

        :raises Blocked: another job must end first.
        """

    def find(self, since: datetime) -> Flow[Found] | None:
        """Search the lists for jobs that do exactly this; ``None`` where that is not possible."""

    def is_of(self, job: DeletionJob) -> bool:
        """Whether ``job``, as a look-up shows it, does this, so that a record that names it can be right."""


@dataclass(frozen=True)
class Submitted:
    """A job, and since when the work is under way.

    :param ours: whether this task made it, rather than found it running.
    """

    job: DeletionJob
    at: datetime
    ours: bool = True


class Submission:
    """One task's submission of one job.

    :param store: where the record is kept, or ``None``: then the lists alone decide, which is weaker.
    :param sealer: encrypts what the record keeps of a secret, because its readers are many.
    :param slot: tells several submissions of one task apart.
    :param on_ambiguous: ``resubmit`` or ``fail``, once a job whose outcome was unknown counts as absent.
    :param on_clear: ``adopt`` or ``resubmit``, for the job of an earlier generation.
    :param settle_time: seconds after a request before its job can count as absent.
    :param resubmit_failed: whether a retry submits a failed job anew; a cleared task always does.
    """

    def __init__(
        self,
        identity: Identity,
        store: StateStore | None,
        sealer: Sealer,
        *,
        slot: str = "",
        on_ambiguous: str = RESUBMIT,
        on_clear: str = ADOPT,
        settle_time: float = 180.0,
        resubmit_failed: bool = True,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._identity = identity
        self._records = Records(store, slot, identity.submission_key)
        self._sealer = sealer
        self._on_ambiguous = on_ambiguous
        self._on_clear = on_clear
        self._settle_time = timedelta(seconds=settle_time)
        self._resubmit_failed = resubmit_failed
        self._now = now

    def obtain(self, work: Work) -> Flow[Submitted]:
        """Return the job of this submission: the one that exists, or else a new one.

        :raises SubmissionError: nothing was submitted and a person must decide.
        :raises NotTakenError: Adobe lost the request, several times; it may be tried again later.
        :raises Blocked: an earlier job must end first.
        :raises AdobeError: Adobe refused, or could not be asked; nothing more was submitted.
        """
        record = self._records.load()
        if record is None:
            earlier = yield from self._unrecorded(work)
        elif record.refused:
            earlier = None
        elif record.generation == self._identity.generation:
            earlier = yield from self._retried(work, record)
        else:
            earlier = yield from self._cleared(work, record)
        if earlier is not None:
            return earlier
        return (yield from self._submit(work, record))

    def _unrecorded(self, work: Work) -> Flow[Submitted | None]:
        """Decide without a record. With a store, nothing was submitted, unless a Clear emptied it."""
        mine = self._identity
        if mine.first_try or (self._records.durable and (self._records.any() or not mine.cleared)):
            return None
        log.info("No record of an earlier try; searching Adobe for %s since %s.", work.what, mine.since)
        newly_cleared = mine.cleared and mine.first_of_generation
        job = yield from self._search(work, mine.since, (), self._now(), patient=True, decided=newly_cleared)
        if job is None:
            return None
        if job.state in _ENDED_BADLY and self._repeats_failed(None):
            _log_replaced(job)
            return None
        if self._on_clear == RESUBMIT and newly_cleared:
            _refuse_active(job)
            return None
        if newly_cleared:
            # Without a record, this job cannot be told from one of another submission_key.
            _log_returned(job, "on_clear='resubmit'")
        return self._adopt(work, job, None)

    def _retried(self, work: Work, record: Record) -> Flow[Submitted | None]:
        changed = _differences(record.fingerprint, work.fingerprint)
        if changed:
            raise ChangedInputError(
                f"This task has already submitted, or tried to submit, something else: {changed}. Nothing was "
                "submitted now. Restore what changed, or set another submission_key to submit this as well."
            )
        return (yield from self._resume(work, record))

    def _cleared(self, work: Work, record: Record) -> Flow[Submitted | None]:
        """Decide about the job of an earlier generation."""
        if _differences(record.fingerprint, work.fingerprint, but="connection"):
            log.info("The cleared task submits something else than before; the earlier %s stands.", _job_name(record))
            return None
        if self._on_clear == RESUBMIT:
            job = yield from self._recorded_job(work, record)
            if job is not None:
                _refuse_active(job)
            return None
        earlier = yield from self._resume(work, record)
        if earlier is not None:
            _log_returned(earlier.job, "on_clear='resubmit' or another submission_key")
        return earlier

    def _resume(self, work: Work, record: Record) -> Flow[Submitted | None]:
        job = yield from self._recorded_job(work, record)
        if job is None:
            return None
        if job.state is JobState.FAILED and self._repeats_failed(record.generation):
            _log_replaced(job)
            return None
        if job.state is JobState.GONE:
            if record.generation != self._identity.generation:
                log.warning("Earlier job %s is not at Adobe any more; submitting a new one.", job.id)
                return None
            raise SubmissionError(
                f"Job {job.id}, which this task submitted, was removed from Adobe by somebody. It is not submitted "
                "again by a retry; clear the task, or set another submission_key, to do so."
            )
        return self._adopt(work, job, record)

    def _repeats_failed(self, generation: int | None) -> bool:
        """Whether a failed job of ``generation``, or of one that is not known, is submitted anew."""
        mine = self._identity
        newly_cleared = mine.cleared and mine.first_of_generation if generation is None else None
        return self._resubmit_failed or newly_cleared or generation not in (None, mine.generation)

    def _recorded_job(self, work: Work, record: Record) -> Flow[DeletionJob | None]:
        if record.job is None:
            decided = record.generation != self._identity.generation
            return (yield from self._search(work, record.at, record.known, record.sent_at, decided=decided))
        job = yield from self._look_up(record.job, record.sent_at)
        if job.state is not JobState.GONE and not work.is_of(job):
            raise SubmissionError(
                f"This task's record (task state) names job {job.id}, which is not {work.what}. Nothing was submitted; "
                "correct or delete the record."
            )
        return job

    def _look_up(self, ref: JobRef, sent_at: datetime) -> Flow[DeletionJob]:
        """Look a job up; it is gone only if Adobe says so several times in a row."""
        for look in range(_LOOKS_UNTIL_ABSENT):
            if look:
                yield Pause(self._pause(_FIRST_WAIT))
            try:
                job: DeletionJob = yield lookup(ref)
            except AdobeNotFoundError:
                if self._now() - sent_at < _VISIBLE_WITHIN:
                    return DeletionJob(ref, JobState.PENDING, "HTTP 404")
            else:
                return job
        return DeletionJob(ref, JobState.GONE, "HTTP 404")

    def _adopt(self, work: Work, job: DeletionJob, record: Record | None) -> Submitted:
        log.info("Adopting job %s (%s), which exists already for %s.", job.id, job.status, work.what)
        if record is None:
            at = job.created_at or self._identity.since
            record = Record(self._identity.generation, dict(work.fingerprint), at, at)
        record = replace(record, generation=self._identity.generation, fingerprint=dict(work.fingerprint), job=job.ref)
        self._records.save(record)
        return Submitted(job, record.at, record.ours)

    def _submit(self, work: Work, before: Record | None) -> Flow[Submitted]:
        unresolved = self._unresolved(before)
        secret = self._secret(unresolved)
        known: tuple[str, ...] | None = unresolved.known if unresolved else None
        began = unresolved.at if unresolved else self._now()
        for number in range(1, _POSTS_PER_RUN + 1):
            there = yield from self._there(work)
            missed = [] if known is None else [job for job in there if job.id not in known]
            if missed:
                return self._adopt(work, _pick(work, missed), unresolved)
            known = tuple(job.id for job in there)
            now = self._now()
            began = began if unresolved else now
            record = Record(
                self._identity.generation,
                dict(work.fingerprint),
                began,
                now,
                known=known,
                previous=before.ids if before else (),
            )
            try:
                secret = secret or (yield from work.prepare())
            except AlreadyCreated as created:
                self._records.save(replace(record, job=created.job.ref))
                return Submitted(created.job, record.at)
            record = replace(record, sealed=self._sealer.seal(secret) if secret else None)
            self._records.save(record)
            job = yield from self._post(work, record, secret, repeated=unresolved is not None)
            # By now it says when the request really left.
            record = self._records.load() or record
            if job is not None:
                ours = ALREADY_EXISTED not in job.details
                self._records.save(replace(record, job=job.ref, ours=ours))
                return Submitted(job, record.at, ours)
            unresolved = record
            log.info("Request %d of at most %d left no job.", number, _POSTS_PER_RUN)
        raise NotTakenError(
            f"Adobe was asked {_POSTS_PER_RUN} times for {work.what}. Each time the answer was lost, and no job was to "
            "be seen once the settle time had passed. A retry looks again, and goes on."
        )

    def _unresolved(self, before: Record | None) -> Record | None:
        """Return the record of an attempt of this generation that left no job, if that is how the last try ended."""
        if before is None or before.refused or before.job is not None:
            return None
        return before if before.generation == self._identity.generation else None

    def _secret(self, unresolved: Record | None) -> str | None:
        """Return the secret of an unresolved attempt, since a new one would not guard against a second job."""
        if unresolved is None or unresolved.sealed is None:
            return None
        secret = self._sealer.unseal(unresolved.sealed)
        if secret is None:
            raise IndeterminateError(
                "An earlier try of this task may have submitted, and the validation token that it used can no longer "
                "be read, because the connection's credential has changed. Look for the job at Adobe; to submit a new "
                "one, set another submission_key."
            )
        return secret

    def _there(self, work: Work) -> Flow[tuple[DeletionJob, ...]]:
        """Return the jobs of this kind that exist before the request."""
        search = work.find(self._now() - _CLOCK_SKEW)
        return () if search is None else (yield from search).jobs

    def _post(self, work: Work, record: Record, secret: str | None, *, repeated: bool) -> Flow[DeletionJob | None]:
        """Send the request once, and find out what became of it; ``None`` where it may be sent again."""
        try:
            return (yield from self._recording(work.create(record.at, secret), record))
        except AmbiguousOutcomeError as error:
            log.warning("%s Looking for it.", error)
            return (yield from self._search(work, record.at, record.known, error.attempted_at))
        except (WrongTargetError, SubmissionError):
            raise
        except AdobeError as error:
            if not repeated:
                self._records.save(replace(record, refused=True))
                yield from work.refused(error)
                raise
            # The first request may be the reason why the second is refused: it made the job, or used the token up.
            log.warning("%s Looking for what an earlier request may have created.", error)
            job = yield from self._search(work, record.at, record.known, self._now())
            if job is None:
                yield from self._blocked_or_lost(work, record, error)
            return job

    def _blocked_or_lost(self, work: Work, record: Record, error: AdobeError) -> Flow[None]:
        """Say why a repeated request was refused, though its job is not to be seen."""
        try:
            yield from work.refused(error)
        except Blocked as blocked:
            # While another job runs, neither this request nor the one before can have made one. If it has ended,
            # the reason may as well be that the one before did.
            if not blocked.job.state.terminal:
                self._records.save(replace(record, refused=True))
                raise
        if isinstance(error, AdobeAPIError) and not isinstance(error, AdobeServerError | AdobeRateLimitError):
            raise IndeterminateError(
                f"{error} It repeated an earlier request of unknown outcome. {_advice(work, record.at)}"
            ) from error
        raise error

    def _recording(self, flow: Flow[T], record: Record) -> Flow[T]:
        """Pass a flow's steps on, recording the moment at which a creating request leaves, each time it does."""

        def leaving() -> None:
            self._records.save(replace(record, sent_at=self._now()))

        outcome: Any = None
        resume: Callable[[Any], Any] = flow.send
        while True:
            try:
                step = resume(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Call) and not step.repeatable:
                step = replace(step, before_send=leaving)
            try:
                outcome = yield step
                resume = flow.send
            except AdobeError as error:
                resume, outcome = flow.throw, error

    def _search(
        self,
        work: Work,
        since: datetime,
        known: tuple[str, ...],
        sent_at: datetime,
        *,
        patient: bool = False,
        decided: bool = False,
    ) -> Flow[DeletionJob | None]:
        """Look for a job that may exist, until it is found or counts as never created.

        :param known: ids of jobs like it that existed before the attempt.
        :param sent_at: when the request left last.
        :param patient: whether a job that ended badly is no answer before the settle time has passed, because
            one that took its place may not be visible yet.
        :param decided: whether a person has cleared the task since, so that an absent job may be submitted anew.
        """
        looks, complete_looks, pause = 0, 0, _FIRST_WAIT
        while True:
            search = work.find(since - _CLOCK_SKEW)
            if search is None:
                raise IndeterminateError(_advice(work, since, "set another submission_key"))
            try:
                found = yield from search
            except AdobeError as error:
                error.args = (
                    f"{error} This was to find out whether Adobe has {work.what}, asked for since "
                    f"{since.isoformat(timespec='seconds')}. Nothing more was submitted; a retry, or a clear of the "
                    "task, looks again.",
                )
                raise
            candidates = [job for job in found.jobs if job.id not in known]
            settled_in = (sent_at + self._settle_time - self._now()).total_seconds()
            alive = any(job.state not in _ENDED_BADLY for job in candidates)
            if candidates and (alive or not patient or (looks + 1 >= _LOOKS_UNTIL_ABSENT and settled_in <= 0)):
                return _pick(work, candidates)
            looks += 1
            # A list that moves while it is read may be seen whole the next time.
            complete_looks = complete_looks + 1 if found.complete else 0
            absent = complete_looks >= _LOOKS_UNTIL_ABSENT
            if settled_in <= 0 and (absent or looks >= _MOST_LOOKS):
                if not absent:
                    raise IndeterminateError(_advice(work, since, "set another submission_key"))
                if self._on_ambiguous == FAIL and not decided:
                    raise IndeterminateError(_advice(work, since))
                log.warning("Adobe shows no job for %s since %s, so it counts as never created.", work.what, since)
                return None
            yield Pause(min(pause, settled_in) if settled_in > 0 else self._pause(pause))
            pause = min(pause * 2, _LONGEST_WAIT)

    def _pause(self, seconds: float) -> float:
        """Return a pause between looks, which is never longer than the settle time that they are for."""
        return min(seconds, self._settle_time.total_seconds())


def _refuse_active(job: DeletionJob) -> None:
    if not job.state.terminal:
        raise Blocked(job, "on_clear='resubmit' submits a new job once the earlier one has ended")


def _log_replaced(job: DeletionJob) -> None:
    log.warning("Earlier job %s has failed (%s); submitting a new one.", job.id, job.status)


def _log_returned(job: DeletionJob, otherwise: str) -> None:
    if job.state is JobState.SUCCEEDED:
        log.info(
            "%s had already succeeded before the task was cleared, so its result is returned and nothing new is "
            "submitted. To submit once more, use %s.",
            job.id,
            otherwise,
        )


def _pick(work: Work, candidates: list[DeletionJob]) -> DeletionJob:
    """Return the newest of the jobs that run, or else that succeeded, or else that ended badly."""
    active = [job for job in candidates if not job.state.terminal]
    succeeded = [job for job in candidates if job.state is JobState.SUCCEEDED]
    chosen = newest(active or succeeded or candidates)
    if len(candidates) > 1:
        others = ", ".join(job.id for job in candidates if job.id != chosen.id)
        log.warning("Adobe has several jobs for %s; adopting %s. The others: %s.", work.what, chosen.id, others)
    return chosen


def _differences(before: Mapping[str, str], after: Mapping[str, str], but: str = "") -> str:
    names = sorted(name for name in {*before, *after} - {but} if before.get(name) != after.get(name))
    return "; ".join(f"{name} was {before.get(name, 'not set')} and is {after.get(name, 'not set')}" for name in names)


def _job_name(record: Record) -> str:
    return f"job {record.job.id}" if record.job else "submission"


def _advice(work: Work, since: datetime, submit_anew: str = "clear the task, or set another submission_key,") -> str:
    return (
        f"It is unknown whether Adobe has {work.what}, asked for at {since.isoformat(timespec='seconds')}, and nothing "
        "more was submitted. Look for it at Adobe. If it is there, wait for it with the sensor; if it is certainly "
        f"not, {submit_anew} to submit it anew."
    )
