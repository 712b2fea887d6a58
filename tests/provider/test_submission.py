"""Submission's decisions that need a list which changes while it is looked at."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe.calls import Pause
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState
from airflow_provider_adobe_deletion.submission import Found, Submission, Submitted
from airflow_provider_adobe_deletion.submission_record import Identity

START = datetime(2026, 8, 1, 12, tzinfo=UTC)


def job(name: str, state: JobState, minutes: float = 0) -> DeletionJob:
    created = START + timedelta(minutes=minutes)
    return DeletionJob(JobRef(JobKind.PROFILE, name), state, state.value, created_at=created)


class Adobe:
    """A list that shows jobs from a certain second on, and counts what is created."""

    what, fingerprint = "a job", {"target": "x"}

    def __init__(self, **visible: tuple[float, DeletionJob]) -> None:
        self.now = START + timedelta(hours=1)
        self.began = self.now
        self.visible = visible
        self.created = 0
        self.pauses: list[float] = []

    def find(self, since: datetime) -> Any:
        yield from ()
        elapsed = (self.now - self.began).total_seconds()
        return Found(tuple(entry for at, entry in self.visible.values() if elapsed >= at), complete=True)

    def prepare(self) -> Any:
        yield from ()

    def create(self, since: datetime, secret: str | None) -> Any:
        yield from ()
        self.created += 1
        return job(f"new{self.created}", JobState.PENDING)

    def refused(self, error: Exception) -> Any:
        yield from ()

    def is_of(self, job: DeletionJob) -> bool:
        return True

    def run(self, flow: Any) -> Submitted:
        """Run a flow that only pauses, in no time."""
        try:
            while True:
                step = next(flow)
                assert isinstance(step, Pause)
                self.pauses.append(step.seconds)
                self.now += timedelta(seconds=step.seconds)
        except StopIteration as end:
            return end.value


def retried(adobe: Adobe, **options: Any) -> Submitted:
    """Run the third try of a task of which Airflow kept nothing."""
    identity = Identity("d", "r", "t", -1, None, 3, False, False, False, START)
    return adobe.run(Submission(identity, None, None, now=lambda: adobe.now, **options).obtain(adobe))


@pytest.mark.parametrize("shows_after", [0.0, 30.0, 179.0])
def test_a_replacement_that_shows_late_is_waited_for(shows_after: float) -> None:
    adobe = Adobe(failed=(0, job("failed", JobState.FAILED)), new=(shows_after, job("new", JobState.RUNNING, 1)))
    assert retried(adobe).job.id == "new"
    assert adobe.created == 0


def test_a_failed_job_alone_is_replaced_after_the_settle_time() -> None:
    adobe = Adobe(failed=(0, job("failed", JobState.FAILED)))
    assert retried(adobe).job.id == "new1"
    assert adobe.now - adobe.began >= timedelta(seconds=180)


def test_or_it_is_the_answer_where_a_new_one_is_somebody_s_decision() -> None:
    adobe = Adobe(failed=(0, job("failed", JobState.FAILED)))
    assert retried(adobe, resubmit_failed=False).job.id == "failed"
    assert adobe.created == 0


def test_the_waits_between_looks_grow_until_the_settle_time_has_passed() -> None:
    adobe = Adobe()
    assert retried(adobe).job.id == "new1"
    assert adobe.pauses[:4] == [5, 10, 20, 40]
    assert max(adobe.pauses) <= 60
    assert sum(adobe.pauses) == 180


def test_three_looks_are_the_least_however_long_ago_the_request_was() -> None:
    adobe = Adobe(late=(4.0, job("late", JobState.RUNNING)))
    attempted = {"at": START.isoformat(), "sent_at": START.isoformat(), "known": [], "job": None, "ours": True}
    record = {"generation": 3, "fingerprint": {"target": "x"}, "previous": [], "sealed": None, "refused": False}
    identity = Identity("d", "r", "t", -1, None, 3, False, False, False, START)
    store = OneRecord(attempted | record)
    submitted = adobe.run(Submission(identity, store, None, now=lambda: adobe.now).obtain(adobe))
    assert submitted.job.id == "late"
    assert adobe.created == 0


class OneRecord:
    """A task state store that holds one record."""

    def __init__(self, record: dict[str, Any]) -> None:
        name = hashlib.sha256(b"").hexdigest()[:16]
        self.value: Any = {"version": 1, "records": {name: record}}

    def get(self, key: str) -> Any:
        return self.value

    def set(self, key: str, value: dict[str, Any]) -> None:
        self.value = value
