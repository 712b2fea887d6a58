"""Runs of the example DAGs, with a triggerer that is restarted in between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo import DAGS, approve
from local_airflow import LocalAirflow

from airflow_provider_adobe_deletion.simulator import AdobeSimulator

APPROVAL, PROFILE, HYGIENE, ROLLOUT = DAGS


@dataclass(frozen=True)
class Observed:
    """How the runs of the example DAGs ended.

    :param runs: the runs' ids by DAG.
    :param interrupted: the tasks that were deferred when the triggerer was restarted, as DAG and task, each with the
        id of that triggerer.
    """

    airflow: LocalAirflow
    adobe: AdobeSimulator
    runs: Mapping[str, str]
    states: Mapping[str, str]
    interrupted: Mapping[tuple[str, str], int]

    def tasks(self, dag_id: str) -> list[dict[str, Any]]:
        return self.airflow.tasks(dag_id, self.runs[dag_id])

    def xcom(self, dag_id: str, task_id: str, key: str = "return_value") -> Any:
        return self.airflow.xcom(dag_id, self.runs[dag_id], task_id, key)

    def task_state(self, dag_id: str, task_id: str) -> dict[str, Any]:
        return self.airflow.task_state(dag_id, self.runs[dag_id], task_id)


def observe(airflow: LocalAirflow, adobe: AdobeSimulator) -> Observed:
    """Run them all."""
    # The one that takes longest comes first.
    runs = {dag_id: airflow.trigger(dag_id) for dag_id in reversed(DAGS)}
    interrupted = deferred(airflow, runs)
    airflow.restart("triggerer")
    approve(airflow, APPROVAL, runs[APPROVAL])
    states = {dag_id: airflow.wait(dag_id, run_id) for dag_id, run_id in runs.items()}
    return Observed(airflow, adobe, runs, states, interrupted)


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
