"""Sensor for Data Repair jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow_provider_adobe_deletion import parameters
from airflow_provider_adobe_deletion.adobe.calls import checked_id
from airflow_provider_adobe_deletion.adobe.jobs import JobKind, JobRef
from airflow_provider_adobe_deletion.sensors.base import AdobeJobSensor

_LARGEST_ID = 10**18


class AdobeDataRepairJobSensor(AdobeJobSensor):
    """Wait until a Data Repair job is complete. Adobe: *Data Repair API*.

    :param report_suite_id: the report suite (templated).
    :param job_id: the job (templated). A number is fine too; Adobe writes both.

    Further parameters: :class:`~airflow_provider_adobe_deletion.sensors.base.AdobeJobSensor`, and
    Airflow's own ``poke_interval`` (default: 15 minutes), ``timeout`` (14 days), ``mode`` and ``soft_fail``.
    """

    template_fields: Sequence[str] = (*AdobeJobSensor.template_fields, "report_suite_id", "job_id")
    default_timeout: ClassVar[timedelta] = timedelta(days=14)
    default_poke_interval: ClassVar[float] = 900.0
    default_max_poll_interval: ClassVar[float] = 1800.0

    def __init__(self, *, report_suite_id: str, job_id: str | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report_suite_id = report_suite_id
        self.job_id = job_id

    def refs(self) -> tuple[JobRef, ...]:
        """Return the one job."""
        job_id: Any = self.job_id
        if isinstance(job_id, int) and not isinstance(job_id, bool):
            job_id = str(parameters.count(job_id, "job_id", most=_LARGEST_ID))
        scope = {"report_suite_id": checked_id(self.report_suite_id, "report_suite_id")}
        return (JobRef(JobKind.DATA_REPAIR, checked_id(job_id, "job_id"), scope),)

    def ended(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Log what was billed."""
        (job,) = jobs
        self.log.info("Adobe billed %s server calls for job %s.", job["details"].get("server_calls"), job["id"])
