"""Ten thousand waits under a real triggerer: ``uv run python -m tests.benchmarks.triggerer``.

A metadata database (SQLite) is filled with one run whose mapped task is deferred that many times, each on a job of its
own at a simulated Adobe in another process. Then ``airflow triggerer --capacity 10000`` is started, measured once all
triggers run, restarted, and watched while it takes all of them up again. The exit code is 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from tests.benchmarks.waiting_room import our_triggers
from tests.benchmarks.waits import SIMULATOR, create_jobs, served

DAG = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("waits", schedule=None) as dag:
    EmptyOperator(task_id="wait")
"""
BLOCKED = "async thread was blocked"
PATIENCE = 900.0


def prepare(home: Path) -> None:
    """Make a metadata database with one run of one task."""
    (home / "dags").mkdir()
    (home / "dags" / "waits.py").write_text(DAG)
    for command in (["db", "migrate"], ["dags", "test", "waits"]):
        subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def defer(jobs: list[str], first: int) -> None:
    """Add to the run a deferred task instance and a trigger for each job."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from sqlalchemy import insert, select, update

    make = our_triggers()
    with create_session() as session:
        session.execute(update(DagRun).values(state="running", end_date=None))
        template = dict(session.execute(select(TaskInstance.__table__)).mappings().first() or {})
        rows = [Trigger.from_object(make(job)) for job in jobs]
        session.add_all(rows)
        session.flush()
        changes = {"state": "deferred", "end_date": None}
        session.execute(
            insert(TaskInstance.__table__),
            [
                {**template, **changes, "id": uuid.uuid4(), "map_index": number, "trigger_id": row.id}
                for number, row in enumerate(rows, first)
            ],
        )


@dataclass
class Triggerer:
    """A running triggerer: its supervisor, and the process that runs the triggers."""

    process: psutil.Popen
    log: Path

    @property
    def runner(self) -> psutil.Process:
        """The process with the event loop: of the children the one that works."""
        return max(self.process.children(recursive=True), key=lambda child: sum(child.cpu_times()[:2]))

    def running(self) -> int:
        """How many triggers it said to be running when it said so last."""
        said = [line for line in self.log.read_text().splitlines() if "triggers currently running" in line]
        return int(said[-1].split(" triggers currently running")[0].split()[-1]) if said else 0

    def blocked(self) -> int:
        """How often it said that the event loop was held up, which it does from 0.2 s on."""
        return self.log.read_text().count(BLOCKED)

    def wait_for(self, count: int) -> None:
        """Wait until it says that so many triggers run."""
        end = time.monotonic() + PATIENCE
        while self.running() < count:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.running()} of {count} triggers run:\n{self.log.read_text()[-5000:]}")
            time.sleep(1)


@contextmanager
def triggerer(home: Path, capacity: int, name: str) -> Iterator[Triggerer]:
    """Run a triggerer."""
    path = home / f"{name}.log"
    with path.open("wb") as log:
        command = [sys.executable, "-m", "airflow", "triggerer", "--capacity", str(capacity), "--skip-serve-logs"]
        process = psutil.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Triggerer(process, path)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()


class Adobe:
    """What the simulated Adobe was asked."""

    def __init__(self, url: str) -> None:
        self._url = url

    def asked(self, path: str, method: str = "GET") -> list[float]:
        """Return when the requests came, in seconds."""
        query = {"method": method, "path_contains": path}
        entries = httpx.get(f"{self._url}/_simulator/journal", params=query, timeout=60).json()
        return [float(entry["time"]) for entry in entries]

    def forget(self) -> None:
        """Empty the journal."""
        httpx.delete(f"{self._url}/_simulator/journal", timeout=60).raise_for_status()


def watch(running: Triggerer, adobe: Adobe, seconds: float) -> dict[str, float]:
    """Measure a triggerer in which all triggers run."""
    runner = running.runner
    tokens = len(adobe.asked("/ims/token", "POST"))
    adobe.forget()
    blocked, cpu, began = running.blocked(), [sum(of.cpu_times()[:2]) for of in (runner, running.process)], time.time()
    sockets, oldest = 0, 0.0
    while time.time() - began < seconds:
        time.sleep(2)
        addresses = [of.raddr for of in runner.net_connections("tcp") if of.status == psutil.CONN_ESTABLISHED]
        sockets = max(sockets, len(addresses))
        oldest = max(oldest, heartbeat_age())
    passed = time.time() - began
    used = [sum(of.cpu_times()[:2]) - before for of, before in zip((runner, running.process), cpu, strict=True)]
    return {
        "requests/min": len(adobe.asked("/system/jobs")) / passed * 60,
        "token requests": tokens + len(adobe.asked("/ims/token", "POST")),
        "CPU of the event loop's process, %": used[0] / passed * 100,
        "CPU of its supervisor, %": used[1] / passed * 100,
        "sockets": sockets,
        "event loop blocked for 0.2 s or more": running.blocked() - blocked,
        "oldest heartbeat of the triggerer, s": oldest,
    }


def heartbeat_age() -> float:
    """Return how old the triggerer's heartbeat in the metadata database is."""
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        beats = select(Job.latest_heartbeat).where(Job.job_type == "TriggererJob", Job.state == "running")
        return (datetime.now(UTC) - max(session.scalars(beats))).total_seconds()


def densest(times: list[float], within: float) -> int:
    """Return the most requests that came within some seconds."""
    times = sorted(times)
    return max((sum(1 for at in times[n:] if at < start + within) for n, start in enumerate(times)), default=0)


def measure(home: Path, options: argparse.Namespace) -> dict[str, float]:
    """Start everything, and return the figures."""
    with served([sys.executable, "-c", SIMULATOR]) as line:
        url, connection = json.loads(line)
        adobe = Adobe(url)
        os.environ["AIRFLOW_CONN_ADOBE_DEFAULT"] = json.dumps(connection)
        prepare(home)
        jobs = create_jobs(connection, options.jobs)
        adobe.forget()
        with triggerer(home, options.jobs, "first") as running:
            defer(jobs[:1], 0)
            running.wait_for(1)
            before = running.runner.memory_info().rss
            began = time.monotonic()
            defer(jobs[1:], 1)
            running.wait_for(options.jobs)
            starting = time.monotonic() - began
            time.sleep(options.warm)
            resident = (running.runner.memory_info().rss - before) / (options.jobs - 1) / 1024
            figures = watch(running, adobe, options.seconds)
        adobe.forget()
        with triggerer(home, options.jobs, "second") as running:
            running.wait_for(options.jobs)
            restart = adobe.asked("/system/jobs")
            blocked = running.blocked()
    return {
        "waits": options.jobs,
        "seconds until it said that all run (once a minute)": starting,
        "resident KB/wait": resident,
        **figures,
        "after a restart: requests until all were taken up": len(restart),
        "after a restart: most requests within 10 s": densest(restart, 10),
        "after a restart: event loop blocked for 0.2 s or more": blocked,
    }


def report(found: dict[str, float]) -> int:
    """Print the figures, and say which limits are kept."""
    for name, value in found.items():
        print(f"{name:55}{value:>12,.1f}")
    limits = {"sockets": 10, "token requests": 1, "oldest heartbeat of the triggerer, s": 30}
    for name, limit in limits.items():
        print(f"{'kept  ' if found[name] <= limit else 'MISSED'} {name}: {found[name]:.3g} (limit {limit})")
    return 0 if all(found[name] <= limit for name, limit in limits.items()) else 1


def main() -> int:
    """Measure and print; the exit code says whether the limits are kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.triggerer", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--warm", type=float, default=65.0, help="seconds until the measurement, in which all look once"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="adobe-deletion-triggerer-") as name:
        os.environ |= {
            "AIRFLOW_HOME": name,
            "AIRFLOW__CORE__DAGS_FOLDER": f"{name}/dags",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        return report(measure(Path(name), options))


if __name__ == "__main__":
    sys.exit(main())
