"""The example DAGs in a real Airflow, on SQLite and on PostgreSQL, with a triggerer that is restarted in between."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from demo import DAGS, approve
from local_airflow import LocalAirflow

from airflow_provider_adobe_deletion.simulator import AdobeSimulator
from tests.real_airflow.conftest import DATABASES, Stand

APPROVAL, PROFILE, HYGIENE, ROLLOUT = DAGS
SUITE_DAYS = [
    ("exampledev", "2026-08-01", "2026-08-01"),
    ("exampledev", "2026-08-01", "2026-08-31"),
    ("exampleprod", "2026-08-01", "2026-08-01"),
    ("exampleprod", "2026-08-01", "2026-08-31"),
    ("exampleprod", "2026-01-01", "2026-08-31"),
]

pytestmark = pytest.mark.parametrize("database", DATABASES)


@dataclass(frozen=True)
class Observed:
    """How the runs of the example DAGs ended.

    :param runs: the runs' ids by DAG.
    :param interrupted: the tasks that were deferred when the triggerer was restarted, as DAG and task, each with the
        id of that triggerer.
    """

    stand: Stand
    runs: Mapping[str, str]
    states: Mapping[str, str]
    interrupted: Mapping[tuple[str, str], int]

    @property
    def airflow(self) -> LocalAirflow:
        return self.stand.airflow

    @property
    def adobe(self) -> AdobeSimulator:
        return self.stand.adobe

    def tasks(self, dag_id: str) -> list[dict[str, Any]]:
        return self.airflow.tasks(dag_id, self.runs[dag_id])

    def xcom(self, dag_id: str, task_id: str, key: str = "return_value") -> Any:
        return self.airflow.xcom(dag_id, self.runs[dag_id], task_id, key)

    def task_state(self, dag_id: str, task_id: str) -> dict[str, Any]:
        return self.airflow.task_state(dag_id, self.runs[dag_id], task_id)


@pytest.fixture(scope="module")
def observing(stands: Mapping[str, Stand]) -> Iterator[Mapping[str, Future[Observed]]]:
    """Run the example DAGs on all databases at the same time, since they mostly wait."""
    with ThreadPoolExecutor() as pool:
        yield {name: pool.submit(observe, stand) for name, stand in stands.items()}


@pytest.fixture
def observed(stand: Stand, observing: Mapping[str, Future[Observed]], database: str) -> Observed:
    return observing[database].result()


def observe(stand: Stand) -> Observed:
    airflow = stand.airflow
    # The one that takes longest comes first.
    runs = {dag_id: airflow.trigger(dag_id) for dag_id in reversed(DAGS)}
    interrupted = deferred(airflow, runs)
    airflow.restart("triggerer")
    approve(airflow, APPROVAL, runs[APPROVAL])
    states = {dag_id: airflow.wait(dag_id, run_id) for dag_id, run_id in runs.items()}
    return Observed(stand, runs, states, interrupted)


def deferred(airflow: LocalAirflow, runs: Mapping[str, str]) -> dict[tuple[str, str], int]:
    """Wait until the triggerer works for the DAGs whose jobs take long, and return all tasks that it works for."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = {
            (dag_id, task["task_id"]): task["triggerer_job"]["id"]
            for dag_id, run_id in runs.items()
            for task in airflow.tasks(dag_id, run_id)
            if task["state"] == "deferred" and task["triggerer_job"]
        }
        if {PROFILE, HYGIENE} <= {dag_id for dag_id, _ in found}:
            return found
        time.sleep(0.3)
    raise TimeoutError("the example DAGs have not come to wait in the triggerer")


def test_every_task_succeeds_at_its_first_try(observed: Observed) -> None:
    tasks = [task for dag_id in DAGS for task in observed.tasks(dag_id)]
    for task in tasks:
        reached = (task["state"], task["try_number"])
        where = (task["dag_id"], task["dag_run_id"], task["task_id"])
        assert reached == ("success", 1), f"{where}: {observed.airflow.log(*where)}\n{mistakes(observed.airflow)}"
    assert len(tasks) == 4 + 4 + 2 + 5
    assert set(observed.states.values()) == {"success"}


def mistakes(airflow: LocalAirflow) -> str:
    """Return where the scheduler took a task for failed that had only been deferred."""
    lines = (airflow.home / "scheduler.log").read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if "finished with state" in line)


def test_the_metadata_are_where_they_should_be(observed: Observed, database: str) -> None:
    shown = observed.airflow.airflow("config", "get-value", "database", "sql_alchemy_conn")
    assert f"{database}{'+psycopg2' if database == 'postgresql' else ''}://" in shown


def test_a_restart_of_the_triggerer_goes_unnoticed(observed: Observed) -> None:
    assert len(observed.interrupted) >= 3
    for (dag_id, task_id), triggerer in observed.interrupted.items():
        folder = observed.airflow.home / "logs" / f"dag_id={dag_id}" / f"run_id={observed.runs[dag_id]}"
        # Each triggerer writes a log of its own, in which its id is.
        logs = (folder / f"task_id={task_id}").glob("attempt=1.log.trigger.*.log")
        assert {int(path.name.split(".")[3]) for path in logs} - {triggerer}, task_id


def test_adobe_is_asked_once_for_each_job(observed: Observed) -> None:
    posts = Counter(
        (entry.path, entry.sandbox)
        for entry in observed.adobe.journal.select("POST")
        if not entry.path.startswith("/ims/")
    )
    repairs = "/api/exampl0/datarepair/v1"
    assert posts == {
        ("/data/core/ups/system/jobs", "dev"): 2,
        ("/data/core/hygiene/workorder", "dev"): 2,
        (f"{repairs}/examplersid/job", None): 1,
        (f"{repairs}/exampledev/job", None): 2,
        (f"{repairs}/exampleprod/job", None): 3,
    }
    assert all(entry.took_effect and entry.status < 300 for entry in creating(observed.adobe))
    assert {entry.method for entry in observed.adobe.journal if entry.took_effect} == {"POST"}
    assert len(observed.adobe.jobs()) == len(creating(observed.adobe)) == 10


def creating(adobe: AdobeSimulator) -> list[Any]:
    return [entry for entry in adobe.journal.select("POST") if not entry.path.startswith("/ims/")]


def test_the_jobs_are_those_that_were_meant(observed: Observed) -> None:
    jobs = observed.adobe.jobs()
    targets = [job["target"] for job in jobs if job["service"] == "profile"]
    assert sorted((target["datasetId"], target["batchId"]) for target in targets) == [
        ("5c802d3cd83fc114b741c4b5", None),
        ("66a92c5910df2d1767de13f3", "8d075b5a178e48389126b9289dcfd0ac"),
    ]
    repairs = [
        (target["reportSuiteId"], target["dateRangeStart"], target["dateRangeEnd"])
        for target in (job["target"] for job in jobs if job["service"] == "data_repair")
    ]
    assert [repair for repair in repairs if repair[0] != "examplersid"] == SUITE_DAYS
    assert [repair for repair in repairs if repair[0] == "examplersid"] == [("examplersid", "2026-08-01", "2026-08-31")]
    orders = [job["target"] for job in jobs if job["service"] == "workorder"]
    assert [order["identities"] for order in orders] == [100_000, 20_000]


def test_xcoms_hold_the_jobs(observed: Observed) -> None:
    ids = {job["id"] for job in observed.adobe.jobs()}
    told = list(observed.xcom(PROFILE, "report"))
    told += observed.xcom(HYGIENE, "clean_up", "jobs")
    told += observed.xcom(APPROVAL, "repair", "jobs")
    for stage in observed.tasks(ROLLOUT):
        (job,) = observed.xcom(ROLLOUT, stage["task_id"], "jobs")
        assert str(observed.xcom(ROLLOUT, stage["task_id"])) == job["id"]
        told.append(job)
    assert {job["id"] for job in told} == ids
    assert {job["state"] for job in told} == {"succeeded"}
    assert observed.xcom(HYGIENE, "report") == {"work orders": 2, "identities": 120_000}
    assert observed.xcom(HYGIENE, "clean_up") == [job["id"] for job in observed.xcom(HYGIENE, "clean_up", "jobs")]
    assert observed.xcom(APPROVAL, "report")["billed_server_calls"] == 31_000


def test_task_state_holds_what_a_retry_would_need(observed: Observed) -> None:
    submitting = [(PROFILE, "delete_dataset"), (PROFILE, "request_batch_delete"), (HYGIENE, "clean_up")]
    submitting += [(APPROVAL, "repair"), *((ROLLOUT, task["task_id"]) for task in observed.tasks(ROLLOUT))]
    recorded = []
    for dag_id, task_id in submitting:
        for key, value in observed.task_state(dag_id, task_id).items():
            assert key.split(".")[0] == "adobe_submission"
            (record,) = value["records"].values()
            assert record["ours"]
            assert not record["refused"]
            recorded.append(record["job"]["id"])
            # Of a repair's validation token, only its cipher text.
            assert (record["sealed"] is not None) == (record["job"]["kind"] == "data_repair")
            assert "validationToken" not in json.dumps(value)
    assert sorted(recorded) == sorted(job["id"] for job in observed.adobe.jobs())
    assert observed.task_state(PROFILE, "batch_deleted") == {}
