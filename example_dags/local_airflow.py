"""A real Airflow 3 on this machine: api-server, scheduler, dag-processor and triggerer as processes.

For the demo and for tests: SQLite in a temporary home unless told otherwise, everything on loopback.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

COMMANDS = {
    "api-server": ["api-server", "--workers", "1"],
    "scheduler": ["scheduler"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer"],
}


class LocalAirflow:
    """Starts and stops the processes, and talks to the REST API.

    :param dags_folder: where the DAG files are.
    :param environment: more environment variables, such as ``AIRFLOW_CONN_ADOBE_DEFAULT``.
    :param arguments: more command-line arguments, by component.
    :param more: more components, by name, as command-line arguments.
    """

    def __init__(
        self,
        dags_folder: Path,
        environment: Mapping[str, str] | None = None,
        arguments: Mapping[str, list[str]] | None = None,
        more: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="airflow-"))
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._environment = _environment(self.home, self.url, dags_folder) | dict(environment or {})
        self._commands = COMMANDS | dict(more or {})
        self._arguments = dict(arguments or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._http = httpx.Client(base_url=self.url, timeout=30)
        self.keep_home = False

    def __enter__(self) -> Self:
        try:
            self.airflow("db", "migrate")
            for component in self._commands:
                self.start(component)
            self._wait_until_healthy()
        except BaseException:
            self.keep_home = True
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keep_home = self.keep_home or error is not None
        self.stop()

    def airflow(self, *arguments: str) -> str:
        """Run one command of Airflow's and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def start(self, component: str) -> None:
        """Start one component in a process group of its own."""
        with (self.home / f"{component}.log").open("ab") as log:
            self._processes[component] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self._commands[component], *self._arguments.get(component, [])],
                env=self._environment,
                start_new_session=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, component: str, number: signal.Signals) -> None:
        """Send a signal to a component and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._processes[component].pid, number)

    def restart(self, component: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a component with a signal, and start it again."""
        self.kill(component, number)
        try:
            self._processes[component].wait(20)
        except subprocess.TimeoutExpired:
            self.kill(component, signal.SIGKILL)
            self._processes[component].wait()
        self.start(component)

    def stop(self) -> None:
        """End everything, and remove the home unless it is to be kept."""
        for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            for component in self._processes:
                self.kill(component, number)
            end = time.monotonic() + patience
            while time.monotonic() < end and any(process.poll() is None for process in self._processes.values()):
                time.sleep(0.1)
        self._http.close()
        if self.keep_home:
            print(f"Airflow's home and logs are kept in {self.home}", file=sys.stderr)
        else:
            shutil.rmtree(self.home, ignore_errors=True)

    def api(self, method: str, path: str, **options: Any) -> Any:
        """Call the REST API and return the JSON it answers."""
        if "Authorization" not in self._http.headers:
            token = self._http.get("/auth/token").raise_for_status().json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        response = self._http.request(method, path, **options)
        response.raise_for_status()
        return response.json() if response.content else None

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, patience: float = 90) -> str:
        """Start a run, waiting for the DAG file to be parsed if need be; return the run's id."""
        end = time.monotonic() + patience
        while True:
            try:
                run = self.api(
                    "POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": dict(conf or {})}
                )
                return str(run["dag_run_id"])
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 404 or time.monotonic() > end:
                    problems = self.api("GET", "/api/v2/importErrors")["import_errors"]
                    raise RuntimeError(f"{dag_id} cannot be run: {error.response.text} {problems}") from error
                time.sleep(0.5)

    def wait(self, dag_id: str, run_id: str, patience: float = 300) -> str:
        """Wait until the run has ended and return its state."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            state = self.api("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
            if state in ("success", "failed"):
                return str(state)
            time.sleep(0.5)
        raise TimeoutError(f"{dag_id} {run_id} did not end within {patience:.0f} s")

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances in the order in which they started."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found = self.api("GET", path, params={"limit": 100})["task_instances"]
        return sorted(found, key=lambda task: task["start_date"] or "9")

    def task_is(self, dag_id: str, run_id: str, task_id: str, *states: str) -> bool:
        """Whether a task is in one of some states. It raises once the run has ended without reaching one."""
        task = self.api("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")
        if task["state"] in ("failed", "upstream_failed", "success", "skipped") and task["state"] not in states:
            raise RuntimeError(f"{task_id} is {task['state']}: {self.log(dag_id, run_id, task_id, task['try_number'])}")
        return task["state"] in states

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return one XCom, or ``None``."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.api("GET", path, params={"deserialize": "true"})["value"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return None
            raise

    def task_state(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return what a task keeps over its tries (Airflow 3.3 and later)."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store"
        return {entry["key"]: entry["value"] for entry in self.api("GET", path)["task_state_store"]}

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return a task's log as text."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.api("GET", path, params={"full_content": "true"})["content"]
        return "\n".join(_log_text(line) for line in content)

    def _wait_until_healthy(self, patience: float = 120) -> None:
        end = time.monotonic() + patience
        while time.monotonic() < end:
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended:
                raise RuntimeError(f"Airflow's {', '.join(ended)} ended at the start; see the logs in {self.home}")
            try:
                health = self._http.get("/api/v2/monitor/health").json()
                if all(health[name]["status"] == "healthy" for name in ("scheduler", "dag_processor", "triggerer")):
                    return
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                pass
            time.sleep(0.3)
        raise RuntimeError(f"Airflow did not become healthy; see the logs in {self.home}")


def _log_text(line: Any) -> str:
    if not isinstance(line, dict):
        return str(line)
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or []]
    return "\n".join([str(line.get("event", line)), *errors])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _environment(home: Path, url: str, dags_folder: Path) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("AIRFLOW")
    }
    return inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder.resolve()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # LocalExecutor starts this many processes at once.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rsplit(":", 1)[1],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port()),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    }
