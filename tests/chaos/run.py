"""One chaos run, from the first process to the verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import work
from .adobe import Adobe
from .cluster import Cluster
from .killer import Killer, Rates
from .verdict import Verdict, judge

_TICK = 2.0
# A job shows 10 s after its request at the latest: 6 s until it takes effect, 4 s until a list has it.
_SETTLE_TIME = {"AIRFLOW__ADOBE_DELETION__SETTLE_TIME": "14"}
_ADOPTED = "Adopting job"
_REPEATED = "counts as never created"


@dataclass(frozen=True)
class Chaos:
    """What is to be done.

    :param runs: how many DAG runs there are.
    :param seed: of all dice. What is scheduled when is Airflow's business, so no two runs are the same.
    :param at_once: how many DAG runs are active at the same time.
    :param minutes: after this nothing is started or killed any more.
    :param least_kills: but not before so much has been killed.
    :param patience: how many seconds may pass without a run's end before what is left counts as lost.
    :param rates: how often things die.
    """

    runs: int
    seed: int
    at_once: int = 16
    minutes: float | None = None
    least_kills: int = 0
    patience: float = 600.0
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True)
class Report:
    """What happened.

    :param runs: how many runs were started.
    :param kills: how often what was killed.
    :param faults: how often each of Adobe's faults struck.
    :param tries: how many tries of tasks Airflow counts.
    :param adopted: how often a task took a job for its own that an earlier try or request had made.
    :param repeated: how often a request counted as never taken, after a search.
    """

    runs: int
    kills: Mapping[str, int]
    faults: Mapping[str, int]
    tries: int
    adopted: int
    repeated: int
    verdict: Verdict
    seconds: float

    @property
    def good(self) -> bool:
        """Whether things were killed, and nothing was lost or done twice."""
        return bool(self.kills) and not self.verdict.duplicates and not self.verdict.losses


def run(chaos: Chaos, tell: Callable[[str], None]) -> Report:
    """Run it, telling what happens on the way."""
    began = time.monotonic()
    with Adobe() as adobe, Cluster({"AIRFLOW_CONN_ADOBE_DEFAULT": adobe.connection, **_SETTLE_TIME}) as airflow:
        tell(f"Airflow is healthy at {airflow.url}, Adobe is at {adobe.url}")
        for dag_id in work.DAGS:
            _wait_for_dag(airflow, dag_id)
        adobe.turn_bad(chaos.seed)
        killer = Killer(airflow, random.Random(chaos.seed), chaos.rates, tell)
        killer.start()
        try:
            runs = _run_all(chaos, airflow, adobe, killer, tell)
        finally:
            killer.stop()
        faults = adobe.struck()
        adobe.control("DELETE", "faults")
        _wait_for_orphans(airflow)
        verdict = judge(airflow, runs, adobe.jobs())
        tries = sum(task["try_number"] for dag_id, run_id in runs for task in airflow.tasks(dag_id, run_id))
        logs = [path.read_text(errors="replace") for path in (airflow.home / "logs").rglob("*.log")]
        airflow.keep_home = bool(verdict.duplicates or verdict.losses)
    return Report(
        runs=len(runs),
        kills=dict(killer.kills),
        faults=faults,
        tries=tries,
        adopted=sum(text.count(_ADOPTED) for text in logs),
        repeated=sum(text.count(_REPEATED) for text in logs),
        verdict=verdict,
        seconds=time.monotonic() - began,
    )


def _run_all(
    chaos: Chaos, airflow: Cluster, adobe: Adobe, killer: Killer, tell: Callable[[str], None]
) -> list[tuple[str, str]]:
    """Start the runs, some at a time, and return them once they have ended, or nothing moves any more."""
    chance = random.Random(chaos.seed + 1)
    started: list[tuple[str, str]] = []
    began = moved = time.monotonic()
    ended = 0
    while True:
        active = airflow.active_runs()
        if len(started) - active > ended:
            ended, moved = len(started) - active, time.monotonic()
            tell(f"{ended} of {len(started)} runs have ended, {active} are active")
        late = chaos.minutes is not None and time.monotonic() - began > chaos.minutes * 60
        # On a slow machine the first task may not have begun by then.
        late = late and sum(killer.kills.values()) >= chaos.least_kills
        if late and killer.is_alive():
            tell("Time is up: no more runs, no more kills")
            killer.stop()
        more = 0 if late else min(chaos.runs - len(started), chaos.at_once - active)
        for _ in range(more):
            dag_id = work.DAGS[len(started) % len(work.DAGS)]
            run_id = f"chaos-{chaos.seed}-{len(started):04}"
            airflow.start_run(dag_id, run_id)
            started.append((dag_id, run_id))
        if not active and not more:
            return started
        if time.monotonic() - moved > chaos.patience:
            tell(f"Nothing has ended for {chaos.patience:.0f} s")
            return started
        adobe.change(chance)
        time.sleep(_TICK)


def _wait_for_dag(airflow: Cluster, dag_id: str) -> None:
    """Wait until the DAG file has been read."""
    end = time.monotonic() + 90
    while dag_id not in {dag["dag_id"] for dag in airflow.api("GET", "/api/v2/dags")["dags"]}:
        if time.monotonic() > end:
            raise RuntimeError(f"{dag_id} was not read: {airflow.api('GET', '/api/v2/importErrors')}")
        time.sleep(0.5)


def _wait_for_orphans(airflow: Cluster, patience: float = 60) -> None:
    """Wait until the last task has ended that nobody watches over; it may be sending something still."""
    end = time.monotonic() + patience
    while airflow.all_tasks() and time.monotonic() < end:
        time.sleep(0.5)
