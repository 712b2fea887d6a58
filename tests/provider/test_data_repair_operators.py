"""The Data Repair operators and sensor against the simulated Adobe."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_adobe_deletion.adobe import data_repair
from airflow_provider_adobe_deletion.adobe.data_repair_builder import Repair, contains
from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook
from airflow_provider_adobe_deletion.operators.data_repair import (
    AdobeDataRepairEstimateOperator,
    AdobeDataRepairJobOperator,
    RepairWork,
)
from airflow_provider_adobe_deletion.sensors.data_repair import AdobeDataRepairJobSensor
from airflow_provider_adobe_deletion.simulator import Fault

from .conftest import MemoryStore

pytestmark = pytest.mark.usefixtures("short_waits")

SUITE = "examplersid"
RANGE = {"report_suite_id": SUITE, "date_range_start": "2026-08-01", "date_range_end": "2026-08-10"}
DEFINITION = {"variables": {"ipaddress": {"action": "delete"}, "evar74": {"action": "set", "setValue": "Turtles"}}}
CANARY = "canary.person@example.com"


@pytest.fixture(autouse=True)
def quick(adobe):
    adobe.settings.repair_seconds = 0.2
    adobe.settings.analytics_rate_limit = False


@pytest.fixture(autouse=True)
def unpaced(monkeypatch):
    monkeypatch.setattr("airflow_provider_adobe_deletion.adobe.pacing.Pacer.reserve", lambda self: 0.0)


def repair(**kwargs: Any) -> AdobeDataRepairJobOperator:
    defaults = {"task_id": "t", "job_definition": DEFINITION, "poll_interval": 0.05, "deferrable": False}
    return AdobeDataRepairJobOperator(**{**RANGE, **defaults, **kwargs})


def posts(adobe):
    return adobe.journal.select("POST", "/job")


def repairs(adobe):
    return [job for job in adobe.jobs() if job["service"] == "data_repair"]


def recorded_tokens(adobe, monkeypatch):
    """Collect the validation tokens that estimates return: what must not leak."""
    tokens: list[str] = []
    original = data_repair.Estimate.__init__

    def spy(self, *args, **kwargs):
        original(self, *args, **kwargs)
        tokens.append(self.validation_token)

    monkeypatch.setattr(data_repair.Estimate, "__init__", spy)
    return tokens


class TestEstimate:
    def test_returns_the_cost_and_never_the_token(self, adobe, make_context, monkeypatch):
        tokens = recorded_tokens(adobe, monkeypatch)
        result = AdobeDataRepairEstimateOperator(task_id="e", **RANGE).execute(make_context())
        assert result == {**RANGE, "server_calls": 10_000}
        assert tokens
        assert tokens[0] not in json.dumps(result)

    def test_with_a_definition_it_returns_what_the_repair_compares(self, adobe, make_context):
        estimate = AdobeDataRepairEstimateOperator(task_id="e", job_definition=DEFINITION, **RANGE)
        result = estimate.execute(make_context())
        assert result["variables"] == {"ipaddress": "delete", "evar74": "set"}
        repair(approved_digest=result["digest"]).execute(make_context())
        assert len(repairs(adobe)) == 1

    def test_a_wrong_definition_is_refused_before_any_request(self, adobe, make_context):
        bad = {"variables": {"product": {"action": "delete"}}}
        with pytest.raises(AirflowFailException, match="product"):
            AdobeDataRepairEstimateOperator(task_id="e", job_definition=bad, **RANGE).execute(make_context())
        assert len(adobe.journal) == 0


class TestRepair:
    def test_repairs_and_reports_what_was_billed(self, adobe, make_context, caplog):
        context = make_context()
        job_id = repair(max_server_calls=10_000).execute(context)
        assert isinstance(job_id, str)
        (job,) = context["ti"].xcoms["jobs"]
        assert (job["id"], job["state"], job["details"]["server_calls"]) == (job_id, "succeeded", 10_000)
        assert job["target"] == RANGE
        assert [entry.body for entry in posts(adobe)] == [DEFINITION]

    def test_takes_its_estimate_right_before_the_request(self, adobe, make_context):
        repair(wait_for_completion=False).execute(make_context())
        calls = [entry for entry in adobe.journal if "/datarepair/" in entry.path]
        (post,) = (number for number, entry in enumerate(calls) if entry.method == "POST")
        estimates = [number for number, entry in enumerate(calls) if entry.path.endswith("/serverCallEstimate")]
        assert estimates == [post - 2]
        assert calls[post - 1].path.endswith("/job"), "only the look at running jobs comes in between"

    @pytest.mark.parametrize("cap", [9_999, "9999", 0])
    def test_a_larger_job_than_allowed_is_refused_for_good(self, adobe, make_context, cap):
        with pytest.raises(AirflowFailException, match="10000 server calls, more than max_server_calls allows"):
            repair(max_server_calls=cap).execute(make_context())
        assert not posts(adobe)

    def test_the_builder_and_json_text_are_accepted(self, adobe, make_context):
        built = Repair().delete("ipaddress").set("evar74", "Turtles")
        repair(job_definition=built).execute(make_context())
        repair(job_definition=json.dumps(DEFINITION), date_range_start="2026-08-02").execute(make_context())
        assert [entry.body for entry in posts(adobe)] == [DEFINITION, DEFINITION]

    def test_templates_are_rendered_in_the_definition(self, adobe, make_context):
        context = make_context() | {"value": "Turtles"}
        templated = {"variables": {"evar74": {"action": "set", "setValue": "{{ value }}"}}}
        repair(job_definition=templated, wait_for_completion=False).execute(context)
        assert posts(adobe)[0].body["variables"]["evar74"]["setValue"] == "Turtles"

    def test_what_was_not_approved_is_refused_before_any_request(self, adobe, make_context):
        with pytest.raises(AirflowFailException, match="not what was approved"):
            repair(approved_digest="0123456789abcdef").execute(make_context())
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize(
        "change",
        [
            {"report_suite_id": "other"},
            {"date_range_end": "2026-08-11"},
            {"job_definition": {"variables": {"ipaddress": {"action": "delete"}}}},
        ],
    )
    def test_an_approval_holds_for_suite_days_and_definition(self, adobe, make_context, change):
        estimate = AdobeDataRepairEstimateOperator(task_id="e", job_definition=DEFINITION, **RANGE)
        digest = estimate.execute(make_context())["digest"]
        with pytest.raises(AirflowFailException, match="not what was approved"):
            repair(approved_digest=digest, **change).execute(make_context())
        assert not posts(adobe)

    def test_all_violations_are_reported_together_without_a_request(self, adobe, make_context):
        bad = {
            "variables": {
                "mobileaction": {"action": "delete", "filter": {"condition": "isEmpty"}},
                "evar251": {"action": "delete"},
                "prop1": {"action": "set", "setValue": ""},
                "page": {"action": "delete", "filter": {"condition": "contains", "matchValue": CANARY}},
            }
        }
        with pytest.raises(AirflowFailException) as caught:
            repair(job_definition=bad).execute(make_context())
        for name in bad["variables"]:
            assert name in str(caught.value)
        assert CANARY not in str(caught.value)
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize(
        "dates",
        [
            {"date_range_start": "2026-08-11"},
            {"date_range_end": "2099-01-01"},
            {"date_range_start": "2001-01-01"},
            {"date_range_start": "01.08.2026"},
            {"date_range_start": ""},
            {"date_range_end": "2026-02-30"},
        ],
    )
    def test_dates_that_are_clearly_wrong_are_refused_without_a_request(self, adobe, make_context, dates):
        with pytest.raises(AirflowFailException, match="date_range"):
            repair(**dates).execute(make_context())
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"report_suite_id": "a/b"}, "report_suite_id"),
            ({"report_suite_id": ""}, "report_suite_id"),
            ({"max_server_calls": "many"}, "max_server_calls"),
            ({"max_server_calls": -1}, "max_server_calls"),
            ({"max_server_calls": 1.5}, "max_server_calls"),
            ({"job_definition": 5}, "job_definition"),
            ({"job_definition": "{not json"}, "definition"),
            ({"job_definition": {}}, "definition"),
        ],
    )
    def test_bad_input_is_refused_without_a_request(self, adobe, make_context, kwargs, message):
        with pytest.raises(AirflowFailException, match=message):
            repair(**kwargs).execute(make_context())
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize("kwargs", [{"if_busy": "queue"}, {"definition_checks": "none"}, {"validate_only": "yes"}])
    def test_bad_options_are_refused_when_the_dag_is_parsed(self, kwargs):
        with pytest.raises((ValueError, TypeError), match=next(iter(kwargs))):
            repair(**kwargs)


class TestValidation:
    def test_validate_only_ends_without_a_job(self, adobe, make_context):
        assert repair(validate_only=True).execute(make_context()) is None
        assert not repairs(adobe)
        assert [entry.query.get("validateOnly") for entry in posts(adobe)] == ["true"]

    def test_a_job_created_by_validation_is_reported_loudly(self, adobe, make_context):
        adobe.settings.validate_only_answer = "job"
        context = make_context()
        with pytest.raises(AirflowFailException, match="created job"):
            repair(validate_only=True).execute(context)
        assert context["ti"].xcoms["jobs"][0]["id"] == str(repairs(adobe)[0]["id"])

    def test_server_checks_validate_and_take_a_fresh_estimate(self, adobe, make_context):
        repair(definition_checks="server").execute(make_context())
        calls = [
            (entry.method, "validate" if "validateOnly" in entry.query else entry.path.rsplit("/", 1)[-1])
            for entry in adobe.journal
            if "/datarepair/" in entry.path and (entry.method == "POST" or "Estimate" in entry.path)
        ]
        assert calls == [
            ("GET", "serverCallEstimate"),
            ("POST", "validate"),
            ("GET", "serverCallEstimate"),
            ("POST", "job"),
        ]

    def test_server_checks_let_adobe_judge(self, adobe, make_context):
        bad = {"variables": {"evar251": {"action": "delete"}}}
        with pytest.raises(AirflowFailException, match="Adobe refused to validate"):
            repair(definition_checks="server", job_definition=bad).execute(make_context())
        assert not repairs(adobe)

    def test_a_job_created_by_server_checks_is_the_job(self, adobe, make_context):
        adobe.settings.validate_only_answer = "job"
        job_id = repair(definition_checks="server").execute(make_context(store=MemoryStore()))
        assert [str(job["id"]) for job in repairs(adobe)] == [job_id]


def test_the_log_says_what_a_repair_will_cost_and_its_digest(adobe, make_context, caplog):
    caplog.set_level(logging.INFO)
    repair(wait_for_completion=False, max_server_calls=5_000_000).execute(make_context())
    assert re.search(
        r"Adobe estimates \d+ server calls \(at most 5000000 allowed\), digest [0-9a-f]{16}\.", caplog.text
    )


@pytest.mark.parametrize(("company", "said"), [("exampl0", "exampl0"), (None, "to be discovered")])
def test_the_log_says_whose_data_is_repaired(adobe, make_context, monkeypatch, caplog, capsys, company, said):
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json(global_company_id=company))
    caplog.set_level(logging.INFO)
    repair(wait_for_completion=False).execute(make_context())
    # Airflow 3 prints what a task logs; Airflow 2 does not.
    lines = [
        text for text in (caplog.text + capsys.readouterr().out).splitlines() if "Submitting a Data Repair" in text
    ]
    assert lines
    assert all(f"company {said}." in line for line in lines)
    assert not [line for line in lines if "sandbox" in line], "Analytics has none"


class TestBusySuite:
    def running(self, make_context) -> str:
        return repair(date_range_start="2026-07-01", date_range_end="2026-07-02", wait_for_completion=False).execute(
            make_context(task_id="other")
        )

    def test_waits_for_the_running_job_and_then_repairs(self, adobe, make_context):
        first = self.running(make_context)
        second = repair().execute(make_context())
        assert second != first
        assert [job["status"] for job in repairs(adobe)] == ["complete", "complete"]
        assert len(posts(adobe)) == 2, "no request is made while the suite is busy"

    def test_defers_on_the_running_job(self, adobe, make_context):
        adobe.settings.repair_seconds = 60.0
        first = self.running(make_context)
        with pytest.raises(TaskDeferred) as caught:
            repair(deferrable=True).execute(make_context())
        assert caught.value.method_name == "execute_again"
        assert [ref["id"] for ref in caught.value.trigger.plan["refs"]] == [first]
        adobe.advance(120)
        event = {
            "version": 1,
            "outcome": "succeeded",
            "jobs": [{"kind": "data_repair", "id": first, "state": "succeeded"}],
            "reason": "",
        }
        with pytest.raises(TaskDeferred) as caught:
            repair(deferrable=True).execute_again(make_context(), event)
        assert caught.value.method_name == "execute_complete"

    def test_fails_if_told_to(self, adobe, make_context):
        self.running(make_context)
        with pytest.raises(AirflowException, match="is busy with job"):
            repair(if_busy="fail").execute(make_context())
        assert len(posts(adobe)) == 1

    def test_a_job_that_starts_in_between_is_waited_for_too(self, adobe, make_context, monkeypatch):
        """Two tasks at once: both see a free suite, one is refused, and waits for the other."""
        pytest.importorskip("airflow.sdk", reason="operators of Airflow 2 run in the main thread only")
        barrier = threading.Barrier(2, timeout=10)
        original = data_repair.create_job

        def create_together(*args):
            if len(posts(adobe)) == 0 and barrier.n_waiting < 2 and not barrier.broken:
                with contextlib.suppress(threading.BrokenBarrierError):
                    barrier.wait(2)
            return original(*args)

        monkeypatch.setattr(data_repair, "create_job", create_together)
        results: dict[str, str] = {}

        def run(name: str, start: str) -> None:
            results[name] = repair(date_range_start=start).execute(make_context(task_id=name))

        threads = [threading.Thread(target=run, args=(name, f"2026-08-0{name}")) for name in "12"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(set(results.values())) == 2
        assert sorted(entry.status for entry in posts(adobe)) == [201, 201, 400]

    @pytest.mark.parametrize("if_busy", ["wait", "fail"])
    def test_a_job_that_started_and_ended_in_between_is_the_reason_of_a_refusal(
        self, adobe, make_context, monkeypatch, if_busy
    ):
        """When the refusal is looked into, nothing runs any more."""
        original = RepairWork.refused

        def look_later(work, error):
            adobe.advance(60)
            yield from original(work, error)

        def create_after_another(*args):
            monkeypatch.setattr(data_repair, "create_job", original_create)
            self.running(make_context)
            return original_create(*args)

        original_create = data_repair.create_job
        monkeypatch.setattr(RepairWork, "refused", look_later)
        monkeypatch.setattr(data_repair, "create_job", create_after_another)
        adobe.settings.repair_seconds = 30.0
        task = repair(if_busy=if_busy, wait_for_completion=False)
        if if_busy == "fail":
            with pytest.raises(AirflowException, match=r"busy with job \S+ \(complete\)"):
                task.execute(make_context())
        else:
            task.execute(make_context())
        assert [entry.status for entry in posts(adobe)] == ([201, 400] if if_busy == "fail" else [201, 400, 201])


class TestSubmitsOnce:
    def test_a_lost_answer_is_adopted_by_definition_and_days(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="/job", when="after", abort=True))
        adobe.settings.list_lag = 0.2
        job_id = repair().execute(make_context(store=MemoryStore()))
        assert [str(job["id"]) for job in repairs(adobe)] == [job_id]
        assert len(posts(adobe)) == 1

    def test_a_resubmission_uses_the_same_token_which_a_consumed_token_refuses(self, adobe, make_context):
        """The list shows the job too late; the replay is refused, and the job is found and adopted."""
        adobe.faults.add(Fault(method="POST", path="/job", when="after", abort=True))
        adobe.settings.repair_seconds = 5.0
        adobe.settings.list_lag = 60.0
        store = MemoryStore()

        def reveal() -> None:
            while len(posts(adobe)) < 2:
                time.sleep(0.01)
            adobe.settings.list_lag = 0.0

        revealing = threading.Thread(target=reveal)
        revealing.start()
        job_id = repair(wait_for_completion=False).execute(make_context(store=store))
        revealing.join()
        assert [str(job["id"]) for job in repairs(adobe)] == [job_id]
        assert [entry.status for entry in posts(adobe)] == [0, 400]

    def test_a_request_that_never_arrived_is_sent_again_with_the_same_token(self, adobe, make_context, monkeypatch):
        tokens = recorded_tokens(adobe, monkeypatch)
        adobe.faults.add(Fault(method="POST", path="/job", when="before", status=504))
        repair().execute(make_context(store=MemoryStore()))
        assert len(tokens) == 1
        assert [entry.status for entry in posts(adobe)] == [504, 201]

    def test_the_token_is_stored_sealed_and_used_by_the_next_try(self, adobe, make_context, monkeypatch):
        tokens = recorded_tokens(adobe, monkeypatch)
        store = MemoryStore()

        class WorkerDied(BaseException):
            pass

        adobe.faults.add(Fault(method="POST", path="/job", when="before", status=503))
        with monkeypatch.context() as dying:
            dying.setattr(
                "airflow_provider_adobe_deletion.submission.Submission._search",
                lambda *args, **kwargs: (_ for _ in ()).throw(WorkerDied()),
            )
            with pytest.raises(WorkerDied):
                repair().execute(make_context(store=store, max_tries=1))
        stored = json.dumps(store.values)
        assert tokens[0] not in stored
        assert store.record["sealed"]
        repair(retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(tokens) == 1, "the second try took no new estimate"
        assert len(repairs(adobe)) == 1

    def test_a_refused_request_leaves_nothing_to_search_for(self, adobe, make_context):
        store = MemoryStore()
        adobe.faults.add(Fault(method="POST", path="/job", status=403, body={"error_code": "403025", "message": "no"}))
        with pytest.raises(AirflowFailException, match="403025"):
            repair().execute(make_context(store=store))
        repair().execute(make_context(store=store, try_number=2, max_tries=1))
        assert len(repairs(adobe)) == 1


class TestNothingLeaks:
    def test_the_validation_token_is_in_no_log_xcom_exception_or_record(
        self, adobe, make_context, monkeypatch, caplog, capfd
    ):
        tokens = recorded_tokens(adobe, monkeypatch)
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.DEBUG, logger="httpx")
        store, context = MemoryStore(), make_context()
        adobe.faults.add(Fault(method="POST", path="/job", status=400, times=1, body={"errorDescription": "{token}"}))
        with pytest.raises(AirflowFailException) as caught:
            repair().execute(make_context(store=store))
        repair().execute(make_context(store=store, try_number=2, max_tries=1) | {"ti": context["ti"]})
        assert len(tokens) == 2
        captured = capfd.readouterr()
        everything = "\n".join(
            [
                caplog.text,
                captured.out,
                captured.err,
                str(caught.value),
                json.dumps(context["ti"].xcoms),
                repr(store.values),
            ]
        )
        assert "HTTP Request" in caplog.text, "httpx logs the address, so there is something to hide"
        for token in tokens:
            for form in (token, token.replace("=", "%3D")):
                assert form not in everything

    def test_an_echo_of_the_token_or_a_match_value_is_redacted(self, adobe, make_context, monkeypatch):
        definition = {
            "variables": {"evar1": {"action": "delete", "filter": {"condition": "contains", "matchValue": CANARY}}}
        }
        echo = {"errorCode": "x", "errorDescription": f"cannot match {CANARY}", "errorId": "e1"}
        adobe.faults.add(Fault(method="POST", path="/job", status=400, body=echo))
        with pytest.raises(AirflowFailException) as caught:
            repair(job_definition=definition).execute(make_context())
        assert CANARY not in str(caught.value)
        assert "[redacted]" in str(caught.value)

    def test_the_definition_is_not_in_what_airflow_stores(self, airflow_db):
        from airflow.providers.common.compat.sdk import DAG

        try:
            from airflow.serialization.serialized_objects import DagSerialization as Serialized
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG as Serialized
        from datetime import datetime

        with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
            repair(job_definition=Repair().delete("evar1", where=contains(CANARY)))
            repair(task_id="u", job_definition={"variables": {"evar1": {"action": "set", "setValue": CANARY}}})
        stored = json.dumps(Serialized.to_dict(dag), default=str)
        assert "<job_definition, 1 entry, sha256 " in stored
        assert CANARY not in stored


class TestSensor:
    @pytest.mark.parametrize("kind", [str, int])
    def test_waits_for_the_job(self, adobe, make_context, kind, caplog):
        job_id = repair(wait_for_completion=False).execute(make_context())
        sensor = AdobeDataRepairJobSensor(
            task_id="s", report_suite_id=SUITE, job_id=kind(job_id), poke_interval=0.05, deferrable=False
        )
        context = make_context()
        sensor.execute(context)
        assert context["ti"].xcoms["jobs"][0]["details"]["server_calls"] == 10_000

    def test_a_failure_word_fails(self, adobe, make_context):
        adobe.settings.fail_targets = {SUITE}
        job_id = repair(wait_for_completion=False).execute(make_context())
        sensor = AdobeDataRepairJobSensor(
            task_id="s", report_suite_id=SUITE, job_id=job_id, poke_interval=0.05, deferrable=False
        )
        with pytest.raises(AirflowFailException, match="failed"):
            sensor.execute(make_context())

    def test_an_unknown_status_waits_on_with_one_warning(self, adobe, make_context, caplog):
        adobe.settings.fail_targets = {SUITE}
        adobe.settings.repair_failed_status = "paused"
        job_id = repair(wait_for_completion=False).execute(make_context())
        sensor = AdobeDataRepairJobSensor(
            task_id="s", report_suite_id=SUITE, job_id=job_id, poke_interval=0.05, timeout=0.6, deferrable=False
        )
        with pytest.raises(AirflowException):
            sensor.execute(make_context())
        warnings = [record for record in caplog.records if "does not document" in record.getMessage()]
        assert len(warnings) == 1


def test_listing_look_up_usage_and_auth_through_the_hook(adobe, make_context):
    job_id = repair().execute(make_context())
    with AdobeHook().client as client:
        assert client.send(data_repair.authorise(SUITE))
        assert [job.id for job in client.send(data_repair.list_jobs(SUITE))] == [job_id]
        assert client.send(data_repair.get_job(SUITE, job_id)).state.value == "succeeded"
        today = time.strftime("%Y-%m-%d", time.gmtime())
        assert client.send(data_repair.usage(today, today, SUITE)).server_calls == 10_000
        assert client.send(data_repair.usage(today, today)).job_count == 1


def test_the_company_is_discovered_once_and_ambiguity_lists_the_choices(adobe, make_context):
    repair().execute(make_context())
    assert len(adobe.journal.select("GET", "/discovery/me")) == 1
    adobe.settings.global_company_ids = ("exampl0", "exampl1")
    with pytest.raises(AirflowFailException, match=r"exampl0.*exampl1"):
        repair().execute(make_context())


class TestGuards:
    """What keeps a repair from costing more, or doing else, than somebody agreed to."""

    @pytest.mark.parametrize("name", ["approved_digest", "max_server_calls"])
    @pytest.mark.parametrize("nothing", [None, ""])
    def test_a_guard_that_renders_to_nothing_is_no_leave(self, adobe, make_context, name, nothing):
        made = repair(**{name: "{{ given at run time }}"})
        setattr(made, name, nothing)
        with pytest.raises(AirflowFailException, match=f"{name} is set, but there is no value"):
            made.execute(make_context())
        assert len(adobe.journal) == 0

    def test_a_failed_job_is_not_paid_for_twice(self, adobe, make_context):
        adobe.settings.fail_targets = {SUITE}
        store = MemoryStore()
        with pytest.raises(AirflowFailException, match="Clear the task to submit a new job"):
            repair(retries=2).execute(make_context(store=store, max_tries=2))
        with pytest.raises(AirflowFailException, match="Clear the task"):
            repair(retries=2).execute(make_context(store=store, max_tries=2, try_number=2))
        assert len(repairs(adobe)) == 1
        with pytest.raises(AirflowFailException):
            repair(retries=2).execute(make_context(store=store, max_tries=4, try_number=3))
        assert len(repairs(adobe)) == 2

    def test_unless_that_was_asked_for(self, adobe, make_context):
        adobe.settings.fail_targets = {SUITE}
        store = MemoryStore()
        for number in (1, 2):
            context = make_context(store=store, max_tries=2, try_number=number)
            with pytest.raises(AirflowException, match="Failed at Adobe") as caught:
                repair(retries=2, resubmit_failed=True).execute(context)
            assert not isinstance(caught.value, AirflowFailException)
        assert len(repairs(adobe)) == 2

    def test_a_lowered_cap_holds_for_the_repetition_of_a_request_too(self, adobe, make_context, monkeypatch):
        store = MemoryStore()
        adobe.faults.add(Fault(method="POST", path="/job", when="before", status=503))
        monkeypatch.setattr("airflow_provider_adobe_deletion.submission._POSTS_PER_RUN", 1)
        with pytest.raises(AirflowException, match="A retry looks again"):
            repair(max_server_calls=10_000).execute(make_context(store=store, max_tries=1))
        with pytest.raises(AirflowFailException, match="more than max_server_calls allows"):
            repair(max_server_calls=9_999, retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        assert not repairs(adobe)

    def test_all_that_is_wrong_is_reported_at_once(self, adobe, make_context):
        bad = {"variables": {"product": {"action": "delete"}}}
        with pytest.raises(AirflowFailException) as caught:
            repair(date_range_end="2099-01-01", job_definition=bad, max_server_calls="many").execute(make_context())
        for word in ("date_range_end", "product", "max_server_calls"):
            assert word in str(caught.value)

    def test_a_pasted_digest_may_have_blanks_around_it(self, adobe, make_context):
        estimate = AdobeDataRepairEstimateOperator(task_id="e", job_definition=DEFINITION, **RANGE)
        digest = estimate.execute(make_context())["digest"]
        assert repair(approved_digest=f" {digest}\n").execute(make_context())


class TestTemplates:
    def test_a_value_that_looks_like_a_file_is_a_value(self, adobe, make_context):
        definition = {"variables": {"evar1": {"action": "set", "setValue": "feed.json"}}}
        repair(job_definition=definition).execute(make_context())
        assert posts(adobe)[0].body == definition

    def test_a_template_error_does_not_quote_the_value(self, adobe, make_context):
        definition = {"variables": {"evar1": {"action": "set", "setValue": "{{ " + CANARY}}}
        with pytest.raises(AirflowFailException, match="cannot be rendered") as caught:
            repair(job_definition=definition).execute(make_context())
        assert CANARY not in str(caught.value)
        assert len(adobe.journal) == 0

    def test_a_digest_depends_on_the_values(self):
        held = {repr(repair(job_definition=Repair().set("evar1", value)).job_definition) for value in "ab"}
        assert len(held) == 2


class TestBusyAndUnclear:
    def other_job(self, status: str) -> dict[str, Any]:
        return {
            "jobId": "999",
            "status": status,
            "progress": 0,
            "jobCreateTime": "2026-01-01T00:00:00+00:00",
            "jobCompleteTime": None,
            "reportSuiteId": SUITE,
            "dateRangeStart": "2026-01-01",
            "dateRangeEnd": "2026-01-02",
            "jobDefinition": {"variables": {"evar9": {"action": "delete"}}},
        }

    def test_a_repetition_that_meets_another_job_waits_for_it(self, adobe, make_context):
        """The first request got lost, somebody else's job began meanwhile, and the suite is busy now."""
        adobe.faults.add(Fault(method="POST", path="/job", when="before", status=503))
        refusal = {"errorCode": "busy", "errorDescription": "one job at a time", "errorId": "e"}
        adobe.faults.add(Fault(method="POST", path="/job", status=400, body=refusal))
        # Looks: before the request, three after it, before its repetition, after the refusal, and for the reason.
        listed = [self.other_job("processing")]
        adobe.faults.add(Fault(method="GET", path="/job$", after=6, status=200, body=listed, times=None))
        with pytest.raises(TaskDeferred) as caught:
            repair(deferrable=True).execute(make_context(store=MemoryStore()))
        assert caught.value.method_name == "execute_again"
        assert [ref["id"] for ref in caught.value.trigger.plan["refs"]] == ["999"]

    def test_a_job_of_unknown_status_is_waited_for_once_adobe_has_refused(self, adobe, make_context):
        refusal = {"errorCode": "busy", "errorDescription": "one job at a time", "errorId": "e"}
        adobe.faults.add(Fault(method="POST", path="/job", status=400, body=refusal))
        adobe.faults.add(Fault(method="GET", path="/job", status=200, body=[self.other_job("queued")], times=3))
        adobe.faults.add(Fault(method="GET", path="/job/999", status=200, body=self.other_job("queued"), times=None))
        with pytest.raises(TaskDeferred) as caught:
            repair(deferrable=True).execute(make_context(store=MemoryStore()))
        assert [ref["id"] for ref in caught.value.trigger.plan["refs"]] == ["999"]

    def test_a_token_that_has_expired_meanwhile_is_explained(self, adobe, make_context, monkeypatch):
        # The simulator counts a token's life in whole seconds.
        monkeypatch.setenv("AIRFLOW__ADOBE_DELETION__SETTLE_TIME", "2.1")
        adobe.settings.validation_token_lifetime = 1
        adobe.faults.add(Fault(method="POST", path="/job", when="before", status=503))
        with pytest.raises(AirflowFailException, match=r"expired.*repeated an earlier request.*clear the task"):
            repair().execute(make_context(store=MemoryStore()))
