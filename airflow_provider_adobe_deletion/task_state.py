"""What Airflow knows of a task instance: its state store, its identity, its current state; and what older ones lack."""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_adobe_deletion.submission_record import Identity, StateStore

log = logging.getLogger(__name__)

ENDED = ("failed", "success", "skipped", "removed")
"""States in which nobody works on the task instance any more, so that its job may be removed."""


class TaskStateStore:
    """Airflow's task state store, whose entries are kept for as long as the dag run is."""

    def __init__(self, accessor: Any) -> None:
        self._accessor = accessor

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""
        return self._accessor.get(key)

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep the value until it is replaced: Airflow's default of 30 days is shorter than some waits."""
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

        self._accessor.set(key, value, retention=NEVER_EXPIRE)


def state_store(context: Any) -> StateStore | None:
    """Return the task's state store, or ``None`` before Airflow 3.3."""
    accessor = context.get("task_state_store")
    return None if accessor is None else TaskStateStore(accessor)


def tell_if_stateless(context: Any) -> None:
    """Log what a retry cannot rely on where Airflow keeps no task state."""
    if state_store(context) is None:
        log.info(
            "This Airflow keeps no task state (3.3 and later do), so a retry knows of earlier jobs only what Adobe's "
            "lists show."
        )


def tell_if_kills_are_unheard() -> None:
    """Log that a deferred task cannot clean up where Airflow does not tell its trigger of a kill."""
    from airflow.triggers.base import BaseTrigger

    if not hasattr(BaseTrigger, "on_kill"):
        log.warning(
            "remove_on_kill does nothing while the task is deferred: this Airflow does not tell triggers of a kill "
            "(3.3 and later do)."
        )


def identity(context: Any, submission_key: str | None, retries: int) -> Identity:
    """Return whose submission this is.

    :param retries: the operator's ``retries``; ``ti.max_tries`` exceeds it only after a Clear.
    """
    ti, run = context["ti"], context["dag_run"]
    cleared = ti.max_tries > retries
    # A Clear may set the run's start anew, so then its scheduled time, which is earlier, has to do.
    names = ("run_after", "data_interval_end", "start_date") if cleared else ("start_date",)
    begun = [moment for name in names if (moment := getattr(run, name, None)) is not None]
    return Identity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=ti.map_index if ti.map_index is not None else -1,
        submission_key=submission_key,
        generation=ti.max_tries,
        first_try=ti.try_number <= 1,
        first_of_generation=ti.try_number <= ti.max_tries - retries + 1,
        cleared=cleared,
        since=min(begun, default=ti.start_date),
    )


def current_state(ti: Any) -> str | None:
    """Ask Airflow for a task instance's state now. Blocks; from an event loop call it in a thread.

    :param ti: the task instance as the worker or the trigger has it.
    """
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return str(ti.current_state())
    map_index = getattr(ti, "map_index", -1)
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index
    )
    per_run = states.get(ti.run_id, {})
    # Mapped task instances are keyed by task id and map index.
    state = per_run.get(ti.task_id, per_run.get(f"{ti.task_id}_{map_index}"))
    return None if state is None else str(state)
