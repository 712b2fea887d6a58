"""Turns what Adobe and our own checks say into what Airflow does about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeAuthError,
    AdobeConfigError,
    AdobeError,
    AdobeRateLimitError,
    AdobeServerError,
    WrongTargetError,
)
from airflow_provider_adobe_deletion.adobe.waiting import Outcome, WaitResult
from airflow_provider_adobe_deletion.submission_record import SubmissionError

JOBS_XCOM = "jobs"
"""Key of the XCom that holds the normalised jobs."""

DEFERRAL_GRACE = timedelta(minutes=30)
"""How long after our own deadline Airflow's time-out of a deferral comes, as a backstop."""


def understood(event: Any) -> WaitResult:
    """Read a trigger's event.

    :raises AirflowFailException: it is not one of ours, so it must not be taken for success.
    """
    try:
        return WaitResult.from_event(event)
    except ValueError as error:
        raise AirflowFailException(f"{error} Whether the job has ended is unknown; look at it at Adobe.") from None


@contextmanager
def all_problems() -> Iterator[AbstractContextManager[None]]:
    """Yield a context that holds errors of input back, and report all of them together at the end.

    :raises ValueError: with everything that was held back.
    """
    problems: list[str] = []
    yield _Held(problems)
    if problems:
        raise ValueError("\n".join(problems))


class _Held(AbstractContextManager[None]):
    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, ValueError | TypeError):
            return False
        self._problems.append(str(error))
        return True


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise ``AirflowFailException`` for what a retry cannot cure, ``AirflowException`` for what it can."""
    try:
        yield
    except (AdobeError, ValueError, TypeError) as error:
        kind = AirflowFailException if _is_final(error) else AirflowException
        raise kind(str(error)) from error


def check_outcome(result: WaitResult, *, final: bool = False) -> None:
    """Return if every job succeeded.

    :param final: whether a failed job is final, because a new one must be somebody's decision.

    :raises AirflowFailException: a retry would not help: the time is up, or somebody removed a job.
    :raises AirflowException: a retry may help: a job failed, or looking it up was refused for too long.
    """
    told = ", ".join(f"{job['id']} ({job.get('status') or 'not seen'})" for job in result.jobs)
    if result.outcome is Outcome.TIMED_OUT:
        raise AirflowFailException(
            f"Not finished in time: {told}. Nothing was cancelled at Adobe. Raise the timeout and clear the task "
            "to go on waiting for the same job."
        )
    if result.outcome is Outcome.REFUSED:
        raise AirflowException(
            f"Looking up was refused too often in a row: {told}; the last time: {result.reason}. At Adobe nothing was "
            "cancelled; a retry goes on waiting."
        )
    if any(job.get("state") == "gone" for job in result.jobs):
        raise AirflowFailException(f"Somebody removed a job from Adobe: {told}.")
    if result.outcome is Outcome.FAILED:
        if final:
            raise AirflowFailException(f"Failed at Adobe: {told}. Clear the task to submit a new job.")
        raise AirflowException(f"Failed at Adobe: {told}.")


def _is_final(error: Exception) -> bool:
    if isinstance(error, AdobeAuthError):
        return not error.transient
    if isinstance(error, AdobeRateLimitError | AdobeServerError):
        return False
    return isinstance(
        error, AdobeConfigError | AdobeAPIError | WrongTargetError | SubmissionError | ValueError | TypeError
    )
