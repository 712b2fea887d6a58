"""Run the example DAGs in a real Airflow against a simulated Adobe, and print what happened.

``uv run example_dags/demo.py`` starts everything on loopback in a temporary home and leaves nothing behind.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from local_airflow import LocalAirflow

from airflow_provider_adobe_deletion.simulator import AdobeSimulator

HERE = Path(__file__).parent
DAGS = (
    "example_adobe_data_repair_approval",
    "example_adobe_profile_delete",
    "example_adobe_hygiene_cleanup",
    "example_adobe_data_repair_rollout",
)


def main() -> int:
    """Run the demo; the exit code says whether every DAG succeeded."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {text}", flush=True)

    with AdobeSimulator() as adobe:
        adobe.settings.profile_seconds = (2.0, 15.0)
        adobe.settings.repair_seconds = 8.0
        adobe.settings.workorder_seconds = (1.0, 3.0, 6.0, 12.0)
        say(f"A local Adobe answers at {adobe.url}")
        say("Starting Airflow: api-server, scheduler, dag-processor, triggerer …")
        with tempfile.TemporaryDirectory() as folder, LocalAirflow(HERE, _environment(adobe, folder)) as airflow:
            say(f"Airflow is healthy at {airflow.url}")
            runs = {dag_id: airflow.trigger(dag_id) for dag_id in DAGS}
            say(f"Somebody approves the repair: {approve(airflow, DAGS[0], runs[DAGS[0]])}")
            good = True
            for dag_id, run_id in runs.items():
                state = airflow.wait(dag_id, run_id)
                say(f"{dag_id}: {state}")
                _print_tasks(airflow, dag_id, run_id)
                good = good and state == "success"
            airflow.keep_home = not good
        _print_adobe(adobe)
    say("Done." if good else "FAILED.")
    return 0 if good else 1


def _print_adobe(adobe: AdobeSimulator) -> None:
    print("\nWhat Adobe was asked to create, change or remove:")
    for entry in adobe.journal:
        if entry.took_effect:
            sandbox = f" in sandbox {entry.sandbox}" if entry.sandbox else ""
            print(f"  {entry.method} {entry.path}{sandbox} → {entry.status}")
    print(f"  {len(adobe.journal)} requests in all, {len(adobe.journal.select('POST', '/ims/'))} of them for tokens")
    print("\nJobs at Adobe:")
    for job in adobe.jobs():
        target = ", ".join(f"{name} {value}" for name, value in job["target"].items() if isinstance(value, str))
        print(f"  {job['service']} {job['id']}: {job['status']} ({target})")


def _environment(adobe: AdobeSimulator, folder: str) -> dict[str, str]:
    return {
        "AIRFLOW_CONN_ADOBE_DEFAULT": adobe.connection_json(),
        "EXAMPLE_POLL_SECONDS": "3",
        "EXAMPLE_IDENTITIES_PATH": f"file://{_identities(Path(folder))}",
    }


def _identities(folder: Path) -> Path:
    """Make up 250,000 identities in three namespaces."""
    path = folder / "identities.csv"
    with path.open("w") as file:
        file.write("namespace,id\n")
        file.writelines(f"email,person{number}@example.com\n" for number in range(100_000))
        file.writelines(f"ECID,{number:038}\n" for number in range(100_000))
        file.writelines(f"loyalty,{number:010}\n" for number in range(50_000))
    return path


def approve(airflow: LocalAirflow, dag_id: str, run_id: str) -> str:
    """Do what a person does on the *Required actions* page: read the request, copy the digest, approve."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    while not airflow.task_is(dag_id, run_id, "approve", "awaiting_input", "deferred"):
        time.sleep(0.5)
    # A person reads first. Airflow 3.3 can fail a task by mistake that goes on within seconds of its pause.
    time.sleep(10)
    request = airflow.api("GET", path)
    digest = airflow.xcom(dag_id, run_id, "estimate")["digest"]
    airflow.api("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {"digest": digest}})
    return f"{request['subject']} Yes, {digest}."


def _print_tasks(airflow: LocalAirflow, dag_id: str, run_id: str) -> None:
    for task in airflow.tasks(dag_id, run_id):
        result = airflow.xcom(dag_id, run_id, task["task_id"])
        print(f"    {task['task_id']:<22} {task['state']:<9} {_duration(task):>7}   {_short(result)}")
        if task["state"] == "failed":
            print(airflow.log(dag_id, run_id, task["task_id"], task["try_number"]))


def _duration(task: dict[str, Any]) -> str:
    return f"{task['duration']:.1f} s" if task["duration"] is not None else ""


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 120 else text[:119] + "…"


if __name__ == "__main__":
    sys.exit(main())
