"""A short chaos run: half a minute of killing, and then the count. ``python -m tests.chaos`` is the long one."""

from __future__ import annotations

import math
import sys

import pytest

from . import work
from .killer import Rates

if sys.platform != "linux" or not hasattr(pytest.importorskip("airflow.sdk"), "NEVER_EXPIRE"):
    pytest.skip("needs Linux, and an Airflow with a task state store", allow_module_level=True)

from .run import Chaos, run

RUNS = 6


def test_nothing_is_lost_or_done_twice() -> None:
    rates = Rates(task=10.0, worker=25.0, triggerer=25.0, pause=math.inf, scheduler=math.inf)
    report = run(Chaos(RUNS, seed=7, at_once=RUNS, minutes=0.3, least_kills=3, rates=rates), print)
    assert report.runs == RUNS
    assert sum(report.kills.values()) >= 3
    assert not report.verdict.losses
    assert not report.verdict.duplicates
    runs = [(work.DAGS[number % len(work.DAGS)], str(number)) for number in range(RUNS)]
    jobs = [job for dag_id, run_id in runs for jobs in work.expected(dag_id, run_id).values() for job in jobs]
    assert report.verdict.jobs == len(jobs)
