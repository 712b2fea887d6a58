"""What became of the runs: which jobs are missing, which are there twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import work
from .cluster import Cluster


@dataclass(frozen=True)
class Verdict:
    """The count at the end.

    :param jobs: how many jobs Adobe has.
    :param duplicates: jobs that are one too many, each with what it does.
    :param losses: runs that did not succeed with each of their jobs at Adobe and in their results, and why.
    """

    jobs: int
    duplicates: Sequence[str]
    losses: Mapping[str, str]


def judge(airflow: Cluster, runs: Iterable[tuple[str, str]], jobs: Sequence[dict[str, Any]]) -> Verdict:
    """Compare what Adobe has, and what the runs returned, with what the runs were to do.

    :param runs: the DAG and the id of each.
    :param jobs: all that Adobe has.
    """
    there: dict[work.Job, list[dict[str, Any]]] = defaultdict(list)
    for job in jobs:
        there[work.key(job)].append(job)
    losses: dict[str, str] = {}
    wanted: set[work.Job] = set()
    for dag_id, run_id in runs:
        tasks = work.expected(dag_id, run_id)
        wanted.update(key for keys in tasks.values() for key in keys)
        if problem := _problem(airflow, dag_id, run_id, tasks, there):
            losses[run_id] = problem
    duplicates = [
        f"{' '.join(key)}: job {job['id']}"
        for key, found in there.items()
        for job in found[1 if key in wanted else 0 :]
    ]
    return Verdict(len(jobs), duplicates, losses)


def _problem(
    airflow: Cluster,
    dag_id: str,
    run_id: str,
    tasks: Mapping[str, Sequence[work.Job]],
    there: Mapping[work.Job, Sequence[dict[str, Any]]],
) -> str:
    """Return what is wrong with a run, or nothing."""
    states = {task["task_id"]: task["state"] for task in airflow.tasks(dag_id, run_id)}
    for task_id, keys in tasks.items():
        if states.get(task_id) != "success":
            return f"{task_id} is {states.get(task_id)}"
        result = airflow.xcom(dag_id, run_id, task_id)
        # The REST API shows the text "24" as the number.
        returned = [str(job_id) for job_id in (result if isinstance(result, list) else [result])]
        for key, job_id in zip(keys, [*returned, *[None] * len(keys)], strict=False):
            found = {job["id"]: job for job in there.get(key, ())}
            if not found:
                return f"{task_id} has no job {' '.join(key)}"
            if job_id not in found:
                return f"{task_id} returned {job_id} and not one of {', '.join(found)}"
            if found[job_id]["removed"]:
                return f"{task_id}'s job {job_id} was removed"
        if len(returned) != len(keys):
            return f"{task_id} returned {len(returned)} jobs instead of {len(keys)}"
    return ""
