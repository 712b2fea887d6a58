"""The example DAGs in a real Airflow, on SQLite and on PostgreSQL, with a triggerer that is restarted in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest
import sqlalchemy
from demo import DAGS
from local_airflow import LocalAirflow

from airflow_provider_adobe_deletion.simulator import AdobeSimulator
from tests.real_airflow.conftest import DATABASES, Stand
from tests.real_airflow.example_runs import APPROVAL, HYGIENE, PROFILE, ROLLOUT, Observed

SUITE_DAYS = [
    ("exampledev", "2026-08-01", "2026-08-01"),
    ("exampledev", "2026-08-01", "2026-08-31"),
    ("exampleprod", "2026-08-01", "2026-08-01"),
    ("exampleprod", "2026-08-01", "2026-08-31"),
    ("exampleprod", "2026-01-01", "2026-08-31"),
]

pytestmark = pytest.mark.parametrize("database", DATABASES)


@pytest.fixture
def observed(stand: Stand, observing: Mapping[str, Future[Observed]], database: str) -> Observed:
    return observing[database].result()


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


def test_the_metadata_are_where_they_should_be(observed: Observed, stand: Stand) -> None:
    assert (observed.airflow.home / "airflow.db").exists() == (stand.postgres is None)
    if stand.postgres is not None:
        engine = sqlalchemy.create_engine(stand.postgres.url())
        with engine.connect() as connection:
            runs = connection.execute(sqlalchemy.text("SELECT run_id FROM dag_run")).scalars().all()
        engine.dispose()
        assert set(observed.runs.values()) <= set(runs)


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
