"""The Profile operators and sensor, each try of a task at a time, against the simulated Adobe."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    TaskDeferred,
)

from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.client import AdobeClient
from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook
from airflow_provider_adobe_deletion.operators.profile import (
    AdobeProfileDeleteJobOperator,
    AdobeProfileDeleteJobRemoveOperator,
)
from airflow_provider_adobe_deletion.sensors.profile import AdobeProfileDeleteJobSensor
from airflow_provider_adobe_deletion.simulator import AdobeSimulator, Fault

from .conftest import BATCH, DATASET, MemoryStore

pytestmark = pytest.mark.usefixtures("short_waits")


def posts(adobe: AdobeSimulator) -> list[Any]:
    return adobe.journal.select("POST", "/system/jobs")


def operator(**kwargs: Any) -> AdobeProfileDeleteJobOperator:
    return AdobeProfileDeleteJobOperator(
        **{"task_id": "t", "poll_interval": 0.05, "deferrable": False, "dataset_id": DATASET, **kwargs}
    )


def deferred(run: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        run()
    return caught.value


@pytest.mark.parametrize("shape", ["azure", "aws", "unified"])
def test_deletes_and_polls_until_done(adobe, make_context, monkeypatch, shape):
    adobe.settings.profile_shape = shape
    adobe.settings.profile_seconds = (0.1, 0.2)
    if shape == "aws":
        sandbox = next(box for box in adobe.settings.sandboxes if box.name == "dev")
        extra = adobe.connection_json(cloud="aws", sandbox_name=None, sandbox_id=sandbox.id)
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", extra)
    context = make_context()
    job_id = operator().execute(context)
    assert [job["id"] for job in adobe.jobs()] == [job_id]
    (job,) = context["ti"].xcoms["jobs"]
    assert (job["id"], job["state"], job["target"]) == (job_id, "succeeded", {"dataset_id": DATASET})
    assert {entry.sandbox for entry in adobe.journal.select(None, "/system/jobs")} == {"dev"}


def test_defers_once_with_ids_and_times_only(adobe, make_context):
    context = make_context()
    pause = deferred(lambda: operator(deferrable=True, completion_timeout=timedelta(hours=2)).execute(context))
    path, kwargs = pause.trigger.serialize()
    assert path == "airflow_provider_adobe_deletion.triggers.job.AdobeJobTrigger"
    assert set(kwargs) == {"adobe_conn_id", "plan", "place", "remove_on_kill"}
    assert [ref["id"] for ref in kwargs["plan"]["refs"]] == [adobe.jobs()[0]["id"]]
    assert timedelta(hours=2) < pause.timeout <= timedelta(hours=2, minutes=30)
    assert context["ti"].xcoms["jobs"][0]["id"] == adobe.jobs()[0]["id"], "the id is visible while it waits"
    stored = json.dumps(kwargs)
    assert adobe.connection()["password"] not in stored


def test_does_not_defer_for_a_job_that_has_ended(adobe, make_context):
    adobe.settings.profile_seconds = (0.0, 0.0)
    assert operator(deferrable=True).execute(make_context()) == adobe.jobs()[0]["id"]


def test_without_waiting_returns_the_id_at_once(adobe, make_context):
    job_id = operator(wait_for_completion=False).execute(make_context())
    assert adobe.jobs()[0]["id"] == job_id
    assert not adobe.journal.select("GET", f"/system/jobs/{job_id}")


def test_a_batch_delete_never_names_the_dataset_to_truncate(adobe, make_context):
    operator(dataset_id=None, batch_id=BATCH, batch_dataset_id=DATASET, wait_for_completion=False).execute(
        make_context()
    )
    assert posts(adobe)[0].body == {"datasetId": DATASET, "batchId": BATCH}


def test_a_truncation_answered_to_a_batch_request_fails_loudly(adobe, make_context):
    answer = {
        "requestId": "j1",
        "requestType": "TRUNCATE_DATASET",
        "status": "NEW",
        "properties": {"datasetId": DATASET},
    }
    adobe.faults.add(Fault(method="POST", path="/system/jobs", status=200, body=answer))
    with pytest.raises(AirflowFailException, match="job j1 for something else .*TRUNCATE_DATASET"):
        operator(dataset_id=None, batch_id=BATCH).execute(make_context())


def test_a_failed_job_fails_the_task_so_that_a_retry_submits_anew(adobe, make_context):
    adobe.settings.profile_seconds = (0.0, 0.0)
    adobe.settings.fail_targets = {DATASET}
    store = MemoryStore()
    with pytest.raises(AirflowException, match="Failed at Adobe") as caught:
        operator().execute(make_context(store=store, max_tries=1))
    assert not isinstance(caught.value, AirflowFailException)
    with pytest.raises(AirflowException, match="Failed at Adobe"):
        operator(retries=1).execute(make_context(store=store, try_number=2, max_tries=1))
    assert len(adobe.jobs()) == 2


def test_time_out_fails_without_retry_and_leaves_the_job(adobe, make_context):
    adobe.settings.profile_seconds = (60.0, 90.0)
    with pytest.raises(AirflowFailException, match="Not finished in time"):
        operator(completion_timeout=0.2).execute(make_context())
    assert not adobe.journal.select("DELETE")
    assert len(adobe.jobs()) == 1


def test_a_record_schema_batch_is_explained(adobe, make_context):
    adobe.settings.record_datasets = {DATASET: "a294e36d382649dab2cc6ad64a41b674"}
    adobe.settings.batches = {BATCH: DATASET}
    with pytest.raises(AirflowFailException, match="record schema.*delete the whole dataset"):
        operator(dataset_id=None, batch_id=BATCH).execute(make_context())


def test_422_adopts_the_active_job(adobe, make_context):
    first = operator(wait_for_completion=False).execute(make_context(run_id="r1"))
    second = operator(wait_for_completion=False).execute(make_context(run_id="r2"))
    assert first == second
    assert [entry.status for entry in posts(adobe)] == [200, 422]


def test_422_for_an_ended_job_is_not_taken_for_success(adobe, make_context):
    adobe.settings.profile_duplicate_422 = "ever"
    adobe.settings.profile_seconds = (0.0, 0.0)
    operator().execute(make_context(run_id="r1"))
    adobe.advance(600)
    with pytest.raises(AirflowFailException, match="earlier one is not taken"):
        operator().execute(make_context(run_id="r2"))


class TestSubmitsOnce:
    """A retry finds what the try before it left."""

    def test_a_retry_adopts_the_recorded_job(self, adobe, make_context):
        adobe.settings.profile_duplicate_422 = "never"
        store = MemoryStore()
        deferred(lambda: operator(deferrable=True, retries=2).execute(make_context(store=store, max_tries=2)))
        adobe.advance(10)
        job_id = operator(deferrable=True, retries=2).execute(make_context(store=store, max_tries=2, try_number=2))
        assert [job["id"] for job in adobe.jobs()] == [job_id]

    def test_the_record_never_expires(self, adobe, make_context):
        store = MemoryStore()
        operator(wait_for_completion=False).execute(make_context(store=store))
        from airflow.sdk import NEVER_EXPIRE

        assert store.retentions
        assert all(retention is NEVER_EXPIRE for retention in store.retentions)

    @pytest.mark.parametrize("visible_after", [0.0, 0.25])
    def test_a_lost_answer_is_found_in_the_list(self, adobe, make_context, visible_after):
        adobe.settings.profile_duplicate_422 = "never"
        adobe.settings.list_lag = visible_after
        adobe.faults.add(Fault(method="POST", path="/system/jobs", when="after", abort=True))
        job_id = operator(wait_for_completion=False).execute(make_context(store=MemoryStore()))
        assert [job["id"] for job in adobe.jobs()] == [job_id]
        assert len(posts(adobe)) == 1

    def test_a_request_that_never_arrived_is_sent_again_after_the_settle_time(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="/system/jobs", when="before", status=503))
        job_id = operator(wait_for_completion=False).execute(make_context(store=MemoryStore()))
        assert [job["id"] for job in adobe.jobs()] == [job_id]
        assert [entry.status for entry in posts(adobe)] == [503, 200]
        between = [entry for entry in adobe.journal if posts(adobe)[0].time < entry.time < posts(adobe)[1].time]
        assert len([entry for entry in between if entry.method == "GET"]) >= 3

    def test_a_long_outage_is_not_the_end_of_a_task_that_has_retries_left(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="/system/jobs", when="before", status=503, times=3))
        store = MemoryStore()
        with pytest.raises(
            AirflowException, match="asked 3 times for a Profile delete job.* A retry looks again"
        ) as told:
            operator(retries=1).execute(make_context(store=store, max_tries=1))
        assert not isinstance(told.value, AirflowFailException)
        job_id = operator(retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        assert [job["id"] for job in adobe.jobs()] == [job_id]
        assert [entry.status for entry in posts(adobe)] == [503, 503, 503, 200]

    def test_on_ambiguous_fail_leaves_it_to_a_person(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="/system/jobs", when="before", status=503))
        with pytest.raises(AirflowFailException, match="unknown whether Adobe has .* Look for it at Adobe"):
            operator(on_ambiguous="fail").execute(make_context(store=MemoryStore()))
        assert len(posts(adobe)) == 1

    def test_a_failed_look_up_never_leads_to_a_submission(self, adobe, make_context):
        store = MemoryStore()
        operator(wait_for_completion=False).execute(make_context(store=store, max_tries=1))
        adobe.faults.add(Fault(method="GET", path="/system/jobs/", times=None, status=500))
        with pytest.raises(AirflowException):
            operator(retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(posts(adobe)) == 1

    def test_changed_input_is_refused_unless_the_submission_key_changes(self, adobe, make_context):
        store = MemoryStore()
        operator(wait_for_completion=False).execute(make_context(store=store, max_tries=1))
        other = {"dataset_id": "66a92c5910df2d1767de13f3", "wait_for_completion": False, "retries": 1}
        with pytest.raises(AirflowFailException, match="target was dataset 5c80.* and is dataset 66a9"):
            operator(**other).execute(make_context(store=store, max_tries=1, try_number=2))
        operator(submission_key="again", **other).execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(adobe.jobs()) == 2

    def test_clear_returns_a_succeeded_job_without_a_second_one(self, adobe, make_context):
        store = MemoryStore()
        adobe.settings.profile_seconds = (0.0, 0.0)
        first = operator().execute(make_context(store=store))
        assert operator().execute(make_context(store=store, try_number=2, max_tries=1)) == first
        assert len(adobe.jobs()) == 1

    def test_clear_with_resubmit_waits_for_the_running_job_first(self, adobe, make_context):
        store = MemoryStore()
        adobe.settings.profile_duplicate_422 = "never"
        adobe.settings.profile_seconds = (0.1, 0.3)
        first = operator(wait_for_completion=False).execute(make_context(store=store))
        again = operator(on_clear="resubmit")
        second = again.execute(make_context(store=store, try_number=2, max_tries=1))
        assert second != first
        created = {job["id"]: job["created"] for job in adobe.jobs()}
        assert created[second] - created[first] >= 0.3

    def test_without_a_state_store_a_retry_searches_the_list(self, adobe, make_context):
        adobe.settings.profile_duplicate_422 = "never"
        first = make_context(max_tries=1)
        job_id = operator(wait_for_completion=False).execute(first)
        retry = make_context(max_tries=1, try_number=2)
        retry["dag_run"] = first["dag_run"]
        assert operator(wait_for_completion=False, retries=1).execute(retry) == job_id
        assert len(adobe.jobs()) == 1

    def test_a_job_that_somebody_removed_is_not_submitted_again_by_a_retry(self, adobe, make_context):
        store = MemoryStore()
        context = make_context(store=store, max_tries=1)
        job_id = operator(wait_for_completion=False).execute(context)
        AdobeProfileDeleteJobRemoveOperator(task_id="r", job_id=job_id).execute(make_context())
        store.record["sent_at"] = "2026-01-01T00:00:00+00:00"
        with pytest.raises(AirflowFailException, match="was removed from Adobe by somebody"):
            operator(retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(posts(adobe)) == 1


def age(store: MemoryStore, seconds: float) -> None:
    """Make the recorded attempt look older than it is."""
    for name in ("at", "sent_at"):
        moment = datetime.fromisoformat(store.record[name]) - timedelta(seconds=seconds)
        store.record[name] = moment.isoformat()


class TestNeverTwice:
    """Ways to a second job that somebody has found once. Without 422, as on AWS, nothing else would stop it."""

    @pytest.fixture(autouse=True)
    def no_422(self, adobe):
        adobe.settings.profile_duplicate_422 = "never"

    def submit(self, context, **kwargs: Any) -> str:
        return operator(wait_for_completion=False, **kwargs).execute(context)

    def test_one_stray_404_is_not_a_removed_job(self, adobe, make_context):
        store = MemoryStore()
        first = self.submit(make_context(store=store))
        age(store, 600)
        adobe.faults.add(Fault(method="GET", path="/system/jobs/", status=404))
        assert self.submit(make_context(store=store, try_number=2, max_tries=1)) == first
        assert len(adobe.jobs()) == 1

    def test_a_renamed_connection_is_the_same_place(self, adobe, make_context, monkeypatch):
        store = MemoryStore()
        first = self.submit(make_context(store=store))
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_NEW", adobe.connection_json())
        cleared = make_context(store=store, try_number=2, max_tries=1)
        assert self.submit(cleared, adobe_conn_id="adobe_new") == first
        assert len(adobe.jobs()) == 1

    def test_the_settle_time_counts_from_when_the_request_left(self, adobe, make_context):
        """Adobe asks to wait before it takes the request; the record's time is that of the last sending."""
        store = MemoryStore()
        adobe.faults.add(Fault(method="POST", path="/system/jobs", status=429, headers={"Retry-After": "1"}))
        self.submit(make_context(store=store))
        left = datetime.fromisoformat(store.record["sent_at"]) - datetime.fromisoformat(store.record["at"])
        assert left >= timedelta(seconds=1)

    def test_without_a_store_a_retry_after_a_resubmitting_clear_adopts_its_own_job(self, adobe, make_context):
        adobe.settings.profile_seconds = (0.0, 0.0)
        first = make_context(max_tries=1)
        self.submit(first, on_clear="resubmit", retries=1)
        cleared = make_context(try_number=2, max_tries=2)
        retried = make_context(try_number=3, max_tries=2)
        for context in (cleared, retried):
            context["dag_run"] = first["dag_run"]
        adobe.advance(1)
        second = self.submit(cleared, on_clear="resubmit", retries=1)
        assert self.submit(retried, on_clear="resubmit", retries=1) == second
        assert len(adobe.jobs()) == 2

    def test_without_a_store_a_catch_up_run_does_not_adopt_what_came_before_it(self, adobe, make_context):
        self.submit(make_context(run_id="other"))
        adobe.advance(3600)
        context = make_context(try_number=2, max_tries=1)
        context["dag_run"].run_after -= timedelta(days=30)
        context["dag_run"].start_date += timedelta(seconds=3600)
        self.submit(context, retries=1)
        assert len(adobe.jobs()) == 2

    def test_a_running_job_is_preferred_to_a_newer_failed_one(self, adobe, make_context):
        adobe.settings.profile_seconds = (60.0, 90.0)
        first = make_context(max_tries=1)
        job_id = self.submit(first)
        adobe.advance(1)
        failed = {**adobe_entry(adobe, job_id), "id": "newer", "status": "ERROR", "createEpoch": 4_000_000_000}
        listed = {"_page": {"count": 2}, "children": [adobe_entry(adobe, job_id), failed]}
        adobe.faults.add(Fault(method="GET", path="/system/jobs$", status=200, body=listed, times=None))
        retry = make_context(max_tries=1, try_number=2)
        retry["dag_run"] = first["dag_run"]
        assert self.submit(retry, retries=1) == job_id
        assert len(adobe.jobs()) == 1

    def test_a_job_that_shows_up_only_before_the_second_request_is_adopted(self, adobe, make_context, monkeypatch):
        """Absent for the settle time, then in the list right before the request goes out again."""
        from airflow_provider_adobe_deletion import submission

        original = submission.Submission._search

        def search(self, *args):
            found = yield from original(self, *args)
            adobe.settings.list_lag = 0.0
            return found

        monkeypatch.setattr(submission.Submission, "_search", search)
        adobe.settings.list_lag = 60.0
        adobe.faults.add(Fault(method="POST", path="/system/jobs", when="after", abort=True))
        job_id = self.submit(make_context(store=MemoryStore()))
        assert [job["id"] for job in adobe.jobs()] == [job_id]
        assert len(posts(adobe)) == 1

    def test_a_duplicate_that_cannot_be_seen_is_for_a_person(self, adobe, make_context):
        adobe.settings.profile_duplicate_422 = "active"
        adobe.settings.list_lag = 3600.0
        adobe.faults.add(Fault(method="POST", path="/system/jobs", when="after", abort=True))
        store = MemoryStore()
        with pytest.raises(AirflowFailException, match="unknown whether Adobe has"):
            self.submit(make_context(store=store))
        adobe.settings.list_lag = 0.0
        job_id = self.submit(make_context(store=store, try_number=2, max_tries=1))
        assert [job["id"] for job in adobe.jobs()] == [job_id]

    def test_a_full_list_on_aws_that_reaches_back_is_searched(self, adobe, make_context, monkeypatch):
        sandbox = next(box for box in adobe.settings.sandboxes if box.name == "dev")
        connection = adobe.connection_json(cloud="aws", sandbox_name=None, sandbox_id=sandbox.id)
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", connection)
        adobe.settings.profile_shape = "aws"
        with AdobeHook().client as client:
            for number in range(101):
                client.send(profile.create_job(profile.ProfileTarget(f"other{number}")))
        adobe.advance(3600)
        monkeypatch.setattr("airflow_provider_adobe_deletion.submission.utc_now", lambda: now() + timedelta(hours=1))
        adobe.faults.add(Fault(method="POST", path="/system/jobs", when="after", abort=True))
        job_id = self.submit(make_context(store=MemoryStore()))
        assert adobe.jobs()[-1]["id"] == job_id
        assert len(adobe.jobs()) == 102

    def test_going_back_to_an_earlier_submission_key_finds_its_job(self, adobe, make_context):
        store = MemoryStore()
        first = self.submit(make_context(store=store, max_tries=2), submission_key="a")
        self.submit(make_context(store=store, max_tries=2, try_number=2), submission_key="b", retries=2)
        again = self.submit(make_context(store=store, max_tries=2, try_number=3), submission_key="a", retries=2)
        assert again == first
        assert len(adobe.jobs()) == 2

    def test_an_edited_record_is_not_trusted(self, adobe, make_context):
        store = MemoryStore()
        other = self.submit(make_context(run_id="other"), dataset_id="66a92c5910df2d1767de13f3")
        self.submit(make_context(store=store, max_tries=1))
        store.record["job"]["id"] = other
        with pytest.raises(AirflowFailException, match="which is not a Profile delete job for dataset 5c80"):
            self.submit(make_context(store=store, max_tries=1, try_number=2), retries=1)

    @pytest.mark.parametrize("garbage", ["x", 5, [], {"version": 99}, {"version": 1, "records": {"x": 1}}])
    def test_a_record_that_cannot_be_read_stops_the_task(self, adobe, make_context, garbage):
        store = MemoryStore()
        self.submit(make_context(store=store, max_tries=1))
        if isinstance(garbage, dict) and "records" in garbage:
            (name,) = store.values["adobe_submission"]["records"]
            garbage = {"version": 1, "records": {name: garbage["records"]}}
        store.values["adobe_submission"] = garbage
        with pytest.raises(AirflowFailException, match="cannot be read"):
            self.submit(make_context(store=store, max_tries=1, try_number=2), retries=1)
        assert len(adobe.jobs()) == 1


def now() -> datetime:
    return datetime.now(UTC)


def adobe_entry(adobe: AdobeSimulator, job_id: str) -> dict[str, Any]:
    return {
        "id": job_id,
        "jobType": "DELETE",
        "dataSetId": DATASET,
        "status": "PROCESSING",
        "createEpoch": int(now().timestamp()),
    }


class TestKill:
    """Killing a task in the worker."""

    def waiting(self, adobe, make_context, monkeypatch, state: str, **kwargs: Any) -> AdobeProfileDeleteJobOperator:
        module = "airflow_provider_adobe_deletion.operators.profile.current_state"
        monkeypatch.setattr(module, lambda ti: state)
        adobe.settings.profile_seconds = (30.0, 60.0)
        made = operator(**kwargs)
        monkeypatch.setattr(
            "airflow_provider_adobe_deletion.adobe.client.AdobeClient.run", self._until_waiting(AdobeClient.run)
        )
        with pytest.raises(KeyboardInterrupt):
            made.execute(make_context())
        monkeypatch.undo()
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json())
        monkeypatch.setattr(module, lambda ti: state)
        return made

    def _until_waiting(self, run: Any) -> Any:
        def until_waiting(client: Any, flow: Any) -> Any:
            if flow.__name__ == "wait":
                raise KeyboardInterrupt
            return run(client, flow)

        return until_waiting

    def test_leaves_the_job_and_names_it(self, adobe, make_context, monkeypatch, caplog):
        self.waiting(adobe, make_context, monkeypatch, "failed").on_kill()
        assert not adobe.journal.select("DELETE")

    @pytest.mark.parametrize(("state", "removed"), [("failed", True), ("success", True), ("running", False)])
    def test_removes_only_if_somebody_ended_the_task(self, adobe, make_context, monkeypatch, state, removed):
        self.waiting(adobe, make_context, monkeypatch, state, remove_on_kill=True).on_kill()
        assert [job["removed"] for job in adobe.jobs()] == [removed]

    def test_never_removes_a_job_that_was_there_before(self, adobe, make_context, monkeypatch):
        operator(wait_for_completion=False).execute(make_context(run_id="other"))
        self.waiting(adobe, make_context, monkeypatch, "failed", remove_on_kill=True).on_kill()
        assert not adobe.journal.select("DELETE")
        assert len(adobe.jobs()) == 1


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        "success",
        {"status": "success"},
        {"version": 2, "outcome": "succeeded", "jobs": [], "reason": ""},
        {"version": 1, "outcome": "succeeded", "jobs": [], "reason": ""},
        {"version": 1, "outcome": "well", "jobs": [{"kind": "profile_system_job", "id": "1"}], "reason": ""},
        {
            "version": 1,
            "outcome": "succeeded",
            "jobs": [{"kind": "profile_system_job", "id": "1", "state": "running"}],
            "reason": "",
        },
    ],
)
def test_an_event_that_is_not_understood_is_no_success(make_context, event):
    with pytest.raises(AirflowFailException, match="unknown"):
        operator().execute_complete(make_context(), event)
    with pytest.raises(AirflowFailException, match="unknown"):
        AdobeProfileDeleteJobSensor(task_id="s", job_id="1").execute_complete(make_context(), event)


BAD_TARGETS = [
    ({"dataset_id": None}, "either dataset_id"),
    ({"batch_id": BATCH}, "not both"),
    ({"dataset_id": ""}, "dataset_id is empty"),
    ({"dataset_id": "   "}, "dataset_id is empty"),
    ({"dataset_id": "../prod"}, "dataset_id is not an id"),
    ({"dataset_id": "a/b"}, "dataset_id is not an id"),
    ({"dataset_id": "a?b=c"}, "dataset_id is not an id"),
    ({"dataset_id": "a\r\nx-sandbox-name: prod"}, "dataset_id is not an id"),
    ({"dataset_id": "a\x00"}, "dataset_id is not an id"),
    ({"dataset_id": "5с80"}, "dataset_id is not an id"),
    ({"dataset_id": "a" * 256}, "dataset_id is not an id"),
    ({"dataset_id": "None"}, "template without a value"),
    ({"dataset_id": 5}, "dataset_id must be a string"),
    ({"dataset_id": ["a"]}, "dataset_id must be a string"),
    ({"dataset_id": None, "batch_id": ""}, "batch_id is empty"),
    ({"dataset_id": None, "batch_id": "%2e%2e"}, "batch_id is not an id"),
    ({"dataset_id": None, "batch_id": BATCH, "batch_dataset_id": "a b"}, "batch_dataset_id is not an id"),
    ({"batch_dataset_id": DATASET}, "batch_dataset_id goes with batch_id"),
    ({"submission_key": "a\nb"}, "submission_key must be"),
]


@pytest.mark.parametrize(("kwargs", "message"), BAD_TARGETS)
def test_bad_targets_are_refused_without_a_request(adobe, make_context, kwargs, message):
    with pytest.raises(AirflowFailException, match=message):
        operator(**kwargs).execute(make_context())
    assert len(adobe.journal) == 0


BAD_PARAMETERS = [
    {"poll_interval": 0},
    {"poll_interval": -1},
    {"poll_interval": float("nan")},
    {"poll_interval": "60"},
    {"poll_interval": True},
    {"max_poll_interval": float("inf")},
    {"completion_timeout": timedelta(0)},
    {"completion_timeout": 1e18},
    {"max_poll_failures": 0},
    {"max_poll_failures": 1.5},
    {"on_ambiguous": "retry"},
    {"on_clear": "fail"},
    {"deferrable": "False"},
    {"wait_for_completion": 1},
    {"remove_on_kill": "yes"},
]


@pytest.mark.parametrize("kwargs", BAD_PARAMETERS, ids=str)
def test_bad_parameters_are_refused_when_the_dag_is_parsed(kwargs):
    with pytest.raises((ValueError, TypeError), match=next(iter(kwargs))):
        operator(**kwargs)


class TestRemove:
    def test_removes_and_checks(self, adobe, make_context):
        job_id = operator(wait_for_completion=False).execute(make_context())
        AdobeProfileDeleteJobRemoveOperator(task_id="r", job_id=job_id).execute(make_context())
        assert [job["removed"] for job in adobe.jobs()] == [True]

    def test_a_missing_job_fails_on_the_first_try_only(self, adobe, make_context):
        remove = AdobeProfileDeleteJobRemoveOperator(task_id="r", job_id="3f225e7e-ac8c-4904-b1d5-0ce79e03c2ec")
        with pytest.raises(AirflowFailException, match="has no Profile job"):
            remove.execute(make_context())
        remove.execute(make_context(try_number=2))
        assert not adobe.journal.select("DELETE")

    def test_says_that_this_api_cannot_remove(self, adobe, make_context):
        adobe.settings.profile_shape = "unified"
        job_id = operator(wait_for_completion=False).execute(make_context())
        with pytest.raises(AirflowFailException, match="no call that removes one"):
            AdobeProfileDeleteJobRemoveOperator(task_id="r", job_id=job_id).execute(make_context())


class TestSensor:
    def sensor(self, **kwargs: Any) -> AdobeProfileDeleteJobSensor:
        return AdobeProfileDeleteJobSensor(**{"task_id": "s", "poke_interval": 0.05, "deferrable": False, **kwargs})

    @pytest.fixture
    def job_id(self, adobe, make_context):
        adobe.settings.profile_seconds = (0.1, 0.2)
        return operator(wait_for_completion=False).execute(make_context())

    def test_pokes_until_done(self, adobe, make_context, job_id):
        context = make_context()
        self.sensor(job_id=job_id).execute(context)
        assert context["ti"].xcoms["jobs"][0]["status"] == "COMPLETED"

    def test_looks_once_and_defers(self, adobe, make_context, job_id):
        pause = deferred(lambda: self.sensor(job_id=job_id, deferrable=True).execute(make_context()))
        assert pause.trigger.plan["refs"][0]["id"] == job_id
        assert pause.trigger.remove_on_kill is False

    def test_a_failed_job_fails_the_sensor_for_good(self, adobe, make_context, job_id):
        adobe.settings.fail_targets = {DATASET}
        adobe.advance(10)
        with pytest.raises(AirflowFailException, match="Did not succeed at Adobe"):
            self.sensor(job_id=job_id).execute(make_context())

    def test_an_outage_while_poking_is_survived(self, adobe, make_context, job_id):
        adobe.faults.add(Fault(method="GET", path="/system/jobs/", times=7, status=503))
        self.sensor(job_id=job_id).execute(make_context())

    def test_time_out_from_the_trigger_is_a_sensor_time_out(self, make_context):
        event = {
            "version": 1,
            "outcome": "timed_out",
            "jobs": [{"kind": "profile_system_job", "id": "j"}],
            "reason": "",
        }
        with pytest.raises(AirflowSensorTimeout, match="j"):
            self.sensor(job_id="j").execute_complete(make_context(), event)

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_a_connection_without_a_sandbox_fails_at_once(self, adobe, make_context, monkeypatch, deferrable):
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json(sandbox_name=None))
        with pytest.raises(AirflowFailException, match="no sandbox_name"):
            self.sensor(job_id="j1", deferrable=deferrable).execute(make_context())
        assert len(adobe.journal) == 0

    def test_a_bad_id_is_refused_without_a_request(self, adobe, make_context):
        for bad in ("", "a/b", "..", None):
            with pytest.raises(AirflowFailException, match="job_id"):
                self.sensor(job_id=bad).execute(make_context())
        assert len(adobe.journal) == 0
