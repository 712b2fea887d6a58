"""``python -m tests.chaos --runs 300``: kill a real Airflow's processes at random, and count what Adobe was asked for.

The exit code says whether every run succeeded, each job exists once, and something was killed at all.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from .run import Chaos, Report, run


def main() -> int:
    """Run, and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="DAG runs, of two tasks each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="default: a random one")
    parser.add_argument("--at-once", type=int, default=16, help="active DAG runs (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="start and kill nothing after this (default: no limit)")
    options = parser.parse_args()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)

    tell(f"seed {options.seed}")
    report = run(Chaos(options.runs, options.seed, options.at_once, options.minutes), tell)
    _print(report, options)
    return 0 if report.good else 1


def _print(report: Report, options: argparse.Namespace) -> None:
    verdict = report.verdict
    for text in verdict.duplicates:
        print(f"DUPLICATE {text}")
    for run_id, text in verdict.losses.items():
        print(f"LOST {run_id}: {text}")
    print(f"seed                {options.seed}")
    print(f"runs                {report.runs} of {options.runs} ({report.tries} tries of {2 * report.runs} tasks)")
    print(f"kills               {sum(report.kills.values())}: {_listed(report.kills)}")
    print(f"faults at Adobe     {sum(report.faults.values())}: {_listed(report.faults)}")
    print(f"jobs found          {report.adopted} times; absent for good {report.repeated} times")
    print(f"jobs created        {verdict.jobs} (one a task, and of every third run 5 and 3)")
    print(f"duplicates          {len(verdict.duplicates)}")
    print(f"losses              {len(verdict.losses)} (runs that failed, or lack a job or the id of one)")
    print(f"wall time           {report.seconds / 60:.1f} minutes")
    print("All is well." if report.good else "FAILED.")


def _listed(counts: dict[str, int]) -> str:
    struck = sorted((item for item in counts.items() if item[1]), key=lambda item: -item[1])
    return "; ".join(f"{count} {name}" for name, count in struck)


if __name__ == "__main__":
    sys.exit(main())
