"""Ten thousand waits in one event loop, beside the triggers of two other providers.

``uv run python -m tests.benchmarks.waits`` measures, one after the other and each in a process of its own: our trigger
where the jobs share a list; ours where Adobe refuses the list, so that each job must be asked for by itself; and the
triggers of apache-airflow-providers-databricks and -dbt-cloud against a stub of their APIs. The peers are installed
into an environment of their own. The simulator and the stub run in other processes, and only the process with the
triggers is measured. All talk plain HTTP on loopback, and wait at their default intervals. The exit code is 1 where a
limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.peers import installed

PEERS = ("apache-airflow-providers-databricks", "apache-airflow-providers-dbt-cloud")
HERE = Path(__file__).parent
SINGLY, TOGETHER = "ours, each by itself", "ours, one list"
DAY = 86400.0
SIMULATOR = """
import json, sys
from airflow_provider_adobe_deletion.simulator import AdobeSimulator
with AdobeSimulator(profile_duplicate_422="never", profile_seconds=(60.0, 1e9)) as adobe:
    print(json.dumps([adobe.url, adobe.connection()]), flush=True)
    sys.stdin.read()
"""
NO_LIST = {"method": "GET", "path": "/system/jobs$", "times": None, "status": 403}


@contextmanager
def served(command: list[str]) -> Iterator[str]:
    """Run a server in a process of its own, and yield the line that it prints."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def create_jobs(connection: dict[str, Any], count: int) -> list[str]:
    """Create jobs and return their ids."""
    from airflow_provider_adobe_deletion.adobe import profile
    from airflow_provider_adobe_deletion.adobe.client import AdobeClient
    from airflow_provider_adobe_deletion.adobe.config import AdobeConfig

    config = AdobeConfig.from_connection(connection["login"], connection["password"], connection["extra"])
    with AdobeClient(config) as client:
        targets = (profile.ProfileTarget(batch_id=f"{number:032x}") for number in range(count))
        return [client.send(profile.create_job(target)).id for target in targets]


@dataclass
class Room:
    """Where one kind of trigger waits: a fresh process for each measurement.

    :param counted: returns how many look-ups the server has answered.
    """

    python: Path
    which: str
    environment: dict[str, str]
    counted: Callable[[], int]

    def measure(self, jobs: list[str], options: argparse.Namespace) -> dict[str, float]:
        """Return the figures."""
        with tempfile.TemporaryDirectory() as home:
            file = Path(home) / "jobs"
            file.write_text("\n".join(jobs))
            arguments = [
                "--jobs",
                str(file),
                f"--seconds={options.seconds}",
                f"--warm={options.warm}",
            ]
            process = subprocess.Popen(
                [str(self.python), str(HERE / "waiting_room.py"), self.which, *arguments],
                env={**os.environ, "AIRFLOW_HOME": home, **self.environment},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            before, figures = 0, {}
            for line in process.stdout:
                if line.startswith("begin"):
                    before = self.counted()
                elif line.startswith("{"):
                    figures = json.loads(line)
                    figures["requests"] = self.counted() - before
            if process.wait() or not figures or figures["ended"]:
                raise RuntimeError(f"{self.which} could not be measured: {figures}")
        if figures["observed"] < 0:
            figures["observed"] = figures["requests"]
        print(f"{self.which}: {figures}", file=sys.stderr, flush=True)
        return figures


def looks_a_day() -> float:
    """Return how often our trigger looks at a job in its first day, by its schedule at the operator's defaults."""
    from airflow_provider_adobe_deletion.adobe.jobs import JobKind, JobRef
    from airflow_provider_adobe_deletion.adobe.waiting import WaitPlan
    from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator

    operator = AdobeProfileDeleteJobOperator(task_id="t", dataset_id="d")
    begin = now = datetime.now(UTC)
    plan = WaitPlan(
        (JobRef(JobKind.PROFILE, "j"),),
        begin,
        begin + timedelta(days=2),
        operator.poll_interval,
        operator.max_poll_interval,
    )
    looks = 0
    while now < begin + timedelta(days=1):
        # As early as others' looks may make it.
        now += timedelta(seconds=plan.next_poll(plan.refs, now).earliest)
        looks += 1
    return looks


def measure_ours(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure our trigger, with and without a list to share."""
    found: dict[str, dict[str, float]] = {}
    with served([sys.executable, "-c", SIMULATOR]) as line:
        url, connection = json.loads(line)
        environment = {"AIRFLOW_CONN_ADOBE_DEFAULT": json.dumps(connection)}

        def journal(path: str) -> int:
            query = {"method": "GET" if "jobs" in path else "POST", "path_contains": path}
            return len(httpx.get(f"{url}/_simulator/journal", params=query, timeout=60).json())

        room = Room(Path(sys.executable), "ours", environment, lambda: journal("/system/jobs"))
        jobs = create_jobs(connection, options.jobs)
        httpx.delete(f"{url}/_simulator/journal", timeout=60).raise_for_status()
        found[TOGETHER] = room.measure(jobs, options)
        found[TOGETHER]["tokens"] = journal("/ims/token")
        httpx.post(f"{url}/_simulator/faults", json=NO_LIST).raise_for_status()
        httpx.delete(f"{url}/_simulator/journal", timeout=60).raise_for_status()
        found[SINGLY] = room.measure(jobs[: options.singly], options)
    return found


def measure_peers(options: argparse.Namespace, python: Path) -> dict[str, dict[str, float]]:
    """Measure the peers' triggers."""
    found: dict[str, dict[str, float]] = {}
    with served([sys.executable, str(HERE / "stub.py")]) as port:
        address = f"127.0.0.1:{port}"
        databricks = {"host": "http://127.0.0.1", "port": int(port), "schema": "http", "password": "token"}
        environment = {
            "AIRFLOW_CONN_DATABRICKS_DEFAULT": json.dumps({"conn_type": "databricks", **databricks}),
            "AIRFLOW_CONN_DBT_CLOUD_DEFAULT": json.dumps(
                {"conn_type": "dbt_cloud", "login": "1", "password": "token", "host": address}
            ),
        }
        for which in ("databricks", "dbt"):
            room = Room(python, which, environment, lambda: int(httpx.get(f"http://{address}/count").json()))
            found[which] = room.measure([str(number) for number in range(1, options.jobs + 1)], options)
    return found


def report(found: dict[str, dict[str, float]], options: argparse.Namespace) -> int:
    """Print the table and say which limits are kept."""
    print(f"{'':24}{'':>1}" + "".join(f"{name:>22}" for name in found))
    rows: dict[str, list[str]] = {
        "waits": [f"{options.singly if 'itself' in name else options.jobs:,}" for name in found],
        "statuses observed/min": [f"{of['observed'] / of['seconds'] * 60:,.0f}" for of in found.values()],
        "requests/min": [f"{of['requests'] / of['seconds'] * 60:,.0f}" for of in found.values()],
        "CPU s/1,000 requests": [f"{of['cpu'] / of['requests'] * 1e3:.2f}" for of in found.values()],
        "CPU ms/status": [f"{_per_status(of):.3f}" for of in found.values()],
        "resident KB/wait": [f"{of['bytes_per_wait'] / 1024:.1f}" for of in found.values()],
        "heartbeat late p99 ms": [f"{of['late_p99'] * 1e3:.0f}" for of in found.values()],
        "heartbeat late max ms": [f"{of['late_max'] * 1e3:.0f}" for of in found.values()],
        "sockets": [f"{of['sockets']:.0f}" for of in found.values()],
        "requests/job-day": [f"{value:,.1f}" for value in _per_day(found).values()],
    }
    for name, cells in rows.items():
        print(f"{name:25}" + "".join(f"{cell:>22}" for cell in cells))
    ours, singly = found[TOGETHER], found[SINGLY]
    best = min(_per_status(found[name]) for name in ("databricks", "dbt"))
    per_day = _per_day(found)
    fewest = min(per_day["databricks"], per_day["dbt"])
    limits = [
        ("CPU per status, one list, over the better peer's", _per_status(ours) / best, 0.2),
        ("CPU per status, each by itself, over the better peer's", _per_status(singly) / best, 1.3),
        ("requests per job-day, one list, over the better peer's", per_day[TOGETHER] / fewest, 1 / 50),
        ("resident KB per wait", ours["bytes_per_wait"] / 1024, 20),
        ("heartbeat late p99, ms", ours["late_p99"] * 1e3, 50),
        ("sockets", ours["sockets"], 10),
        ("token requests", ours["tokens"], 1),
    ]
    for name, value, limit in limits:
        print(f"{'kept  ' if value <= limit else 'MISSED'} {name}: {value:.3g} (limit {limit:.3g})")
    return 0 if all(value <= limit for _, value, limit in limits) else 1


def _per_status(of: dict[str, float]) -> float:
    """Return milliseconds of CPU per job status observed."""
    return of["cpu"] / of["observed"] * 1e3


def _per_day(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return requests per job and day at the defaults: looks a day by the schedule, times requests per look."""
    looks = {"databricks": DAY / 30, "dbt": DAY / 60}
    return {name: looks.get(name, looks_a_day()) * of["requests"] / of["observed"] for name, of in found.items()}


def main() -> int:
    """Measure and print; the exit code says whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="waits that share a list, and of each peer")
    parser.add_argument("--singly", type=int, default=2_000, help="waits of which each must be asked for by itself")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--warm", type=float, default=65.0, help="seconds until the measurement, in which all look once"
    )
    parser.add_argument("--peers", help="an interpreter that has the peers, instead of installing them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = Path(options.peers) if options.peers else installed(Path(folder), *PEERS)
        return report({**measure_ours(options), **measure_peers(options, python)}, options)


if __name__ == "__main__":
    sys.exit(main())
