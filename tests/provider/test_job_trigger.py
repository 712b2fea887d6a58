"""The trigger, on a real event loop against the simulated Adobe."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.jobs import JobKind, JobRef
from airflow_provider_adobe_deletion.adobe.waiting import Outcome, WaitPlan, WaitResult
from airflow_provider_adobe_deletion.hooks import adobe as hooks
from airflow_provider_adobe_deletion.simulator import Fault
from airflow_provider_adobe_deletion.triggers import job as job_trigger
from airflow_provider_adobe_deletion.triggers.job import AdobeJobTrigger

from .conftest import BATCH, DATASET

pytestmark = pytest.mark.usefixtures("short_waits")


def plan(*ids: str, timeout: float = 20.0, age: float = 0.0, **changes: Any) -> dict[str, Any]:
    submitted = datetime.now(UTC) - timedelta(seconds=age)
    return WaitPlan(
        refs=tuple(JobRef(JobKind.PROFILE, job_id) for job_id in ids),
        submitted_at=submitted,
        deadline=submitted + timedelta(seconds=timeout),
        **{"poll_interval": 0.05, "max_poll_interval": 0.1, "max_poll_failures": 3, **changes},
    ).to_dict()


def trigger(*ids: str, **changes: Any) -> AdobeJobTrigger:
    """Return a trigger that went through the database, as Airflow sends it."""
    made = AdobeJobTrigger("adobe_default", plan(*ids, **changes))
    _, kwargs = made.serialize()
    return AdobeJobTrigger(**json.loads(json.dumps(kwargs)))


async def fired(made: AdobeJobTrigger) -> WaitResult:
    events = [event async for event in made.run()]
    assert len(events) == 1, "a trigger fires once"
    return WaitResult.from_event(json.loads(json.dumps(events[0].payload)))


@pytest.fixture
def create(connect):
    def make(dataset_id: str = DATASET) -> str:
        return connect().run(profile.create(profile.ProfileTarget(dataset_id), cloud="azure")).id

    return make


async def test_waits_for_all_jobs_and_fires_once(adobe, create):
    adobe.settings.profile_seconds = (0.1, 0.3)
    ids = [create("a1"), create("a2"), create("a3")]
    result = await fired(trigger(*ids))
    assert result.outcome is Outcome.SUCCEEDED
    assert [(job["id"], job["state"]) for job in result.jobs] == [(job_id, "succeeded") for job_id in ids]


async def test_one_failed_job_among_several_fails_after_all_have_ended(adobe, create):
    adobe.settings.profile_seconds = (0.0, 0.2)
    adobe.settings.fail_targets = {"a2"}
    result = await fired(trigger(create("a1"), create("a2"), create("a3")))
    assert result.outcome is Outcome.FAILED
    assert [job["state"] for job in result.jobs] == ["succeeded", "failed", "succeeded"]


async def test_an_outage_longer_than_the_tolerated_failures_does_not_end_the_wait(adobe, create):
    adobe.settings.profile_seconds = (0.1, 0.2)
    job_id = create()
    adobe.faults.add(Fault(method="GET", path="/system/jobs/", times=25, status=503))
    assert (await fired(trigger(job_id))).outcome is Outcome.SUCCEEDED


async def test_refusals_in_a_row_end_the_wait(adobe, create):
    job_id = create()
    adobe.faults.add(Fault(method="GET", path="/system/jobs/", times=None, status=403, body={"error_code": "403025"}))
    result = await fired(trigger(job_id))
    assert result.outcome is Outcome.REFUSED
    assert "HTTP 403" in result.reason
    assert "403025" in result.reason
    assert len(adobe.journal.select("GET", "/system/jobs/")) == 3


async def test_refusals_with_a_success_in_between_do_not(adobe, create):
    adobe.settings.profile_seconds = (0.2, 0.5)
    job_id = create()
    adobe.faults.add(Fault(method="GET", path="/system/jobs/", times=2, status=403))
    adobe.faults.add(Fault(method="GET", path="/system/jobs/", times=2, after=2, status=403))
    assert (await fired(trigger(job_id))).outcome is Outcome.SUCCEEDED


async def test_a_token_revoked_during_the_wait_is_renewed(adobe, create):
    adobe.settings.profile_seconds = (0.2, 0.6)
    job_id = create()
    waiting = asyncio.create_task(fired(trigger(job_id)))
    await asyncio.sleep(0.2)
    adobe.revoke_tokens()
    assert (await waiting).outcome is Outcome.SUCCEEDED
    assert len(adobe.journal.select("POST", "/ims/token")) == 2


async def test_300_waits_cost_one_look_at_the_connection_and_a_few_requests(adobe, create, monkeypatch):
    """The jobs share a list, and Airflow's supervisor needs 45 ms for each connection that is looked up."""
    adobe.settings.profile_seconds = (0.2, 3.0)
    adobe.settings.profile_duplicate_422 = "never"
    ids = [create(f"a{number}") for number in range(300)]
    looked_up = []
    original = hooks.get_async_connection
    monkeypatch.setattr(hooks, "get_async_connection", lambda name: looked_up.append(name) or original(name))
    adobe.journal.clear()
    waits = [fired(trigger(job_id, timeout=60, poll_interval=1.0, max_poll_interval=1.0)) for job_id in ids]
    results = await asyncio.gather(*waits)
    assert {result.outcome for result in results} == {Outcome.SUCCEEDED}
    assert looked_up == ["adobe_default"]
    # Each end is looked up by itself; the many looks before it are shared, but by a few that fell out of step.
    singly = [entry for entry in adobe.journal.select("GET") if entry.path.rsplit("/", 1)[-1] in ids]
    assert 300 <= len(singly) <= 330
    assert len(adobe.journal.select("GET")) - len(singly) <= 5 * 6


async def test_the_deadline_counts_from_the_submission(adobe, create):
    adobe.settings.profile_seconds = (60.0, 90.0)
    started = time.monotonic()
    result = await fired(trigger(create(), timeout=100.3, age=100.0))
    assert result.outcome is Outcome.TIMED_OUT
    assert time.monotonic() - started < 2


async def test_does_not_fire_in_its_first_seconds(adobe, create, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ADOBE_DELETION__MINIMUM_DEFERRAL", "0.7")
    adobe.settings.profile_seconds = (0.0, 0.0)
    started = time.monotonic()
    await fired(trigger(create()))
    assert time.monotonic() - started >= 0.7


async def test_a_removed_job_is_gone(adobe, create, connect):
    job_id = create()
    connect().run(profile.remove(job_id))
    result = await fired(trigger(job_id, timeout=500, age=300))
    assert (result.outcome, result.jobs[0]["state"]) == (Outcome.FAILED, "gone")


async def test_a_connection_that_cannot_be_used_ends_as_refused(adobe, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json(platform_url="http://example.com"))
    result = await fired(trigger("j1"))
    assert result.outcome is Outcome.REFUSED
    assert len(adobe.journal) == 0


async def test_credentials_rotated_in_the_connection_are_picked_up(adobe, create, monkeypatch):
    monkeypatch.setattr("airflow_provider_adobe_deletion.hooks.adobe._FAILED_CONNECTION_SECONDS", 0.0)
    adobe.settings.profile_seconds = (0.5, 1.0)
    job_id = create()
    waiting = asyncio.create_task(fired(trigger(job_id)))
    await asyncio.sleep(0.2)
    adobe.rotate_secret("a-new-secret")
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json())
    adobe.revoke_tokens()
    assert (await waiting).outcome is Outcome.SUCCEEDED


async def test_a_wait_keeps_to_its_sandbox_when_the_connection_changes(adobe, create, monkeypatch):
    adobe.settings.profile_seconds = (0.1, 0.2)
    place = {"sandbox_name": "dev"}
    made = AdobeJobTrigger("adobe_default", plan(create(), timeout=500, age=300), place)
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json(sandbox_name="prod"))
    assert (await fired(made)).outcome is Outcome.SUCCEEDED


class TestOnKill:
    """Airflow calls ``on_kill`` also when nobody killed anything."""

    def killed(self, monkeypatch: pytest.MonkeyPatch, job_id: str, state: Any, remove: bool = True) -> AdobeJobTrigger:
        def current_state(ti: Any) -> str | None:
            if isinstance(state, Exception):
                raise state
            return state

        monkeypatch.setattr(job_trigger, "current_state", current_state)
        made = AdobeJobTrigger("adobe_default", plan(job_id), remove_on_kill=remove)
        made.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
        return made

    @pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed"])
    async def test_removes_when_somebody_ended_the_task(self, adobe, create, monkeypatch, state):
        made = self.killed(monkeypatch, create(), state)
        await made.on_kill()
        assert [job["removed"] for job in adobe.jobs()] == [True]

    @pytest.mark.parametrize("state", ["deferred", "running", "queued", "scheduled", None, RuntimeError("no answer")])
    async def test_leaves_the_job_alone_otherwise(self, adobe, create, monkeypatch, state):
        made = self.killed(monkeypatch, create(), state)
        await made.on_kill()
        assert not adobe.journal.select("DELETE")

    async def test_leaves_a_job_that_has_ended_and_a_wait_that_was_over(self, adobe, create, monkeypatch):
        adobe.settings.profile_seconds = (0.0, 0.0)
        await self.killed(monkeypatch, create(), "success").on_kill()
        made = self.killed(monkeypatch, create("a2"), "failed")
        made.plan["deadline"] = datetime.now(UTC).isoformat()
        await made.on_kill()
        assert not adobe.journal.select("DELETE")

    async def test_leaves_the_job_alone_by_default(self, adobe, create, monkeypatch):
        made = self.killed(monkeypatch, create(), "failed", remove=False)
        await made.on_kill()
        assert not adobe.journal.select("DELETE")

    async def test_goes_on_when_the_triggerer_cancels_it(self, adobe, create, monkeypatch):
        made = self.killed(monkeypatch, create(), "failed")
        adobe.faults.add(Fault(method="DELETE", path="/system/jobs/", delay=0.5))
        killing = asyncio.create_task(made.on_kill())
        await asyncio.sleep(0.2)
        killing.cancel()
        await asyncio.gather(*job_trigger._removals)
        assert [job["removed"] for job in adobe.jobs()] == [True]


class LoggedFrom(logging.Handler):
    """Notes which threads log, and what."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "adobe_deletion" in record.name and "simulator" not in record.name:
            self.said.append((record.getMessage(), threading.get_ident()))


@pytest.fixture
def logged():
    handler, root = LoggedFrom(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.said
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, "is COMPLETED."),
        ({"status": 503, "times": 12}, "now; its deadline stands."),
        ({"status": 503, "times": 1}, "Trying again in"),
        ({"status": 403, "times": None}, "in a row was refused"),
        ({"status": 404, "times": None}, "Adobe does not know"),
    ],
    ids=str,
)
async def test_a_log_that_nobody_reads_does_not_hold_up_the_event_loop(adobe, create, logged, fault, said):
    """Airflow's supervisor does not read a triggerer's logs while it sends what thousands of triggers need."""
    adobe.settings.profile_seconds = (0.1, 0.3)
    made = trigger(create(), age=300.0, timeout=400.0)
    if fault:
        adobe.faults.add(Fault(method="GET", path="/system/jobs/", **fault))
    logged.clear()
    await fired(made)
    assert any(said in text for text, _ in logged)
    assert not [text for text, thread in logged if thread == threading.get_ident()]


@pytest.mark.timing
async def test_200_waits_on_slow_answers_do_not_hold_up_the_event_loop(monkeypatch):
    """A 10 ms heartbeat is never late by more than 100 ms. Adobe runs in another process, as it does in life."""
    with subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_adobe_deletion.simulator"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().rsplit(" ", 1)[1].strip()
            exported = server.stdout.readline().split("=", 1)[1].strip().strip("'")
            monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", exported)
            monkeypatch.setenv("AIRFLOW__ADOBE_DELETION__MINIMUM_DEFERRAL", "0")
            httpx.patch(f"{url}/_simulator/settings", json={"profile_seconds": [0.5, 1.0]}).raise_for_status()
            fault = {"method": "GET", "path": "/system/jobs/", "delay": 0.1, "times": None}
            httpx.post(f"{url}/_simulator/faults", json=fault).raise_for_status()
            lateness = await _lateness_while(_create_and_wait(exported, 200))
        finally:
            server.terminate()
    print(f"heartbeat: {len(lateness)} beats, at most {max(lateness) * 1000:.0f} ms late")
    assert len(lateness) > 100
    assert max(lateness) <= 0.1


async def _create_and_wait(connection: str, count: int) -> None:
    from airflow_provider_adobe_deletion.adobe.client import AdobeClient
    from airflow_provider_adobe_deletion.adobe.config import AdobeConfig

    fields = json.loads(connection)
    config = AdobeConfig.from_connection(fields["login"], fields["password"], fields["extra"])
    async with AdobeClient(config) as client:
        created = [
            await client.arun(profile.create(profile.ProfileTarget(None, BATCH[:-3] + f"{n:03}"), cloud="azure"))
            for n in range(count)
        ]
    waits = []
    for number, job in enumerate(created):
        waits.append(asyncio.create_task(fired(trigger(job.id, timeout=120, poll_interval=0.2))))
        if number % 50 == 49:
            # The triggerer starts at most 50 triggers a loop, too ([triggerer] max_trigger_to_select_per_loop).
            await asyncio.sleep(0.02)
    assert [result.outcome for result in await asyncio.gather(*waits)] == [Outcome.SUCCEEDED] * count


async def _lateness_while(work: Any) -> list[float]:
    late: list[float] = []

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - before - 0.01)

    # One full collection of a heap with all of Airflow in it takes 100 ms, whoever's code runs.
    gc.collect()
    gc.freeze()
    beating = asyncio.create_task(beat())
    await work
    beating.cancel()
    gc.unfreeze()
    return late
