"""What the runs have to have done at Adobe in the end, by task: known from their names alone."""

from __future__ import annotations

import hashlib
from typing import Any

DAGS = ("chaos_profile", "chaos_repair", "chaos_orders")
Job = tuple[str, ...]


def expected(dag_id: str, run_id: str) -> dict[str, list[Job]]:
    """Return the jobs that a run must have created, each once, by task and in the order of the task's result."""
    if dag_id == "chaos_profile":
        return {"deferred": [("profile", f"{run_id}-a", "")], "polling": [("profile", "", f"{run_id}-b")]}
    if dag_id == "chaos_repair":
        days = ("2026-06-01", "2026-06-02")
        return {
            "deferred": [("data_repair", f"{run_id}-a", *days)],
            "polling": [("data_repair", f"{run_id}-b", *days)],
        }
    return {"deferred": _orders(f"{run_id}-a", 10), "polling": _orders(f"{run_id}-b", 5)}


def key(job: dict[str, Any]) -> Job:
    """Return what a job at Adobe does, as :func:`expected` names it."""
    target = job["target"]
    if job["service"] == "profile":
        return ("profile", target["datasetId"] or "", target["batchId"] or "")
    if job["service"] == "data_repair":
        return ("data_repair", target["reportSuiteId"], target["dateRangeStart"], target["dateRangeEnd"])
    return ("workorder", target["datasetId"], target["sha256"])


def _orders(dataset: str, identities: int) -> list[Job]:
    people = [f"person{number}@example.com" for number in range(identities)]
    chunks = [people[start : start + 2] for start in range(0, identities, 2)]
    return [("workorder", dataset, _digest(chunk)) for chunk in chunks]


def _digest(ids: list[str]) -> str:
    """Return what the simulator keeps of an order's identities."""
    return hashlib.sha256(("\n".join(["email"] * len(ids)) + "\0" + "\n".join(ids)).encode()).hexdigest()
