"""Waiting for jobs: every decision of it, once, for the worker, the sensor and the trigger.

A :class:`WaitPlan` is small and plain, so that it can be stored; :func:`look` looks at each job once;
:func:`wait` looks until the end or the deadline. Both are flows: they decide, the client sleeps and asks, in a
triggerer for many waiters at once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from airflow_provider_adobe_deletion.adobe.calls import Flow, Poll, Tell
from airflow_provider_adobe_deletion.adobe.errors import AdobeAPIError, AdobeAuthError, AdobeError, AdobeNotFoundError
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState
from airflow_provider_adobe_deletion.adobe.lookup import is_outage

log = logging.getLogger(__name__)

_EVENT_VERSION = 1
_GROWTH = 0.025
# A look that comes a quarter early costs little where many waiters are answered together.
_WELCOME_FROM = 0.75
_SPREAD = 0.2
# A new job may not be visible at once; how long is not documented. After that, 404 means removed.
_VISIBLE_WITHIN = timedelta(minutes=2)
_MISSES_UNTIL_GONE = 2
_LABELS = {
    JobKind.PROFILE: "Profile job",
    JobKind.DATA_REPAIR: "Data Repair job",
    JobKind.WORK_ORDER: "Work order",
    JobKind.DATASET_EXPIRATION: "Dataset expiration",
}


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


class Outcome(StrEnum):
    """How a wait ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    """Adobe kept refusing to look the job up."""


@dataclass(frozen=True)
class WaitPlan:
    """What to wait for, and how.

    :param refs: the jobs.
    :param submitted_at: when the work was submitted; the polling interval follows from its age, so a
        restarted wait goes on where it was.
    :param deadline: when the wait ends at the latest.
    :param poll_interval: the shortest interval between looks, in seconds.
    :param max_poll_interval: the longest, in seconds.
    :param max_poll_failures: how many refused looks in a row are tolerated. Outages (no connection, 5xx,
        429) do not count: they last as long as they last, and the deadline ends the wait.
    """

    refs: tuple[JobRef, ...]
    submitted_at: datetime
    deadline: datetime
    poll_interval: float
    max_poll_interval: float
    max_poll_failures: int = 10

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "refs": [ref.to_dict() for ref in self.refs],
            "submitted_at": self.submitted_at.isoformat(),
            "deadline": self.deadline.isoformat(),
            "poll_interval": self.poll_interval,
            "max_poll_interval": self.max_poll_interval,
            "max_poll_failures": self.max_poll_failures,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WaitPlan:
        """Read what :meth:`to_dict` wrote."""
        return cls(
            refs=tuple(JobRef.from_dict(ref) for ref in data["refs"]),
            submitted_at=datetime.fromisoformat(data["submitted_at"]),
            deadline=datetime.fromisoformat(data["deadline"]),
            poll_interval=data["poll_interval"],
            max_poll_interval=data["max_poll_interval"],
            max_poll_failures=data["max_poll_failures"],
        )

    def interval(self, now: datetime) -> float:
        """Return the seconds until the next look: 2.5 % of the job's age, within the plan's bounds."""
        age = max(0.0, (now - self.submitted_at).total_seconds())
        return min(max(self.poll_interval, age * _GROWTH), max(self.max_poll_interval, self.poll_interval))

    def next_poll(self, refs: tuple[JobRef, ...], now: datetime, *, at_least: float = 0.0) -> Poll:
        """Return the next look at some of the jobs, never past the deadline.

        Up to a tenth of the interval is taken off at random, so that waits begun together drift apart.

        :param at_least: how many seconds Adobe asked to be left alone.
        """
        interval = self.interval(now)
        left = max(0.0, (self.deadline - now).total_seconds())
        latest = min(max(interval * random.uniform(0.9, 1.0), at_least), left)  # noqa: S311
        earliest = min(max(interval * _WELCOME_FROM, at_least), latest)
        return Poll(refs, self.submitted_at, earliest, latest)

    def first_poll(self, refs: tuple[JobRef, ...], now: datetime) -> Poll:
        """Return the first look of a wait that is taken up, perhaps with thousands of others, and perhaps again.

        It comes at a random moment of the first fifth of an interval: the others do not all ask at once, and an end
        that fell into a restart is noticed soon.
        """
        left = max(0.0, (self.deadline - now).total_seconds())
        spread = _SPREAD * self.interval(now)
        return Poll(refs, self.submitted_at, 0.0, min(random.uniform(0.0, spread), left))  # noqa: S311


@dataclass(frozen=True)
class WaitResult:
    """How a wait ended, and what is known of each job: ids, states, counts and times only.

    :param jobs: :meth:`DeletionJob.summary` of each job; without a state where it was never seen.
    :param reason: why looking was refused, as status, code and request id.
    """

    outcome: Outcome
    jobs: tuple[Mapping[str, Any], ...]
    reason: str = ""

    def to_event(self) -> dict[str, Any]:
        """Return it as a trigger event's payload."""
        return {
            "version": _EVENT_VERSION,
            "outcome": self.outcome.value,
            "jobs": [dict(job) for job in self.jobs],
            "reason": self.reason,
        }

    @classmethod
    def from_event(cls, event: Any) -> WaitResult:
        """Read a trigger event's payload.

        :raises ValueError: it is not one that this version writes. It must not be taken for success.
        """
        try:
            if event["version"] != _EVENT_VERSION or not event["jobs"]:
                raise ValueError
            for job in event["jobs"]:
                if not JobRef.from_dict(job).id or not isinstance(job["id"], str):
                    raise ValueError
            result = cls(Outcome(event["outcome"]), tuple(event["jobs"]), str(event["reason"]))
        except (TypeError, LookupError, ValueError):
            raise ValueError("The trigger's event is not one that this version of the provider understands.") from None
        if result.outcome is Outcome.SUCCEEDED and any(job.get("state") != "succeeded" for job in result.jobs):
            raise ValueError("The trigger's event claims success, but not for every job.")
        return result


class Watch:
    """What is known of the jobs of one plan."""

    def __init__(self, plan: WaitPlan, now: Callable[[], datetime] = utc_now) -> None:
        self._plan = plan
        self._now = now
        self._seen: dict[JobRef, DeletionJob] = {}
        self._misses: dict[JobRef, int] = {}
        self._refusals: dict[JobRef, int] = {}
        self._refusal = ""
        self._asked_wait = 0.0
        self._credential_refused = False
        self._looked = False
        self._told: list[Callable[[], None]] = []

    def run(self) -> Flow[WaitResult | None]:
        """Look until the end; or return ``None`` when the credential was refused.

        Then the connection may have been changed: look it up, and run on with a new client.
        """
        while True:
            refs, now = self._pending(), self._now()
            if self._looked:
                poll = self._plan.next_poll(refs, now, at_least=self._asked_wait)
            else:
                poll = self._plan.first_poll(refs, now)
            result = yield from self._look(poll)
            if result is not None or self._credential_refused:
                return result

    def look(self) -> Flow[WaitResult | None]:
        """Look at once at each job that has not ended, and return the result if the wait is over."""
        return (yield from self._look(Poll(self._pending(), self._plan.submitted_at)))

    def _look(self, poll: Poll) -> Flow[WaitResult | None]:
        answers: Mapping[JobRef, DeletionJob | AdobeError] = yield poll
        self._looked = True
        self._asked_wait = 0.0
        self._credential_refused = False
        for ref in poll.refs:
            answer = answers[ref]
            if isinstance(answer, DeletionJob):
                self._observe(ref, answer)
            elif isinstance(answer, AdobeNotFoundError):
                self._missing(ref)
            else:
                self._failed_look(ref, answer)
        if self._told:
            yield Tell(self._write)
        return self._result()

    def _tell(self, level: int, text: str, *values: object) -> None:
        self._told.append(partial(log.log, level, text, *values))

    def _write(self) -> None:
        for write in self._told:
            write()
        self._told.clear()

    def _pending(self) -> tuple[JobRef, ...]:
        return tuple(ref for ref in self._plan.refs if not self._has_ended(ref))

    def _has_ended(self, ref: JobRef) -> bool:
        seen = self._seen.get(ref)
        return seen is not None and seen.state.terminal

    def _observe(self, ref: JobRef, job: DeletionJob) -> None:
        self._refusals.pop(ref, None)
        self._misses.pop(ref, None)
        before = self._seen.get(ref)
        if before is None or before.status != job.status:
            self._tell(logging.INFO, "%s %s is %s.", _label(job.ref), job.id, job.status or "without a status")
            if job.state is JobState.UNKNOWN:
                self._tell(
                    logging.WARNING,
                    "%s %s has a status that Adobe does not document (%s); waiting on.",
                    _label(job.ref),
                    job.id,
                    job.status,
                )
        products = job.details.get("products")
        if products and products != (before.details.get("products") if before else None):
            self._tell(
                logging.INFO,
                "%s %s by product: %s.",
                _label(job.ref),
                job.id,
                ", ".join(map(": ".join, products.items())),
            )
        self._seen[ref] = job

    def _missing(self, ref: JobRef) -> None:
        if self._now() - self._plan.submitted_at < _VISIBLE_WITHIN:
            self._tell(logging.INFO, "%s %s is not visible yet.", _label(ref), ref.id)
            return
        self._misses[ref] = self._misses.get(ref, 0) + 1
        self._tell(logging.WARNING, "Adobe does not know %s %s.", _LABELS[ref.kind], ref.id)
        if self._misses[ref] >= _MISSES_UNTIL_GONE:
            self._seen[ref] = DeletionJob(ref=ref, state=JobState.GONE, status="HTTP 404")

    def _failed_look(self, ref: JobRef, error: AdobeError) -> None:
        if isinstance(error, AdobeAPIError | AdobeAuthError):
            self._asked_wait = max(self._asked_wait, error.retry_after or 0.0)
        if is_outage(error):
            self._tell(
                logging.WARNING, "Could not look at %s %s now; its deadline stands. %s", _label(ref), ref.id, error
            )
            return
        self._credential_refused |= isinstance(error, AdobeAuthError)
        refusals = self._refusals[ref] = self._refusals.get(ref, 0) + 1
        self._refusal = _in_short(error)
        self._tell(
            logging.WARNING,
            "Look %d of at most %d in a row was refused: %s",
            refusals,
            self._plan.max_poll_failures,
            error,
        )

    def _result(self) -> WaitResult | None:
        states = [self._seen[ref].state if ref in self._seen else None for ref in self._plan.refs]
        if all(state is not None and state.terminal for state in states):
            good = all(state is JobState.SUCCEEDED for state in states)
            return self._ended(Outcome.SUCCEEDED if good else Outcome.FAILED)
        if max(self._refusals.values(), default=0) >= self._plan.max_poll_failures:
            return self._ended(Outcome.REFUSED)
        return self._ended(Outcome.TIMED_OUT) if self._now() >= self._plan.deadline else None

    def _ended(self, outcome: Outcome) -> WaitResult:
        jobs = [self._seen[ref].summary() if ref in self._seen else ref.to_dict() for ref in self._plan.refs]
        return WaitResult(outcome, tuple(jobs), self._refusal if outcome is Outcome.REFUSED else "")


def look(plan: WaitPlan, now: Callable[[], datetime] = utc_now) -> Flow[WaitResult | None]:
    """Look at each job once; the result, if the wait is over already."""
    return (yield from Watch(plan, now).look())


def wait(plan: WaitPlan, now: Callable[[], datetime] = utc_now) -> Flow[WaitResult]:
    """Look at the jobs until all have ended, or the deadline has come.

    :raises AdobeConfigError: the connection lacks a field that looking needs.
    """
    watch = Watch(plan, now)
    result = yield from watch.look()
    while result is None:
        result = yield from watch.run()
    return result


def _label(ref: JobRef) -> str:
    return _LABELS[ref.kind]


def _in_short(error: AdobeError) -> str:
    """Say what was refused without Adobe's words, which may hold personal data: events are logged whole."""
    marks = [type(error).__name__]
    if isinstance(error, AdobeAPIError | AdobeAuthError):
        marks += [f"HTTP {error.status}"] if error.status else []
        marks += [f"code {error.code}"] if error.code else []
    if isinstance(error, AdobeAPIError) and error.request_id:
        marks.append(f"request id {error.request_id}")
    return ", ".join(marks)
