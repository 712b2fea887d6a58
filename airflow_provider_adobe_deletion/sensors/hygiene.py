"""Sensors for Data Hygiene: work orders, quotas, dataset expirations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, BaseSensorOperator, conf

from airflow_provider_adobe_deletion import options, parameters
from airflow_provider_adobe_deletion.adobe.calls import checked_id
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError, AdobeError
from airflow_provider_adobe_deletion.adobe.jobs import JobKind, JobRef
from airflow_provider_adobe_deletion.adobe.lookup import is_outage
from airflow_provider_adobe_deletion.adobe.waiting import utc_now
from airflow_provider_adobe_deletion.outcome import DEFERRAL_GRACE, airflow_errors
from airflow_provider_adobe_deletion.sensors.base import AdobeJobSensor, given
from airflow_provider_adobe_deletion.triggers.quota import NEVER, REFUSED, ROOM, TIMED_OUT, AdobeQuotaTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AdobeHygieneWorkOrderSensor(AdobeJobSensor):
    """Wait until one work order, or all of several, are completed. Adobe: *Data Hygiene API*, work orders.

    :param workorder_id: the work order's id, or a list of ids (templated). Several are looked up together.

    Further parameters: :class:`~airflow_provider_adobe_deletion.sensors.base.AdobeJobSensor`, and Airflow's own
    ``poke_interval`` (default: 30 minutes), ``timeout`` (45 days; Adobe may take 30), ``mode`` and ``soft_fail``.
    """

    template_fields: Sequence[str] = (*AdobeJobSensor.template_fields, "workorder_id")
    default_timeout: ClassVar[timedelta] = timedelta(days=45)
    default_poke_interval: ClassVar[float] = 1800.0
    default_max_poll_interval: ClassVar[float] = 7200.0

    def __init__(self, *, workorder_id: str | list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workorder_id = workorder_id

    def refs(self) -> tuple[JobRef, ...]:
        """Return the work orders, each once."""
        listed: Any = [self.workorder_id] if isinstance(self.workorder_id, str) else self.workorder_id
        if not isinstance(listed, list | tuple):
            raise TypeError(f"workorder_id must be an id or a list of ids, not {type(listed).__name__}.")
        if not listed:
            raise ValueError("workorder_id is an empty list.")
        ids = dict.fromkeys(checked_id(value, "workorder_id") for value in listed)
        return tuple(JobRef(JobKind.WORK_ORDER, value) for value in ids)


class AdobeDatasetExpirationSensor(AdobeJobSensor):
    """Wait until a dataset has expired and is deleted. Adobe: *Data Hygiene API*, dataset expirations.

    An expiration that is cancelled fails the sensor.

    :param dataset_id: the dataset (templated).

    Further parameters: :class:`~airflow_provider_adobe_deletion.sensors.base.AdobeJobSensor`, and Airflow's own
    ``poke_interval`` (default: 30 minutes), ``timeout`` (45 days; choose a longer one where the expiry is further
    ahead), ``mode`` and ``soft_fail``.
    """

    template_fields: Sequence[str] = (*AdobeJobSensor.template_fields, "dataset_id")
    default_timeout: ClassVar[timedelta] = timedelta(days=45)
    default_poke_interval: ClassVar[float] = 1800.0
    default_max_poll_interval: ClassVar[float] = 7200.0

    def __init__(self, *, dataset_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id

    def refs(self) -> tuple[JobRef, ...]:
        """Return the dataset's expiration, which Adobe also finds by the dataset's id."""
        return (JobRef(JobKind.DATASET_EXPIRATION, checked_id(self.dataset_id, "dataset_id")),)


class AdobeHygieneQuotaSensor(BaseSensorOperator):
    """Wait until the organisation's quotas of today and this month have room for some identities.

    It reserves nothing: others may use the room up. What Adobe does not say of a quota limits nothing. Where not
    even a whole day's or month's quota would do, the sensor fails at once. Adobe: *Data Hygiene API*, quota.

    :param identities: how many (templated).
    :param adobe_conn_id: the connection of type ``adobe`` (templated).
    :param deferrable: whether it waits in the triggerer. Default: ``[operators] default_deferrable``.
    :param max_poll_failures: how many refused looks in a row are tolerated. Outages are tolerated until the
        ``timeout``. In ``mode="reschedule"`` nothing is counted.

    Airflow's own ``poke_interval`` is 15 minutes by default here, ``timeout`` 32 days.
    """

    template_fields: Sequence[str] = ("adobe_conn_id", "identities")

    def __init__(
        self,
        *,
        identities: int,
        adobe_conn_id: str = "adobe_default",
        deferrable: bool | None = None,
        max_poll_failures: int = 10,
        **kwargs: Any,
    ) -> None:
        poke_interval = parameters.seconds(given(kwargs, "poke_interval", 900.0), "poke_interval")
        timeout = parameters.seconds(given(kwargs, "timeout", timedelta(days=32)), "timeout")
        super().__init__(**{**kwargs, "poke_interval": poke_interval, "timeout": timeout})
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.identities = identities
        self.adobe_conn_id = adobe_conn_id
        self.deferrable = parameters.flag(deferrable, "deferrable")
        self.max_poll_failures = parameters.count(max_poll_failures, "max_poll_failures")
        self._refusals = 0

    def execute(self, context: Context) -> Any:
        """Poke; or look once, and defer."""
        if not self.deferrable:
            return super().execute(context)
        with airflow_errors():
            options.minimum_deferral()
        if self.poke(context):
            return None
        deadline = (context["ti"].start_date or utc_now()) + timedelta(seconds=self.timeout)
        trigger = AdobeQuotaTrigger(
            self.adobe_conn_id, self._needed(), deadline.isoformat(), self.poke_interval, self.max_poll_failures
        )
        return self.defer(
            trigger=trigger, method_name="execute_complete", timeout=deadline - utc_now() + DEFERRAL_GRACE
        )

    def poke(self, context: Context) -> bool:
        """Look once."""
        from airflow_provider_adobe_deletion.adobe import hygiene, quota
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        with airflow_errors():
            needed = self._needed()
            try:
                with AdobeHook(self.adobe_conn_id).client as client:
                    found = client.send(hygiene.quota())
            except AdobeError as error:
                self._tolerate(error)
                return False
        self._refusals = 0
        lack = quota.shortage(found, needed, utc_now())
        if lack is None:
            self.log.info("Room for %s identities (%s).", f"{needed:,}", quota.described(found))
            return True
        if lack.renewed_at is None:
            raise AirflowFailException(f"{lack}, and never will.")
        self.log.info("%s; the quota begins anew at %s.", lack, lack.renewed_at.isoformat())
        return False

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Turn the trigger's event into the result."""
        outcome = event.get("outcome") if isinstance(event, dict) else None
        reason = event.get("reason", "") if isinstance(event, dict) else ""
        if outcome == ROOM:
            return
        if outcome == TIMED_OUT:
            raise AirflowSensorTimeout(f"Still no room in the quota after {self.timeout:.0f} s. {reason}")
        if outcome == NEVER:
            raise AirflowFailException(f"{reason}, and never will.")
        if outcome == REFUSED:
            raise AirflowFailException(f"Looking the quota up was refused too often in a row: {reason}.")
        raise AirflowFailException("The trigger's event is not one that this version of the provider understands.")

    def _needed(self) -> int:
        return parameters.rendered_count(self.identities, "identities")

    def _tolerate(self, error: AdobeError) -> None:
        """Return where the next look may help."""
        if not is_outage(error):
            self._refusals += 1
            if isinstance(error, AdobeConfigError) or self._refusals >= self.max_poll_failures:
                raise error
        self.log.warning("The quota cannot be looked up now: %s", error)
