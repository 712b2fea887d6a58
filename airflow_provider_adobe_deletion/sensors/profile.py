"""Sensor for Profile system jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_adobe_deletion.adobe.calls import checked_id
from airflow_provider_adobe_deletion.adobe.jobs import JobKind, JobRef
from airflow_provider_adobe_deletion.sensors.base import AdobeJobSensor


class AdobeProfileDeleteJobSensor(AdobeJobSensor):
    """Wait until a Profile delete job has succeeded. Adobe: *Profile system jobs API*.

    :param job_id: the job (templated).

    Further parameters: :class:`~airflow_provider_adobe_deletion.sensors.base.AdobeJobSensor`, and
    Airflow's own ``poke_interval``, ``timeout`` (default: a day), ``mode`` and ``soft_fail``.
    """

    template_fields: Sequence[str] = (*AdobeJobSensor.template_fields, "job_id")

    def __init__(self, *, job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id

    def refs(self) -> tuple[JobRef, ...]:
        """Return the one job."""
        return (JobRef(JobKind.PROFILE, checked_id(self.job_id, "job_id")),)
