"""One job for one task, whatever fails on the way: the rules, for each service."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_adobe_deletion.simulator import Fault
from airflow_provider_adobe_deletion.submission import Submission
from airflow_provider_adobe_deletion.task_state import identity

from .conftest import DATASET, MemoryStore
from .services import PEOPLE, SECONDS, SUITE, Task, every_service, ids, operator, posts

pytestmark = pytest.mark.usefixtures("short_waits", "slow_jobs")

OTHER_DATASET = "66a92c5910df2d1767de13f3"
CREATE = "/system/jobs$|/job$|/workorder$"


class WorkerDied(BaseException):
    """What a task cannot catch."""


@pytest.fixture
def memory():
    return "kept"


@pytest.fixture
def task(make_context, service, memory):
    return Task(make_context, service, memory)


@pytest.fixture
def dies_unsure(adobe, task, monkeypatch):
    """Let the first try send its request and die before it knows what became of it."""

    def die(when: str) -> None:
        adobe.faults.add(Fault(method="POST", path=CREATE, when=when, abort=True))

        def search(*args: Any, **kwargs: Any) -> Any:
            raise WorkerDied

        with monkeypatch.context() as dying:
            dying.setattr(Submission, "_search", search)
            with pytest.raises(WorkerDied):
                task.try_it()
        assert len(posts(adobe)) == 1

    return die


@every_service
class TestARetry:
    def test_returns_the_result_of_a_job_that_has_succeeded_meanwhile(self, adobe, task):
        first = task.try_it()
        adobe.advance(SECONDS + 1)
        assert task.try_it(wait_for_completion=True) == first == ids(adobe)

    def test_finds_the_job_of_a_request_whose_answer_was_lost(self, adobe, task, dies_unsure):
        dies_unsure("after")
        (first,) = ids(adobe)
        assert task.try_it()[0] == first
        assert len(posts(adobe)) == len(ids(adobe))

    def test_sends_a_request_again_that_never_arrived(self, adobe, task, dies_unsure):
        dies_unsure("before")
        assert task.try_it() == ids(adobe)
        assert len(posts(adobe)) == len(ids(adobe)) + 1

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize(("status", "final"), [(500, False), (403, True)])
    def test_submits_nothing_while_the_search_fails(self, adobe, task, dies_unsure, when, status, final):
        dies_unsure(when)
        adobe.faults.add(Fault(method="GET", path=CREATE, times=None, status=status))
        said = "This was to find out whether Adobe has .* Nothing more was submitted; .* looks again"
        with pytest.raises(AirflowException, match=said) as caught:
            task.try_it()
        assert isinstance(caught.value, AirflowFailException) == final, "a later retry may be able to search"
        assert len(posts(adobe)) == 1
        adobe.faults.clear()
        assert task.try_it() == ids(adobe)

    def test_submits_nothing_while_a_look_up_fails(self, adobe, task):
        first = task.try_it()
        before = len(posts(adobe))
        adobe.faults.add(Fault(method="GET", path="/system/jobs|/job|/workorder", times=None, status=500))
        with pytest.raises(AirflowException):
            task.try_it()
        assert len(posts(adobe)) == before
        adobe.faults.clear()
        assert task.try_it() == first

    def test_names_the_failed_job_that_it_replaces(self, adobe, task, service, caplog):
        adobe.settings.fail_targets = {DATASET, SUITE}
        first = task.try_it()
        adobe.advance(SECONDS + 1)
        second = task.try_it(**({"resubmit_failed": True} if service == "repair" else {}))
        assert not set(first) & set(second)
        for job_id in first:
            assert f"Earlier job {job_id} has failed" in caplog.text

    @pytest.mark.parametrize("memory", ["none"])
    def test_adopts_the_newest_of_several_with_a_warning(self, adobe, task, service, make_context, caplog):
        """Two of them are there, because somebody has run another task for the same, or because of what we rule out."""
        adobe.settings.repair_seconds = 0.0
        for _ in range(2):
            if service == "orders":
                # Only a task of the same name makes orders with the same marker.
                Task(make_context, service, "none").try_it()
            else:
                operator(service).execute(make_context(run_id="other"))
            adobe.advance(2)
        task.tries = 1
        result = task.try_it()
        created = ids(adobe)
        half = len(created) // 2
        assert result == created[half:]
        for older, newer in zip(created[:half], created[half:], strict=True):
            assert f"adopting {newer}. The others: {older}." in caplog.text


class Fenced(MemoryStore):
    """What Airflow does to a try that it has given up: it refuses to write, from a certain moment on."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self._writes = writes

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if self._writes == 0:
            raise RuntimeError("404: no such task instance")
        self._writes -= 1
        super().set(key, value, retention=retention)


@every_service
@pytest.mark.parametrize("writes", [0, 1])
def test_a_try_that_airflow_has_given_up_submits_nothing(adobe, make_context, service, writes):
    with pytest.raises(RuntimeError):
        operator(service).execute(make_context(store=Fenced(writes)))
    assert not posts(adobe)


CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("profile", f"target was dataset {DATASET} and is dataset {OTHER_DATASET}", {"dataset_id": OTHER_DATASET}),
    ("profile", f"target was dataset {DATASET} and is batch b1", {"dataset_id": None, "batch_id": "b1"}),
    ("repair", f"report suite was {SUITE} and is other", {"report_suite_id": "other"}),
    ("repair", "first day was 2026-08-01 and is 2026-08-02", {"date_range_start": "2026-08-02"}),
    ("repair", "last day was 2026-08-02 and is 2026-08-03", {"date_range_end": "2026-08-03"}),
    ("repair", "definition was .+ and is ", {"job_definition": {"variables": {"evar1": {"action": "delete"}}}}),
    ("orders", f"dataset was {DATASET} and is {OTHER_DATASET}", {"dataset_id": OTHER_DATASET}),
    ("orders", "identities was sha256 .+ and is sha256", {"identities": {"email": PEOPLE["email"][1:]}}),
    (
        "orders",
        "target services was all and is identity, profile, ajo",
        {"dataset_id": "ALL", "allow_all_datasets": True, "target_services": ["identity", "profile", "ajo"]},
    ),
    ("profile", "connection was adobe_default and is adobe_other", {"adobe_conn_id": "adobe_other"}),
    ("repair", "connection was adobe_default and is adobe_other", {"adobe_conn_id": "adobe_other"}),
    ("orders", "connection was adobe_default and is adobe_other", {"adobe_conn_id": "adobe_other"}),
]


class TestChangedInput:
    @pytest.fixture(autouse=True)
    def another_connection(self, adobe, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_OTHER", adobe.connection_json())

    @pytest.mark.parametrize(("service", "message", "change"), CHANGES)
    def test_is_refused_with_a_sentence_that_says_what_changed(self, adobe, task, message, change):
        task.try_it()
        before = len(posts(adobe))
        with pytest.raises(AirflowFailException, match=message):
            task.try_it(**change)
        assert len(posts(adobe)) == before

    @pytest.mark.parametrize(("service", "message", "change"), CHANGES)
    def test_is_submitted_with_another_submission_key(self, adobe, task, message, change):
        adobe.settings.repair_seconds = 0.0
        first = task.try_it()
        second = task.try_it(submission_key="again", **change)
        assert ids(adobe) == [*first, *second]

    @pytest.mark.parametrize(("service", "message", "change"), CHANGES[-3:])
    def test_is_refused_while_the_outcome_of_the_request_is_unknown_too(
        self, adobe, task, dies_unsure, message, change
    ):
        dies_unsure("before")
        with pytest.raises(AirflowFailException, match=message):
            task.try_it(**change)
        assert len(posts(adobe)) == 1

    @pytest.mark.parametrize("service", ["profile", "orders"])
    def test_another_sandbox_is_another_place(self, adobe, task, monkeypatch):
        task.try_it()
        before = len(posts(adobe))
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json(sandbox_name="prod"))
        with pytest.raises(AirflowFailException, match="sandbox was dev and is prod"):
            task.try_it()
        assert len(posts(adobe)) == before


@pytest.mark.parametrize("service", ["repair"])
class TestTheStoredToken:
    def test_is_of_no_use_after_the_credential_has_changed(self, adobe, task, dies_unsure, monkeypatch):
        dies_unsure("before")
        adobe.rotate_secret("another secret")
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json())
        with pytest.raises(AirflowFailException, match="can no longer be read, because the connection's credential"):
            task.try_it()
        assert len(posts(adobe)) == 1

    @pytest.mark.parametrize("change", [lambda text: text[:-4] + "AAAA", lambda text: "garbage", lambda text: ""])
    def test_is_of_no_use_when_somebody_has_changed_it(self, adobe, task, dies_unsure, change):
        dies_unsure("before")
        task.store.record["sealed"] = change(task.store.record["sealed"])
        with pytest.raises(AirflowFailException, match="can no longer be read"):
            task.try_it()
        assert len(posts(adobe)) == 1

    def test_is_not_needed_where_the_job_is_found(self, adobe, task, dies_unsure):
        dies_unsure("after")
        task.store.record["sealed"] = "garbage"
        assert task.try_it() == ids(adobe)


class TestIdentity:
    def of(self, make_context: Any, key: str | None = None, **changes: Any) -> str:
        context = make_context()
        context["ti"].__dict__.update(changes)
        return identity(context, key, 0).marker

    def test_is_the_same_for_every_try_and_generation(self, make_context):
        same = {self.of(make_context, try_number=number, max_tries=number, id=number) for number in range(1, 4)}
        assert len(same) == 1

    def test_differs_by_dag_run_task_map_index_and_submission_key(self, make_context):
        others = [{}, {"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}, {"map_index": 0}, {"map_index": 1}]
        markers = {self.of(make_context, **changes) for changes in others} | {self.of(make_context, key="x")}
        assert len(markers) == len(others) + 1


class TestKill:
    """Killing a task leaves what it has submitted alone, and says what that is."""

    @pytest.fixture
    def said(self, caplog, capfd):
        caplog.set_level(logging.INFO)
        return lambda: caplog.text + capfd.readouterr().out

    @pytest.fixture
    def nothing_else(self, adobe, caplog, said):
        """Return a function that says whether from now on all jobs are named, and that none was removed."""

        def check(words: str) -> None:
            text = said()
            assert words in text
            assert ids(adobe)
            assert all(job_id in text for job_id in ids(adobe))
            assert not adobe.journal.select("DELETE")

        return check

    def killed(self, *args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    @every_service
    def test_in_a_worker_that_waits(self, make_context, service, monkeypatch, said, caplog, nothing_else):
        made = operator(service, wait_for_completion=True, deferrable=False)
        monkeypatch.setattr("airflow_provider_adobe_deletion.operators.base.wait", self.killed)
        with pytest.raises(KeyboardInterrupt):
            made.execute(make_context())
        said()
        caplog.clear()
        made.on_kill()
        nothing_else("at Adobe these go on")

    @every_service
    async def test_in_the_triggerer(self, task, said, caplog, nothing_else):
        trigger = restored(task.deferred(wait_for_completion=True).trigger)
        said()
        caplog.clear()
        await trigger.on_kill()
        nothing_else("nothing was cancelled")

    def test_in_a_worker_that_waits_for_the_quota(self, adobe, make_context, monkeypatch, said, caplog, nothing_else):
        adobe.settings.quota_daily = 2
        made = operator("orders", on_quota="pace", deferrable=False)
        monkeypatch.setattr("airflow_provider_adobe_deletion.operators.hygiene.time.sleep", self.killed)
        with pytest.raises(KeyboardInterrupt):
            made.execute(make_context())
        said()
        caplog.clear()
        made.on_kill()
        nothing_else("at Adobe these go on")

    @pytest.mark.parametrize("service", ["orders"])
    async def test_in_the_triggerer_that_waits_for_the_quota(self, adobe, task, said, caplog, nothing_else):
        adobe.settings.quota_daily = 2
        trigger = restored(task.deferred(on_quota="pace").trigger)
        said()
        caplog.clear()
        await trigger.on_kill()
        nothing_else("nothing was cancelled")


def restored(trigger: Any) -> Any:
    """Return a trigger that went through the database."""
    _, kwargs = trigger.serialize()
    return type(trigger)(**json.loads(json.dumps(kwargs)))
