"""The worker dies at every point there is, one after the other, and in the end there is one job and a result.

A run of a task is observed at its checkpoints: before and after each record, each request, each XCom, the
deferral, and the resumption. The same task is then run once for each checkpoint, dying there, and tried again
as Airflow does: a new operator, the next try number, the same dag run and task state.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_adobe_deletion.adobe import identities
from airflow_provider_adobe_deletion.adobe.client import AdobeClient
from airflow_provider_adobe_deletion.operators.data_repair import AdobeDataRepairJobOperator
from airflow_provider_adobe_deletion.operators.hygiene import AdobeHygieneWorkOrderOperator
from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator

from .conftest import BATCH, DATASET, MemoryStore

pytestmark = pytest.mark.usefixtures("short_waits", "quick")

COMMON = {"task_id": "t", "retries": 2, "poll_interval": 0.02, "deferrable": True}
DEFINITION = {"variables": {"ipaddress": {"action": "delete"}}}
TASKS: dict[str, Callable[[], Any]] = {
    "profile dataset": lambda: AdobeProfileDeleteJobOperator(dataset_id=DATASET, **COMMON),
    "profile batch": lambda: AdobeProfileDeleteJobOperator(batch_id=BATCH, **COMMON),
    "data repair": lambda: AdobeDataRepairJobOperator(
        report_suite_id="examplersid",
        date_range_start="2026-08-01",
        date_range_end="2026-08-02",
        job_definition=DEFINITION,
        **COMMON,
    ),
    "work orders": lambda: AdobeHygieneWorkOrderOperator(
        dataset_id=DATASET, identities={"email": [f"person{number}@example.com" for number in range(5)]}, **COMMON
    ),
}


class Died(BaseException):
    """The worker was killed."""


class Checkpoints:
    """Counts the points that a run passes, and dies at one of them."""

    def __init__(self, die_at: int | None) -> None:
        self.passed: list[str] = []
        self._die_at = die_at

    def __call__(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) == self._die_at:
            raise Died(name)


class ObservedStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.checkpoint: Callable[[str], None] = lambda name: None

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.checkpoint("before a record")
        super().set(key, value, retention=retention)
        self.checkpoint("after a record")


@pytest.fixture
def quick(adobe, monkeypatch):
    adobe.settings.update(SETTINGS)
    # Orders of two identities, so that there are three of them.
    monkeypatch.setattr(identities.IdentityMapping.__init__, "__kwdefaults__", CHUNKS_OF_TWO)
    monkeypatch.setattr("airflow_provider_adobe_deletion.adobe.pacing.Pacer.reserve", lambda self: 0.0)


@pytest.fixture
def attempt(adobe, make_context, monkeypatch):
    """Return a function that runs one try of a task, from its start to its result, observed."""

    def run(make: Callable[[], Any], context: dict[str, Any], checkpoint: Checkpoints) -> Any:
        original = AdobeClient._exchange

        def exchange(client: AdobeClient, http: Any, call: Any) -> Any:
            checkpoint(f"before {call.method}")
            result = original(client, http, call)
            checkpoint(f"after {call.method}")
            return result

        push = context["ti"].xcom_push

        def xcom_push(key: str, value: Any) -> None:
            checkpoint("before an XCom")
            push(key, value)

        with monkeypatch.context() as observed:
            observed.setattr(AdobeClient, "_exchange", exchange)
            context["ti"].__dict__["xcom_push"] = xcom_push
            if "task_state_store" in context:
                context["task_state_store"].checkpoint = checkpoint
            checkpoint("at the start")
            try:
                return make().execute(context)
            except TaskDeferred as pause:
                checkpoint("at the deferral")
                # The jobs end now, and not by the clock on the wall, so that every run passes the same points.
                adobe.advance(2 * JOB_SECONDS)
                event = asyncio.run(_event(pause.trigger))
                checkpoint("at the resumption")
                result = getattr(make(), pause.method_name)(context, event)
                checkpoint("at the end")
                return result

    def first(make: Callable[[], Any], store: Any, die_at: int | None) -> Checkpoints:
        checkpoint = Checkpoints(die_at)
        context = run.context = make_context(store=store, max_tries=2)
        if die_at is None:
            run(make, context, checkpoint)
        else:
            with pytest.raises(Died):
                run(make, context, checkpoint)
        return checkpoint

    def again(make: Callable[[], Any], store: Any, try_number: int, die_at: int | None = None) -> Any:
        context = make_context(store=store, max_tries=2, try_number=try_number)
        context["dag_run"] = run.context["dag_run"]
        return run(make, context, Checkpoints(die_at))

    run.first, run.again = first, again
    return run


async def _event(trigger: Any) -> Any:
    _, kwargs = trigger.serialize()
    restored = type(trigger)(**json.loads(json.dumps(kwargs)))
    async for event in restored.run():
        return json.loads(json.dumps(event.payload))
    raise AssertionError("no event")


@pytest.mark.parametrize("stored", [True, False], ids=["with task state", "without"])
@pytest.mark.parametrize("lag", [0.0, 0.1], ids=["lists at once", "lists late"])
@pytest.mark.parametrize("task", TASKS)
def test_dying_anywhere_leaves_one_job_and_a_result(adobe, attempt, task, lag, stored):
    adobe.settings.update(SETTINGS | {"list_lag": lag})
    points = attempt.first(TASKS[task], ObservedStore() if stored else None, None).passed
    expected = len(adobe.jobs())
    assert {"before POST", "after POST", "at the deferral", "at the resumption"} <= set(points)
    assert stored == ("after a record" in points)
    for number in range(1, len(points) + 1):
        adobe.reset()
        adobe.settings.update(SETTINGS | {"list_lag": lag})
        store = ObservedStore() if stored else None
        died = attempt.first(TASKS[task], store, number)
        result = attempt.again(TASKS[task], store, 2)
        jobs = [str(job["id"]) for job in adobe.jobs()]
        assert (result if isinstance(result, list) else [result]) == jobs, f"died at {died.passed[-1]} ({number})"
        assert len(jobs) == expected


JOB_SECONDS = 60.0
SETTINGS = {
    "profile_seconds": [0.0, JOB_SECONDS],
    "repair_seconds": JOB_SECONDS,
    "analytics_rate_limit": False,
    "profile_duplicate_422": "never",
    "workorder_seconds": [0.0, 0.0, 0.0, JOB_SECONDS],
    "small_order_limit": None,
}
CHUNKS_OF_TWO = {"on_bad_row": "fail", "chunk_size": 2}


@pytest.mark.parametrize("task", ["profile dataset", "data repair", "work orders"])
def test_dying_twice_leaves_one_job_too(adobe, attempt, task):
    points = len(attempt.first(TASKS[task], ObservedStore(), None).passed)
    expected = len(adobe.jobs())
    for number in range(1, points + 1, 3):
        adobe.reset()
        adobe.settings.update(SETTINGS)
        store = ObservedStore()
        attempt.first(TASKS[task], store, number)
        for second in (3, 8):
            try:
                attempt.again(TASKS[task], store, 2, second)
            except Died:
                break
        attempt.again(TASKS[task], store, 3)
        assert len(adobe.jobs()) == expected
