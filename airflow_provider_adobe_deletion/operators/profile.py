"""Operators for Profile system jobs: delete a dataset or a batch from the Profile store."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_adobe_deletion import parameters
from airflow_provider_adobe_deletion.adobe.calls import checked_id
from airflow_provider_adobe_deletion.operators.base import AdobeDeletionOperator
from airflow_provider_adobe_deletion.outcome import airflow_errors
from airflow_provider_adobe_deletion.submission import Found, Submitted
from airflow_provider_adobe_deletion.task_state import ENDED, current_state, tell_if_kills_are_unheard

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_adobe_deletion.adobe.calls import Flow
    from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
    from airflow_provider_adobe_deletion.adobe.errors import AdobeError
    from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob
    from airflow_provider_adobe_deletion.adobe.profile import ProfileTarget

# SIGKILL follows five seconds after the signal that on_kill runs in.
_KILL_SECONDS = 4.0


class AdobeProfileDeleteJobOperator(AdobeDeletionOperator):
    """Delete a dataset, or one batch, from the Real-Time Customer Profile store.

    The data lake is not touched. Batches of datasets with a record schema cannot be deleted: Adobe
    refuses, and the task fails with an explanation. Adobe: *Profile system jobs API*.

    :param dataset_id: the dataset to delete whole (templated). Give this or ``batch_id``.
    :param batch_id: the batch to delete (templated).
    :param batch_dataset_id: the dataset that the batch is in; newer generations of the API want it
        (templated).
    :param remove_on_kill: whether the job is removed when somebody ends the waiting task by marking it failed,
        successful or skipped, while the job runs and before the timeout. A job that was there before the task
        asked for it is left alone. Only Azure has a call for it, and Adobe does not promise that it stops a
        running deletion. Before Airflow 3.3 it works for a task that waits in a worker, not for a deferred one.
    :return: the job's id.

    Further parameters: :class:`AdobeDeletionOperator`.
    """

    template_fields: Sequence[str] = (
        *AdobeDeletionOperator.template_fields,
        "dataset_id",
        "batch_id",
        "batch_dataset_id",
    )

    def __init__(
        self,
        *,
        dataset_id: str | None = None,
        batch_id: str | None = None,
        batch_dataset_id: str | None = None,
        remove_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # By what was given, not by what it renders to: a batch_id that renders to nothing must not leave the dataset.
        self._two_targets = dataset_id is not None and batch_id is not None
        self.dataset_id = dataset_id
        self.batch_id = batch_id
        self.batch_dataset_id = batch_dataset_id
        self.remove_on_kill = parameters.flag(remove_on_kill, "remove_on_kill")
        self._may_remove = False

    def check(self) -> None:
        """Refuse ids that cannot be ids, and anything but exactly one target."""
        super().check()
        if self._two_targets:
            raise ValueError("Give either dataset_id (to delete a whole dataset) or batch_id, and not both.")
        self._target()

    def work(self, config: AdobeConfig) -> ProfileWork:
        """Return the deletion to submit."""
        if self.remove_on_kill and config.cloud != "azure":
            raise ValueError("remove_on_kill needs an organisation on Azure: the API on AWS cannot remove a job.")
        return ProfileWork(self._target(), self.adobe_conn_id, config)

    def trigger_options(self, submitted: Sequence[Submitted]) -> dict[str, Any]:
        """Pass ``remove_on_kill`` on, unless the job was there before this task asked for it."""
        self._may_remove = self.remove_on_kill and all(entry.ours for entry in submitted)
        if self._may_remove and self.deferrable:
            tell_if_kills_are_unheard()
        return {"remove_on_kill": self._may_remove}

    def on_kill(self) -> None:
        """Leave the job alone, or remove it if that was asked for and somebody ended the task."""
        if not self._may_remove:
            super().on_kill()
            return
        # This runs in a signal handler: the interrupted code may hold the lock of the channel to the
        # supervisor, so another thread must not be waited for longer than there is time.
        removal = threading.Thread(target=self._remove_if_ended, daemon=True)
        removal.start()
        removal.join(_KILL_SECONDS)

    def _remove_if_ended(self) -> None:
        from airflow_provider_adobe_deletion.adobe import profile
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        context = self._context
        if context is None:
            return
        state = current_state(context["ti"])
        if state not in ENDED:
            self.log.info("The task is %s, so nothing is removed.", state)
            super().on_kill()
            return
        with AdobeHook(self.adobe_conn_id).client as client:
            for job_id in self._waiting_for:
                removed = client.run(profile.remove_active(job_id))
                self.log.info("Profile job %s %s.", job_id, "was removed" if removed else "had ended")

    def _target(self) -> ProfileTarget:
        from airflow_provider_adobe_deletion.adobe.profile import ProfileTarget

        return ProfileTarget(self.dataset_id, self.batch_id, self.batch_dataset_id)


@dataclass(frozen=True)
class ProfileWork:
    """The submission of one Profile delete job."""

    target: ProfileTarget
    adobe_conn_id: str
    config: AdobeConfig

    @property
    def what(self) -> str:
        """What is submitted, for messages."""
        return f"a Profile delete job for {self.target}"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """The target and where it is."""
        return {
            "target": str(self.target),
            "connection": self.adobe_conn_id,
            "organisation": self.config.org_id,
            "sandbox": self.config.sandbox_name or self.config.sandbox_id,
        }

    def prepare(self) -> Flow[None]:
        """Do nothing: Adobe wants nothing beforehand."""
        yield from ()

    def refused(self, error: AdobeError) -> Flow[None]:
        """Do nothing: the error says it all."""
        yield from ()

    def create(self, since: datetime, secret: str | None) -> Flow[DeletionJob]:
        """Create the job."""
        from airflow_provider_adobe_deletion.adobe import profile

        return profile.create(self.target, cloud=self.config.cloud, since=since)

    def find(self, since: datetime) -> Flow[Found]:
        """Walk the list for jobs with this target that are not older than ``since``."""
        from airflow_provider_adobe_deletion.adobe import profile

        listed = yield from profile.find(self.target, cloud=self.config.cloud, since=since)
        return Found(listed.jobs, listed.complete)

    def is_of(self, job: DeletionJob) -> bool:
        """Whether the job has this target."""
        return self.target.is_of(job)


class AdobeProfileDeleteJobRemoveOperator(BaseOperator):
    """Remove a Profile delete job that is stuck, and make sure that it is gone.

    Only Azure documents the call, and Adobe does not promise that it stops a deletion that runs. Adobe:
    *Profile system jobs API*.

    :param job_id: the job (templated).
    :param missing_ok: whether a job that Adobe does not know is fine. On a retry it always is, because the
        try before may have removed it.
    :param adobe_conn_id: the connection of type ``adobe`` (templated).
    """

    template_fields: Sequence[str] = ("adobe_conn_id", "job_id")

    def __init__(
        self, *, job_id: str, missing_ok: bool = False, adobe_conn_id: str = "adobe_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.missing_ok = parameters.flag(missing_ok, "missing_ok")
        self.adobe_conn_id = adobe_conn_id

    def execute(self, context: Context) -> None:
        """Remove the job."""
        from airflow_provider_adobe_deletion.adobe import profile
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        with airflow_errors():
            checked_id(self.job_id, "job_id")
            with AdobeHook(self.adobe_conn_id).client as client:
                removed = client.run(profile.remove(self.job_id))
        if removed:
            self.log.info("Profile job %s was removed.", self.job_id)
        elif self.missing_ok or context["ti"].try_number > 1:
            self.log.info("Adobe has no Profile job %s; nothing to remove.", self.job_id)
        else:
            raise AirflowFailException(f"Adobe has no Profile job {self.job_id}, so nothing was removed.")
