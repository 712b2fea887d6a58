"""A real Airflow that is there to be killed: two triggerers, and short time-outs where it notices a death."""

from __future__ import annotations

import contextlib
import ctypes
import sqlite3
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

sys.path.append(str(Path(__file__).parents[2] / "example_dags"))

from local_airflow import LocalAirflow

TRIGGERERS = ("triggerer", "triggerer-2")
_DAGS_FOLDER = Path(__file__).parent / "dags"
_ENVIRONMENT = {
    "AIRFLOW__CORE__PARALLELISM": "8",
    # Parsing may stall on a busy machine, and must not take the DAG away.
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "600",
    "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "1000",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
}
_PR_SET_CHILD_SUBREAPER = 36
_WORKER = "airflow worker -- LocalExecutor:"
_TASK = "airflow worker -- "


class Cluster(LocalAirflow):
    """Airflow's processes by what they do, and the tasks among them."""

    def __init__(self, environment: dict[str, str]) -> None:
        quiet = ["--skip-serve-logs"]
        super().__init__(
            _DAGS_FOLDER, _ENVIRONMENT | environment, {"triggerer": quiet}, {TRIGGERERS[1]: ["triggerer", *quiet]}
        )
        _adopt_orphans(True)

    def stop(self) -> None:
        """End everything, also the tasks that have outlived their workers."""
        super().stop()
        for task in self.all_tasks():
            with contextlib.suppress(psutil.NoSuchProcess):
                task.kill()
        _adopt_orphans(False)

    def database_is_free(self) -> bool:
        """Whether nobody holds SQLite's one lock for long, as a process does for ever that is stopped meanwhile."""
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db", timeout=3, isolation_level=None)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            database.execute("ROLLBACK")
            return True

    def revive(self) -> list[str]:
        """Start what has ended by itself, as a service manager would, and return its names."""
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        for name in ended:
            self.start(name)
        return ended

    def running_tasks(self) -> list[tuple[psutil.Process, psutil.Process]]:
        """Return each busy worker process of the scheduler's, and the process of its task."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for worker in psutil.Process(self._processes["scheduler"].pid).children():
                task = task_of(worker)
                if task is not None:
                    found.append((worker, task))
        return found

    def all_tasks(self) -> list[psutil.Process]:
        """Return the processes of all tasks, also of those whose worker is dead."""
        return [process for process in psutil.Process().children(recursive=True) if _is_task(process)]

    def active_runs(self) -> int:
        """Return how many runs have not ended."""
        states = {"state": ["running", "queued"], "limit": 1}
        return int(self.api("GET", "/api/v2/dags/~/dagRuns", params=states)["total_entries"])

    @retry(
        retry=retry_if_exception(lambda error: _is_status(error, 404)),
        stop=stop_after_delay(180),
        wait=wait_fixed(2),
        reraise=True,
    )
    def start_run(self, dag_id: str, run_id: str) -> None:
        """Start a run by its name, of which there can be only one.

        A DAG that a busy machine did not parse in time is unknown until it has.
        """
        try:
            self.api("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "dag_run_id": run_id})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 409:
                raise

    @retry(
        retry=retry_if_exception(lambda error: isinstance(error, httpx.TransportError) or _is_server_s(error)),
        stop=stop_after_delay(120),
        wait=wait_fixed(2),
        reraise=True,
    )
    def api(self, method: str, path: str, **options: Any) -> Any:
        """Call the REST API, which has no easy life here."""
        return super().api(method, path, **options)


def _is_server_s(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code >= 500


def _is_status(error: BaseException, status: int) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == status


def _adopt_orphans(whether: bool) -> None:
    """Have tasks whose worker dies become children of this process, which can find and end them then."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0)


def task_of(worker: psutil.Process) -> psutil.Process | None:
    """Return the process of the task that a worker runs, once Airflow knows that it runs."""
    try:
        if not _title(worker).startswith(_WORKER):
            return None
        return next(filter(_is_task, worker.children()), None)
    except psutil.NoSuchProcess:
        return None


def _is_task(process: psutil.Process) -> bool:
    """Whether it runs a task. It is called so only after Airflow has been told, and until it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        title = _title(process)
        return title.startswith(_TASK) and not title.startswith(_WORKER)
    return False


def _title(process: psutil.Process) -> str:
    """Return what a process calls itself; nothing for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.ZombieProcess:
        return ""
