"""One event loop with many triggers in it: ours, or a peer's. It prints what they cost, as JSON.

Run by :mod:`tests.benchmarks.waits`, for the peers with an interpreter that has them and not this provider.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BEAT = 0.02
MOST_STARTED_AT_ONCE = 50  # [triggerer] max_trigger_to_select_per_loop


def our_triggers() -> Callable[[str], Any]:
    """Return what makes the trigger for a job that our operator defers to at its defaults."""
    from airflow_provider_adobe_deletion.adobe.jobs import JobKind, JobRef
    from airflow_provider_adobe_deletion.adobe.waiting import WaitPlan
    from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator
    from airflow_provider_adobe_deletion.triggers.job import AdobeJobTrigger

    operator = AdobeProfileDeleteJobOperator(task_id="t", dataset_id="d")

    def make(job: str) -> Any:
        now = datetime.now(UTC)
        plan = WaitPlan(
            refs=(JobRef(JobKind.PROFILE, job),),
            submitted_at=now,
            deadline=now + timedelta(seconds=operator.completion_timeout),
            poll_interval=operator.poll_interval,
            max_poll_interval=operator.max_poll_interval,
        )
        return AdobeJobTrigger("adobe_default", plan.to_dict())

    return make


def ours() -> tuple[Callable[[str], Any], Callable[[], int]]:
    """Wait with our trigger, each plan for one job; count what each learns of its job."""
    from airflow_provider_adobe_deletion.adobe.waiting import WaitPlan

    observed = itertools.count()
    next_poll = WaitPlan.next_poll

    def counting(*arguments: Any, **named: Any) -> Any:
        next(observed)
        return next_poll(*arguments, **named)

    WaitPlan.next_poll = counting  # type: ignore[method-assign]
    # Reading the count would change it.
    return our_triggers(), lambda: int(repr(observed)[6:-1])


def databricks() -> tuple[Callable[[str], Any], None]:
    """Wait with the trigger of apache-airflow-providers-databricks."""
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return lambda job: DatabricksExecutionTrigger(int(job), "databricks_default"), None


def dbt() -> tuple[Callable[[str], Any], None]:
    """Wait with the trigger of apache-airflow-providers-dbt-cloud, over plain HTTP as the others."""
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    address = DbtCloudHook.get_request_url_params

    def plain(*arguments: Any, **named: Any) -> Any:
        url, params = address(*arguments, **named)
        return url.replace("https://", "http://"), params

    DbtCloudHook.get_request_url_params = staticmethod(plain)
    end = time.time() + 7 * 86400
    # The operator's default interval.
    return lambda job: DbtCloudRunJobTrigger("dbt_cloud_default", int(job), end, 60, None), None


async def follow(trigger: Any) -> None:
    """Run a trigger as the triggerer does."""
    async for _ in trigger.run():
        return


async def beat(late: list[float]) -> None:
    """Measure how late a heartbeat is."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(BEAT)
        late.append(time.monotonic() - before - BEAT)


def resident() -> int:
    """Return the process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def sockets() -> int:
    """Return how many TCP sockets are open."""
    inodes = {line.split()[9] for name in ("tcp", "tcp6") for line in _lines(f"/proc/self/net/{name}")}
    return sum(1 for link in _links() if link.startswith("socket:[") and link[8:-1] in inodes)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()[1:]


def _links() -> Iterator[str]:
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue


async def watch_over(seconds: float) -> dict[str, Any]:
    """Measure for a while: CPU, how late a heartbeat is, and the most sockets that were open."""
    late: list[float] = []
    heart = asyncio.create_task(beat(late))
    await asyncio.sleep(0.1)
    late.clear()
    started, cpu, most_sockets = time.monotonic(), time.process_time(), 0
    while time.monotonic() - started < seconds:
        await asyncio.sleep(min(2.0, seconds))
        most_sockets = max(most_sockets, sockets())
    cpu, passed = time.process_time() - cpu, time.monotonic() - started
    heart.cancel()
    return {"cpu": cpu, "seconds": passed, "late": sorted(late), "sockets": most_sockets}


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Start all triggers, let each look once, and measure for a while."""
    jobs = Path(options.jobs).read_text().split()
    make, observed = {"ours": ours, "databricks": databricks, "dbt": dbt}[options.which]()
    # What the measuring itself costs is taken off.
    resting = await watch_over(6.0)
    idle = resting["cpu"] / resting["seconds"]
    # What the first trigger imports and opens belongs to the process.
    first = asyncio.create_task(follow(make(jobs[0])))
    await asyncio.sleep(options.settle)
    gc.collect()
    before = resident()
    tasks = [first]
    for number, job in enumerate(jobs[1:]):
        tasks.append(asyncio.create_task(follow(make(job))))
        if number % MOST_STARTED_AT_ONCE == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(options.warm)
    gc.collect()
    after = resident()
    gc.freeze()
    seen = observed() if observed else 0
    print("begin", flush=True)
    figures = await watch_over(options.seconds)
    figures["cpu"] -= idle * figures["seconds"]
    late = figures.pop("late")
    ended = [task for task in tasks if task.done()]
    return {
        **figures,
        "observed": observed() - seen if observed else -1,
        "bytes_per_wait": (after - before) / (len(jobs) - 1),
        "late_p99": late[int(len(late) * 0.99)],
        "late_max": late[-1],
        "ended": len(ended),
    }


def main() -> None:
    """Measure, and print the figures after a line that says when it began."""
    parser = argparse.ArgumentParser()
    parser.add_argument("which", choices=("ours", "databricks", "dbt"))
    parser.add_argument("--jobs", required=True, help="a file with the jobs' ids")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm", type=float, required=True)
    parser.add_argument("--settle", type=float, default=8.0)
    options = parser.parse_args()
    # A triggerer writes its logs elsewhere; here they would be the test's own.
    logging.disable(logging.INFO)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 65536), hard))
    print(json.dumps(asyncio.run(measure(options))), flush=True)
    sys.stdout.flush()
    # Thousands of cancelled triggers each say so.
    os._exit(0)


if __name__ == "__main__":
    main()
