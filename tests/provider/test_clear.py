"""What a cleared task does about its earlier jobs, for each service, whether Airflow kept its task state or not."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_adobe_deletion.simulator import Fault
from airflow_provider_adobe_deletion.task_state import identity

from .conftest import DATASET
from .services import SECONDS, SUITE, Task, every_memory, every_service, ids

pytestmark = pytest.mark.usefixtures("short_waits", "slow_jobs")

CREATES = r"/(system/jobs|job|workorder)$"


@pytest.fixture
def task(make_context, service, memory):
    return Task(make_context, service, memory)


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
@every_memory
@pytest.mark.parametrize("on_clear", ["adopt", "resubmit"])
def test_whoever_was_asked_whether_a_job_exists_and_clears_the_task_has_decided(adobe, task, on_clear):
    options = {"on_ambiguous": "fail", "on_clear": on_clear}
    adobe.faults.add(Fault(method="POST", path=CREATES, when="before", abort=True))
    with pytest.raises(AirflowFailException, match="if it is certainly not, clear the task, or set another"):
        task.try_it(**options)
    assert ids(adobe) == []
    task.clear()
    assert task.try_it(**options) == ids(adobe)


@every_service
@every_memory
def test_who_clears_too_early_gets_the_job_that_shows_later(adobe, task):
    adobe.settings.list_lag = 1.0
    adobe.faults.add(Fault(method="POST", path=CREATES, when="after", abort=True))
    with pytest.raises(AirflowFailException, match="It is unknown whether"):
        task.try_it(on_ambiguous="fail")
    adobe.advance(2)
    task.clear()
    assert task.try_it(on_ambiguous="fail") == ids(adobe)


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
