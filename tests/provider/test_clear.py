"""What a cleared task does about its earlier jobs, for each service, whether Airflow kept its task state or not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_adobe_deletion.adobe import identities
from airflow_provider_adobe_deletion.operators.data_repair import AdobeDataRepairJobOperator
from airflow_provider_adobe_deletion.operators.hygiene import AdobeHygieneWorkOrderOperator
from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator
from airflow_provider_adobe_deletion.task_state import identity

from .conftest import DATASET, MemoryStore

pytestmark = pytest.mark.usefixtures("short_waits", "slow_jobs")

SUITE = "examplersid"
RETRIES = 3
COMMON = {"task_id": "t", "retries": RETRIES, "poll_interval": 0.05, "wait_for_completion": False}
OPERATORS: dict[str, Callable[..., Any]] = {
    "profile": lambda **kwargs: AdobeProfileDeleteJobOperator(dataset_id=DATASET, **COMMON, **kwargs),
    "repair": lambda **kwargs: AdobeDataRepairJobOperator(
        report_suite_id=SUITE,
        date_range_start="2026-08-01",
        date_range_end="2026-08-02",
        job_definition={"variables": {"ipaddress": {"action": "delete"}}},
        **COMMON,
        **kwargs,
    ),
    "orders": lambda **kwargs: AdobeHygieneWorkOrderOperator(
        dataset_id=DATASET,
        identities={"email": [f"person{number}@example.com" for number in range(6)]},
        display_name="n",
        **COMMON,
        **kwargs,
    ),
}
SECONDS = 60.0
every_service = pytest.mark.parametrize("service", OPERATORS)
every_memory = pytest.mark.parametrize("memory", ["kept", "emptied", "none"])
"""Airflow 3.3 keeps task state over a Clear, later versions may empty it, and earlier ones have none."""


@pytest.fixture
def slow_jobs(adobe, monkeypatch):
    adobe.settings.profile_seconds = (1.0, SECONDS)
    adobe.settings.repair_seconds = SECONDS
    adobe.settings.workorder_seconds = (1.0, 2.0, 3.0, SECONDS)
    adobe.settings.profile_duplicate_422 = "never"
    adobe.settings.small_order_limit = None
    adobe.settings.analytics_rate_limit = False
    monkeypatch.setattr("airflow_provider_adobe_deletion.adobe.pacing.Pacer.reserve", lambda self: 0.0)
    # Orders of two identities, so that there are three of them.
    monkeypatch.setattr(identities.IdentityMapping.__init__, "__kwdefaults__", {"on_bad_row": "fail", "chunk_size": 2})


class Task:
    """One task instance over its tries and clears."""

    def __init__(self, make_context: Callable[..., dict[str, Any]], service: str, memory: str) -> None:
        self._make_context = make_context
        self._make = OPERATORS[service]
        self._memory = memory
        self._store = None if memory == "none" else MemoryStore()
        self._tries, self._max_tries = 0, RETRIES
        self._run_after: datetime | None = None

    def try_it(self, **kwargs: Any) -> list[str]:
        """Run the next try and return the ids of its jobs."""
        self._tries += 1
        result = self._make(**kwargs).execute(self.context())
        return result if isinstance(result, list) else [result]

    def deferred(self, **kwargs: Any) -> TaskDeferred:
        """Run the next try up to its deferral."""
        with pytest.raises(TaskDeferred) as caught:
            self.try_it(deferrable=True, **kwargs)
        return caught.value

    def resume(self, pause: TaskDeferred, event: Any, **kwargs: Any) -> list[str]:
        """Go on with the try that was deferred."""
        result = getattr(self._make(deferrable=True, **kwargs), pause.method_name)(self.context(), event)
        return result if isinstance(result, list) else [result]

    def context(self) -> dict[str, Any]:
        """Return the try's context: Airflow sets the run's start anew when a task of it is cleared."""
        context = self._make_context(store=self._store, try_number=self._tries, max_tries=self._max_tries)
        self._run_after = self._run_after or context["dag_run"].run_after
        context["dag_run"].run_after = self._run_after
        return context

    def clear(self) -> None:
        """Do to the task what Airflow does when a user clears it."""
        self._max_tries = self._tries + RETRIES
        if self._memory == "emptied":
            self._store = MemoryStore()


@pytest.fixture
def task(make_context, service, memory):
    return Task(make_context, service, memory)


def ids(adobe) -> list[str]:
    return [str(job["id"]) for job in adobe.jobs()]


def fail(adobe, make_context, service: str) -> None:
    """Let the job fail, and of several orders the second."""
    marker = identity(make_context(), None, 0).marker
    adobe.settings.fail_targets = {{"profile": DATASET, "repair": SUITE, "orders": f"n [adp-{marker}-2]"}[service]}


def ended(job_id: str, service: str) -> dict[str, Any]:
    """Return the event of a trigger that has seen the end of the job that was in the way."""
    kind = {"profile": "profile_system_job", "repair": "data_repair", "orders": "work_order"}[service]
    job = {"kind": kind, "id": job_id, "state": "succeeded"}
    return json.loads(json.dumps({"version": 1, "outcome": "succeeded", "jobs": [job], "reason": ""}))


@every_service
@every_memory
class TestAdopt:
    def test_a_running_job_is_attached_to_again(self, adobe, task):
        first = task.try_it()
        task.clear()
        assert task.try_it() == first == ids(adobe)

    def test_a_succeeded_job_is_returned_and_the_log_says_how_to_force_another(self, adobe, task, caplog):
        caplog.set_level(logging.INFO)
        first = task.try_it()
        adobe.advance(SECONDS + 1)
        task.clear()
        assert task.try_it() == first == ids(adobe)
        for job_id in first:
            assert f"{job_id} had already succeeded before the task was cleared" in caplog.text
        assert "To submit once more, use on_clear='resubmit'" in caplog.text

    def test_a_failed_job_and_no_other_is_submitted_anew(self, adobe, task, service, make_context, caplog):
        fail(adobe, make_context, service)
        first = task.try_it()
        adobe.advance(SECONDS + 1)
        task.clear()
        second = task.try_it()
        created = ids(adobe)
        assert len(created) == len(first) + 1
        failed = first[1] if service == "orders" else first[0]
        assert second == [created[-1] if job_id == failed else job_id for job_id in first]
        assert f"Earlier job {failed} has failed" in caplog.text

    def test_the_tries_after_a_clear_adopt_what_it_submitted(self, adobe, task, service, make_context):
        fail(adobe, make_context, service)
        task.try_it()
        adobe.advance(SECONDS + 1)
        adobe.settings.fail_targets = set()
        task.clear()
        second = task.try_it()
        created = len(ids(adobe))
        assert task.try_it() == second
        assert len(ids(adobe)) == created


@every_service
@pytest.mark.parametrize("memory", ["kept"])
def test_another_submission_key_forces_another_job(adobe, task):
    first = task.try_it()
    task.clear()
    adobe.advance(SECONDS + 1)
    second = task.try_it(submission_key="again")
    assert not set(first) & set(second)
    assert ids(adobe) == [*first, *second]


@every_service
@every_memory
class TestResubmit:
    def test_a_running_job_is_waited_for_and_then_there_is_a_new_one(self, adobe, task, service):
        first = task.try_it()
        task.clear()
        pause = task.deferred(on_clear="resubmit")
        assert pause.method_name == "execute_again"
        (earlier,) = (ref["id"] for ref in pause.trigger.plan["refs"])
        assert earlier in first
        assert ids(adobe) == first, "nothing is submitted while the earlier one runs"
        adobe.advance(SECONDS + 1)
        second = task.resume(pause, ended(earlier, service), on_clear="resubmit")
        assert ids(adobe) == [*first, *second]

    def test_after_an_ended_job_there_is_a_new_one(self, adobe, task):
        first = task.try_it()
        adobe.advance(SECONDS + 1)
        task.clear()
        second = task.try_it(on_clear="resubmit")
        assert ids(adobe) == [*first, *second]
        assert not set(first) & set(second)

    def test_its_retry_adopts_the_new_one(self, adobe, task):
        first = task.try_it()
        adobe.advance(SECONDS + 1)
        task.clear()
        second = task.try_it(on_clear="resubmit")
        assert task.try_it(on_clear="resubmit") == second
        assert ids(adobe) == [*first, *second]
