"""The Data Hygiene operators and sensors, each try of a task at a time, against the simulated Adobe."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowProviderDeprecationWarning
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    ObjectStoragePath,
    TaskDeferred,
    XComArg,
)

from airflow_provider_adobe_deletion.adobe import hygiene
from airflow_provider_adobe_deletion.adobe.hygiene import next_daily_reset, next_monthly_reset
from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook
from airflow_provider_adobe_deletion.operators import hygiene as operators
from airflow_provider_adobe_deletion.operators.hygiene import (
    AdobeDatasetExpirationCancelOperator,
    AdobeDatasetExpirationOperator,
    AdobeHygieneDeleteJobOperator,
    AdobeHygieneWorkOrderOperator,
)
from airflow_provider_adobe_deletion.sensors.hygiene import (
    AdobeDatasetExpirationSensor,
    AdobeHygieneQuotaSensor,
    AdobeHygieneWorkOrderSensor,
)
from airflow_provider_adobe_deletion.simulator import AdobeSimulator, Fault
from airflow_provider_adobe_deletion.task_state import identity
from airflow_provider_adobe_deletion.triggers.moment import AdobeMomentTrigger
from airflow_provider_adobe_deletion.triggers.quota import AdobeQuotaTrigger

from .conftest import DATASET, MemoryStore

pytestmark = pytest.mark.usefixtures("short_waits")

OTHER_DATASET = "66a92c5910df2d1767de13f3"
CANARY = "canary.person@example.com"
NOT_ALL_OF_IT = {"results": [], "total": 5}
"""A list of work orders that was not seen whole."""
NOON = datetime(2031, 3, 15, 12, tzinfo=UTC)


class WorkerDied(BaseException):
    """What a task cannot catch."""


@pytest.fixture(autouse=True)
def quick(adobe):
    adobe.settings.workorder_seconds = (0.05, 0.1, 0.15, 0.2)
    adobe.settings.small_order_limit = None
    adobe.settings.ttl_seconds = 0.2


@pytest.fixture
def ten_a_chunk(monkeypatch):
    """Make orders of ten identities, so that many orders need few."""
    from airflow_provider_adobe_deletion.adobe import identities

    original = identities.IdentitySource.__init__

    def init(self, *, on_bad_row="fail", chunk_size=10):
        original(self, on_bad_row=on_bad_row, chunk_size=10)

    monkeypatch.setattr(identities.IdentitySource, "__init__", init)


@pytest.fixture
def noon(adobe, monkeypatch):
    """Put Adobe's clock and the operator's to noon of a day in the middle of a month; return how to move them."""
    adobe.advance((NOON - datetime.now(UTC)).total_seconds())
    state = {"now": NOON}
    monkeypatch.setattr(operators, "utc_now", lambda: state["now"])

    def move(to: datetime) -> None:
        adobe.advance((to - state["now"]).total_seconds())
        state["now"] = to

    return move


def clean_up(**kwargs: Any) -> AdobeHygieneWorkOrderOperator:
    defaults: dict[str, Any] = {"task_id": "t", "dataset_id": DATASET, "poll_interval": 0.05, "deferrable": False}
    if "identities_path" not in kwargs:
        defaults["identities"] = {"Email": emails(3)}
    return AdobeHygieneWorkOrderOperator(**{**defaults, **kwargs})


def emails(count: int, start: int = 0) -> list[str]:
    return [f"person{number}@example.com" for number in range(start, start + count)]


def csv_file(tmp_path, rows, header="namespace,id", name="list.csv") -> str:
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def posts(adobe: AdobeSimulator) -> list[Any]:
    return adobe.journal.select("POST", "/workorder")


def orders(adobe: AdobeSimulator) -> list[dict[str, Any]]:
    return [job for job in adobe.jobs() if job["service"] == "workorder"]


def sizes(adobe: AdobeSimulator) -> list[int]:
    return [order["target"]["identities"] for order in orders(adobe)]


def deferred(run: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        run()
    return caught.value


@pytest.fixture
def logged(caplog, capfd):
    """Return a function that returns what was logged so far, by operators and by the rest."""
    caplog.set_level(logging.INFO)
    return lambda: caplog.text + capfd.readouterr().out


def fired(trigger: Any) -> Any:
    async def first() -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    return asyncio.run(first())


class TestIdentities:
    def test_a_mapping_becomes_one_order_that_is_waited_for(self, adobe, make_context):
        context = make_context()
        ids = clean_up(display_name="Clean-up", description="Requested by\nLegal").execute(context)
        (order,) = orders(adobe)
        assert ids == [order["id"]]
        assert order["target"]["identities"] == 3
        assert order["target"]["displayName"].startswith("Clean-up [adp-")
        (job,) = context["ti"].xcoms["jobs"]
        assert (job["state"], job["details"]["operation_count"]) == ("succeeded", 3)

    @pytest.mark.parametrize("packed", [False, True])
    def test_a_csv_with_a_namespace_column(self, adobe, make_context, tmp_path, packed):
        text = "\ufeffid,namespace,name\n" + "".join(f"{value},Email,x\n" for value in emails(4)) + "4711,ECID,y\n"
        path = tmp_path / ("list.csv.gz" if packed else "list.csv")
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        clean_up(dataset_id=[DATASET, OTHER_DATASET], identities_path=str(path)).execute(make_context())
        (order,) = orders(adobe)
        assert order["target"]["namespaces"] == ["ECID", "Email"]
        assert order["target"]["identities"] == 5
        assert order["target"]["datasetId"] == f"{DATASET},{OTHER_DATASET}"

    def test_json_lines_with_one_namespace(self, adobe, make_context, tmp_path):
        path = tmp_path / "list.jsonl"
        path.write_text("".join(json.dumps({"mail": value}) + "\n" for value in emails(4)))
        clean_up(identities_path=f"file://{path}", namespace="Email", id_column="mail").execute(make_context())
        assert sizes(adobe) == [4]

    def test_a_file_format_where_the_suffix_says_nothing(self, adobe, make_context, tmp_path):
        path = csv_file(tmp_path, [f"Email,{value}" for value in emails(2)], name="list.txt")
        clean_up(identities_path=path, file_format="csv").execute(make_context())
        assert sizes(adobe) == [2]

    @pytest.mark.parametrize(("count", "expected"), [(100_001, [100_000, 1]), (250_000, [100_000, 100_000, 50_000])])
    def test_many_identities_become_few_orders(self, adobe, make_context, tmp_path, count, expected):
        path = csv_file(tmp_path, (f"Email,{value}" for value in emails(count)))
        ids = clean_up(identities_path=path, wait_for_completion=False).execute(make_context())
        assert sizes(adobe) == expected
        assert ids == [order["id"] for order in orders(adobe)]

    def test_both_or_neither_source_is_refused(self, adobe, make_context):
        for wrong in ({"identities_path": "x.csv", "identities": {"Email": ["a"]}}, {"identities": None}):
            with pytest.raises(AirflowFailException, match="identities or identities_path"):
                clean_up(**wrong).execute(make_context())
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "empty"),
            (b"namespace,id\n", "no identities"),
            (b"name,value\nEmail,a@example.com\n", "no column named 'id'"),
            ("namespace,id\nEmail,jos\u00e9@example.com\n".encode("latin-1"), "line 2: .*not UTF-8"),
            ("namespace,id\nEmail,a\n".encode("utf-16"), "UTF-16"),
            (b"namespace,id\nEmail,good@example.com\nEmail, spaced@example.com\n", "line 3"),
        ],
    )
    def test_a_bad_file_is_refused_before_any_request(self, adobe, make_context, tmp_path, content, message):
        path = tmp_path / "list.csv"
        path.write_bytes(content)
        with pytest.raises(AirflowFailException, match=message) as caught:
            clean_up(identities_path=str(path)).execute(make_context())
        assert "example.com" not in str(caught.value)
        assert len(adobe.journal) == 0

    def test_a_bad_row_at_the_end_is_found_before_the_first_order(self, adobe, make_context, tmp_path):
        path = csv_file(tmp_path, [*(f"Email,{value}" for value in emails(100_001)), "Email,"])
        with pytest.raises(AirflowFailException, match="line 100003"):
            clean_up(identities_path=path).execute(make_context())
        assert len(adobe.journal) == 0

    def test_bad_rows_are_skipped_and_reported_by_line(self, adobe, make_context, tmp_path, logged):
        rows = ["Email,a@example.com", "", "Email,a@example.com", f"Email, {CANARY}", "Email,b@example.com"]
        clean_up(identities_path=csv_file(tmp_path, rows), on_bad_row="skip").execute(make_context())
        assert sizes(adobe) == [2]
        text = logged()
        assert "1 blank (line 3); 1 duplicate (line 4); 1 malformed (line 5)" in text
        assert CANARY not in text

    def test_a_missing_file_may_come_with_a_retry(self, adobe, make_context, tmp_path):
        with pytest.raises(AirflowException, match="identities_path cannot be opened") as caught:
            clean_up(identities_path=str(tmp_path / "none.csv")).execute(make_context())
        assert not isinstance(caught.value, AirflowFailException)

    def test_values_are_rendered_when_the_task_runs(self, adobe, make_context):
        context = make_context() | {"who": "a@example.com"}
        clean_up(identities={"Email": ["{{ who }}"]}, wait_for_completion=False).execute(context)
        expected = orders(adobe)[0]["target"]["sha256"]
        clean_up(task_id="u", identities={"Email": ["a@example.com"]}, wait_for_completion=False).execute(
            make_context()
        )
        assert orders(adobe)[1]["target"]["sha256"] == expected

    def test_an_upstream_task_s_output_makes_a_dependency(self):
        from airflow.providers.common.compat.sdk import DAG, BaseOperator

        with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)):
            before = BaseOperator(task_id="before")
            task = clean_up(identities=XComArg(before))
        assert task.upstream_task_ids == {"before"}


class TestTargets:
    def test_all_needs_to_be_allowed(self, adobe, make_context):
        with pytest.raises(AirflowFailException, match="allow_all_datasets"):
            clean_up(dataset_id="ALL").execute(make_context())
        assert len(adobe.journal) == 0
        identities = {"Email": emails(1), "ECID": ["1"]}
        clean_up(dataset_id="ALL", allow_all_datasets=True, identities=identities).execute(make_context())
        assert orders(adobe)[0]["target"]["datasetId"] == "ALL"

    def test_profile_only_needs_all(self, adobe, make_context):
        services = ["profile", "ajo", "identity"]
        with pytest.raises(AirflowFailException, match="only with dataset_id='ALL'"):
            clean_up(target_services=services).execute(make_context())
        clean_up(dataset_id="ALL", allow_all_datasets=True, target_services=services).execute(make_context())
        assert orders(adobe)[0]["target"]["targetServices"] == ["identity", "profile", "ajo"]

    def test_a_single_dataset_takes_one_namespace(self, adobe, make_context):
        with pytest.raises(AirflowFailException, match="2 namespaces"):
            clean_up(identities={"Email": emails(1), "ECID": ["1"]}).execute(make_context())
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize(
        ("payload_format", "generation"),
        [("identities", 1), ("identities", 2), ("identities", 3), ("namespaces-IDs", 2), ("namespaces-ids", 3)],
    )
    def test_payload_formats_of_the_generations(self, adobe, make_context, payload_format, generation):
        adobe.settings.hygiene_generation = generation
        clean_up(payload_format=payload_format).execute(make_context())
        assert sizes(adobe) == [3]

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"dataset_id": "a/b"}, "dataset_id"),
            ({"dataset_id": ""}, "dataset_id"),
            ({"dataset_id": []}, "dataset_id"),
            ({"dataset_id": ["ALL", "x"], "allow_all_datasets": True}, "ALL"),
            ({"dataset_id": 5}, "dataset_id"),
            ({"display_name": "x" * 256}, "display_name"),
            ({"display_name": " "}, "display_name"),
            ({"description": "x" * 1001}, "description"),
            ({"target_services": ["profile"]}, "target_services"),
            ({"target_services": "datalake"}, "target_services"),
            ({"identities": {}}, "no identities"),
            ({"identities": {"Email": "a@example.com"}}, "must be a list"),
            ({"identities": ["a@example.com"]}, "mapping"),
            ({"identities": {"Email": [5]}}, "is not text"),
            ({"identities_path": ""}, "identities_path"),
            ({"identities_path": 5}, "identities_path"),
            ({"submission_key": ""}, "submission_key"),
        ],
    )
    def test_bad_input_is_refused_without_a_request(self, adobe, make_context, kwargs, message):
        with pytest.raises(AirflowFailException, match=message):
            clean_up(**kwargs).execute(make_context())
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"payload_format": "xml"},
            {"on_bad_row": "ignore"},
            {"on_quota": "wait"},
            {"allow_all_datasets": "yes"},
            {"completion_timeout": 0},
        ],
    )
    def test_bad_options_are_refused_when_the_dag_is_parsed(self, kwargs):
        with pytest.raises((ValueError, TypeError), match=next(iter(kwargs))):
            clean_up(**kwargs)


@pytest.mark.usefixtures("ten_a_chunk")
class TestSubmitsOnce:
    def test_a_crash_after_order_k_resumes_at_k_plus_1(self, adobe, make_context, monkeypatch):
        store = MemoryStore()
        original = MemoryStore.set

        def dies(self, key, value, *, retention=None):
            if key.endswith(".8"):
                raise WorkerDied
            original(self, key, value, retention=retention)

        with monkeypatch.context() as dying:
            dying.setattr(MemoryStore, "set", dies)
            with pytest.raises(WorkerDied):
                clean_up(identities={"Email": emails(95)}).execute(make_context(store=store, max_tries=1))
        assert len(posts(adobe)) == 7
        again = clean_up(identities={"Email": emails(95)}, retries=1)
        ids = again.execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(posts(adobe)) == 10
        assert ids == [order["id"] for order in orders(adobe)]

    def test_a_crash_between_answer_and_record_is_adopted_by_marker(self, adobe, make_context, monkeypatch):
        store, count = MemoryStore(), {"posted": 0}
        original = MemoryStore.set

        def dies(self, key, value, *, retention=None):
            if key.endswith(".2") and len(posts(adobe)) == 2:
                raise WorkerDied
            original(self, key, value, retention=retention)

        with monkeypatch.context() as dying:
            dying.setattr(MemoryStore, "set", dies)
            with pytest.raises(WorkerDied):
                clean_up(identities={"Email": emails(30)}).execute(make_context(store=store, max_tries=1))
        assert count["posted"] == 0
        assert len(posts(adobe)) == 2
        clean_up(identities={"Email": emails(30)}, retries=1).execute(
            make_context(store=store, max_tries=1, try_number=2)
        )
        assert len(posts(adobe)) == 3

    @pytest.mark.parametrize("lag", [0.0, 0.2])
    def test_a_lost_answer_is_adopted_by_marker(self, adobe, make_context, lag):
        adobe.faults.add(Fault(method="POST", path="/workorder", when="after", abort=True, after=1))
        adobe.settings.list_lag = lag
        clean_up(identities={"Email": emails(30)}).execute(make_context(store=MemoryStore()))
        assert sizes(adobe) == [10, 10, 10]
        assert len(posts(adobe)) == 3

    def test_a_request_that_never_arrived_is_sent_again(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="/workorder", when="before", abort=True))
        clean_up(identities={"Email": emails(20)}).execute(make_context(store=MemoryStore()))
        assert sizes(adobe) == [10, 10]

    @pytest.mark.parametrize(("incomplete", "posted"), [(9, 2), (None, 1)])
    def test_a_list_that_is_not_seen_whole_is_read_again_before_a_person_is_asked(
        self, adobe, make_context, incomplete, posted
    ):
        adobe.faults.add(Fault(method="POST", path="/workorder", when="before", abort=True))
        adobe.faults.add(
            Fault(path="/workorder$", method="GET", after=1, times=incomplete, status=200, body=NOT_ALL_OF_IT)
        )
        outcome = pytest.raises(AirflowFailException, match="unknown") if incomplete is None else nullcontext()
        with outcome:
            clean_up(identities={"Email": emails(5)}).execute(make_context(store=MemoryStore()))
        assert len(posts(adobe)) == posted

    def test_the_first_generation_cannot_be_searched_so_a_person_decides(self, adobe, make_context):
        adobe.settings.hygiene_generation = 1
        adobe.faults.add(Fault(method="POST", path="/workorder", when="after", abort=True))
        with pytest.raises(AirflowFailException, match="unknown whether Adobe has work order 1 of 1"):
            clean_up(identities={"Email": emails(5)}).execute(make_context(store=MemoryStore()))
        assert len(posts(adobe)) == 1

    def test_one_failed_order_fails_the_task_and_alone_is_submitted_anew(self, adobe, make_context):
        store, context = MemoryStore(), make_context(max_tries=1)
        adobe.settings.fail_targets = {f"first [adp-{identity(context, None, 1).marker}-4]"}
        task = {"identities": {"Email": emails(100)}, "retries": 1}
        with pytest.raises(AirflowException, match=r"Failed at Adobe: .*\(failed\)") as caught:
            clean_up(**task, display_name="first").execute(make_context(store=store, max_tries=1))
        assert not isinstance(caught.value, AirflowFailException)
        created = [order["id"] for order in orders(adobe)]
        assert f"{created[3]} (failed)" in str(caught.value)
        ids = clean_up(**task, display_name="second").execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(posts(adobe)) == 11
        assert ids == [*created[:3], orders(adobe)[-1]["id"], *created[4:]]

    def test_ten_orders_are_waited_for_through_the_list(self, adobe, make_context):
        clean_up(identities={"Email": emails(100)}).execute(make_context())
        alone = [entry.path for entry in adobe.journal.select("GET", "/workorder/")]
        assert len(alone) == len(set(alone)) == 10, "each once, when the list shows that it has ended"

    def test_identities_that_changed_between_tries_are_refused(self, adobe, make_context, tmp_path):
        store = MemoryStore()
        path = csv_file(tmp_path, [f"Email,{value}" for value in emails(15)])
        clean_up(identities_path=path, wait_for_completion=False).execute(make_context(store=store, max_tries=1))
        csv_file(tmp_path, [f"Email,{value}" for value in emails(16)])
        with pytest.raises(AirflowFailException, match="already submitted.*identities was sha256"):
            clean_up(identities_path=path, retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(posts(adobe)) == 2

    def test_a_file_that_changes_while_it_is_submitted_is_noticed(self, adobe, make_context, tmp_path, monkeypatch):
        path = csv_file(tmp_path, [f"Email,{value}" for value in emails(15)])
        original = AdobeHygieneWorkOrderOperator._checked_quota

        def changing(self, *args):
            csv_file(tmp_path, [f"Email,{value}" for value in emails(15, start=7)])
            return original(self, *args)

        monkeypatch.setattr(AdobeHygieneWorkOrderOperator, "_checked_quota", changing)
        with pytest.raises(AirflowFailException, match="changed while it was being read"):
            clean_up(identities_path=path).execute(make_context(store=MemoryStore()))
        assert not posts(adobe)

    def test_without_a_state_store_a_retry_finds_its_orders_by_marker(self, adobe, make_context, monkeypatch):
        adobe.faults.add(Fault(method="POST", path="/workorder", status=403, after=2, body={"message": "no"}))
        with pytest.raises(AirflowFailException):
            clean_up(identities={"Email": emails(95)}).execute(make_context(max_tries=1))
        assert len(orders(adobe)) == 2
        clean_up(identities={"Email": emails(95)}, retries=1, display_name="renamed in between").execute(
            make_context(max_tries=1, try_number=2)
        )
        assert sizes(adobe) == [10] * 9 + [5]
        names = [order["target"]["displayName"] for order in orders(adobe)]
        assert len({name.rpartition("[")[2] for name in names}) == 10

    def test_a_cleared_task_adopts_or_submits_anew(self, adobe, make_context):
        store = MemoryStore()
        first = clean_up(identities={"Email": emails(20)}).execute(make_context(store=store))
        cleared = {"store": store, "try_number": 2, "max_tries": 1}
        assert clean_up(identities={"Email": emails(20)}).execute(make_context(**cleared)) == first
        cleared = {"store": store, "try_number": 3, "max_tries": 2}
        anew = clean_up(identities={"Email": emails(20)}, on_clear="resubmit").execute(make_context(**cleared))
        assert len(orders(adobe)) == 4
        assert not set(anew) & set(first)

    def test_cleared_without_a_store_new_orders_wait_for_all_earlier_ones(self, adobe, make_context):
        adobe.settings.workorder_seconds = (0.1, 0.2, 0.3, 600.0)
        task = {"identities": {"Email": emails(20)}, "on_clear": "resubmit", "wait_for_completion": False}
        clean_up(**task).execute(make_context())
        pause = deferred(lambda: clean_up(**task, deferrable=True).execute(make_context(try_number=2, max_tries=1)))
        assert pause.method_name == "execute_again"
        assert len(posts(adobe)) == 2
        adobe.advance(1000)
        clean_up(**task).execute(make_context(try_number=2, max_tries=1))
        assert len(posts(adobe)) == 4

    def test_a_store_that_a_clear_emptied_is_no_reason_to_submit_again(self, adobe, make_context, monkeypatch):
        task = {"identities": {"Email": emails(45)}, "wait_for_completion": False}
        adobe.faults.add(Fault(method="POST", path="/workorder", status=403, after=4))
        with pytest.raises(AirflowFailException):
            clean_up(**task).execute(make_context(store=MemoryStore()))
        emptied, original = MemoryStore(), MemoryStore.set

        def dies(self, key, value, *, retention=None):
            original(self, key, value, retention=retention)
            raise WorkerDied

        with monkeypatch.context() as dying:
            dying.setattr(MemoryStore, "set", dies)
            with pytest.raises(WorkerDied):
                clean_up(**task, retries=1).execute(make_context(store=emptied, try_number=2, max_tries=2))
        ids = clean_up(**task, retries=1).execute(make_context(store=emptied, try_number=3, max_tries=2))
        assert sizes(adobe) == [10, 10, 10, 10, 5]
        assert ids == [order["id"] for order in orders(adobe)]

    def test_small_orders_wait_as_adobe_asks(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="/workorder", status=429, headers={"Retry-After": "1"}))
        clean_up(identities={"Email": emails(5)}, wait_for_completion=False).execute(make_context())
        first, second = posts(adobe)
        assert (first.status, second.status) == (429, 200)
        assert second.time - first.time >= 1.0


@pytest.mark.usefixtures("ten_a_chunk")
class TestQuota:
    def test_the_plan_is_logged(self, adobe, make_context, logged):
        clean_up(identities={"Email": emails(25)}, wait_for_completion=False).execute(make_context())
        text = logged()
        assert f"Plan: 3 work orders for dataset {DATASET}, organisation" in text
        assert "sandbox dev; 25 identities (Email: 25)" in text
        assert "left today: 1,000,000 of 1,000,000; left this month: 2,000,000 of 2,000,000" in text

    @pytest.mark.parametrize("settings", [{"quota_daily": 24}, {"quota_monthly": 24}])
    def test_fail_submits_nothing_and_names_the_numbers(self, adobe, make_context, settings):
        adobe.settings.update(settings)
        with pytest.raises(
            AirflowFailException, match="3 work orders are still to be submitted, and 25 identities.*24"
        ):
            clean_up(identities={"Email": emails(25)}).execute(make_context())
        assert not posts(adobe)

    def test_fail_counts_only_what_is_not_submitted_yet(self, adobe, make_context):
        adobe.settings.quota_daily = 25
        store = MemoryStore()
        clean_up(identities={"Email": emails(25)}, wait_for_completion=False).execute(
            make_context(store=store, max_tries=1)
        )
        clean_up(identities={"Email": emails(25)}, retries=1).execute(
            make_context(store=store, max_tries=1, try_number=2)
        )
        assert len(posts(adobe)) == 3

    def test_warn_goes_on(self, adobe, make_context, logged):
        adobe.settings.quota_daily = 24
        adobe.settings.enforce_quota = False
        clean_up(identities={"Email": emails(25)}, on_quota="warn", wait_for_completion=False).execute(make_context())
        assert sizes(adobe) == [10, 10, 5]
        assert "submitting all the same" in logged()

    @pytest.mark.parametrize("body", [{"quotas": []}, {"quotas": [{"name": "dailyConsumerDeleteIdentitiesQuota"}]}])
    @pytest.mark.parametrize("mode", ["fail", "pace"])
    def test_an_unknown_quota_limits_nothing(self, adobe, make_context, logged, body, mode):
        adobe.faults.add(Fault(path="/quota", status=200, body=body))
        clean_up(identities={"Email": emails(25)}, on_quota=mode, wait_for_completion=False).execute(make_context())
        assert sizes(adobe) == [10, 10, 5]
        assert "left today: unknown" in logged()

    @pytest.mark.parametrize("stored", [True, False])
    def test_pace_submits_what_fits_and_goes_on_after_midnight(self, adobe, make_context, noon, stored):
        adobe.settings.quota_daily = 25
        context = make_context(store=MemoryStore() if stored else None)
        task = {"identities": {"Email": emails(55)}, "on_quota": "pace", "deferrable": True}
        pause = deferred(lambda: clean_up(**task).execute(context))
        assert sizes(adobe) == [10, 10]
        assert pause.method_name == "execute_renewed"
        assert isinstance(pause.trigger, AdobeMomentTrigger)
        moment = datetime.fromisoformat(pause.trigger.moment)
        assert next_daily_reset(NOON) < moment < next_daily_reset(NOON) + timedelta(minutes=1)
        event = pause.trigger.payload
        assert [order for order, _ in event["workorders"].values()] == [order["id"] for order in orders(adobe)]

        noon(moment)
        pause = deferred(lambda: clean_up(**task).execute_renewed(context, json.loads(json.dumps(event))))
        assert sizes(adobe) == [10, 10, 10, 10]
        noon(datetime.fromisoformat(pause.trigger.moment))
        pause = deferred(lambda: clean_up(**task).execute_renewed(context, pause.trigger.payload))
        assert pause.method_name == "execute_complete"
        assert sizes(adobe) == [10, 10, 10, 10, 10, 5]
        assert [ref["id"] for ref in pause.trigger.plan["refs"]] == [order["id"] for order in orders(adobe)]

    def test_without_a_store_a_retry_goes_on_pacing(self, adobe, make_context, noon):
        adobe.settings.quota_daily = 25
        task = {"identities": {"Email": emails(55)}, "on_quota": "pace", "deferrable": True, "retries": 1}
        deferred(lambda: clean_up(**task).execute(make_context(max_tries=1)))
        again = {"max_tries": 1, "try_number": 2}
        pause = deferred(lambda: clean_up(**task).execute(make_context(**again)))
        assert sizes(adobe) == [10, 10]
        noon(datetime.fromisoformat(pause.trigger.moment))
        before = len(adobe.journal)
        pause = deferred(lambda: clean_up(**task).execute_renewed(make_context(**again), pause.trigger.payload))
        assert sizes(adobe) == [10, 10, 10, 10]
        assert len(adobe.journal) - before < 20, "what is known to be absent is not searched for"

    def test_pace_waits_for_the_month_where_that_is_the_limit(self, adobe, make_context, noon):
        adobe.settings.quota_monthly = 10
        task = clean_up(identities={"Email": emails(20)}, on_quota="pace", deferrable=True)
        moment = datetime.fromisoformat(deferred(lambda: task.execute(make_context())).trigger.moment)
        assert next_monthly_reset(NOON) < moment < next_monthly_reset(NOON) + timedelta(minutes=1)

    def test_pace_sleeps_in_the_worker_where_it_must(self, adobe, make_context, noon, monkeypatch):
        adobe.settings.quota_daily = 10
        slept = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            noon(operators.utc_now() + timedelta(seconds=seconds))

        monkeypatch.setattr(operators.time, "sleep", sleep)
        clean_up(identities={"Email": emails(20)}, on_quota="pace", wait_for_completion=False).execute(make_context())
        assert sizes(adobe) == [10, 10]
        assert max(slept) <= 60
        assert sum(slept) == pytest.approx(12 * 3600 + 30, abs=5)

    def test_pace_survives_a_worker_that_dies_after_the_reset(self, adobe, make_context, noon, monkeypatch):
        adobe.settings.quota_daily = 10
        store = MemoryStore()
        task = {"identities": {"Email": emails(30)}, "on_quota": "pace", "deferrable": True}
        pause = deferred(lambda: clean_up(**task).execute(make_context(store=store, max_tries=1)))
        noon(datetime.fromisoformat(pause.trigger.moment))
        original = MemoryStore.set

        def dies(self, key, value, *, retention=None):
            original(self, key, value, retention=retention)
            if key.endswith(".2") and len(posts(adobe)) == 2:
                raise WorkerDied

        with monkeypatch.context() as dying:
            dying.setattr(MemoryStore, "set", dies)
            with pytest.raises(WorkerDied):
                clean_up(**task).execute_renewed(make_context(store=store, max_tries=1), pause.trigger.payload)
        assert len(posts(adobe)) == 2
        pause = deferred(
            lambda: clean_up(**task, retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        )
        assert len(posts(adobe)) == 2
        assert len(pause.trigger.payload["workorders"]) == 2

    def test_pace_waits_where_others_used_the_quota_up(self, adobe, make_context, noon):
        """Adobe says that it fits, refuses without a code, and then says that it does not."""
        adobe.settings.quota_daily = 25
        plenty = {"quotas": [{"name": "dailyConsumerDeleteIdentitiesQuota", "consumed": 0, "quota": 1000}]}
        adobe.faults.add(Fault(path="/quota", status=200, body=plenty))
        task = clean_up(identities={"Email": emails(30)}, on_quota="pace", deferrable=True)
        pause = deferred(lambda: task.execute(make_context(store=MemoryStore())))
        assert pause.method_name == "execute_renewed"
        assert sizes(adobe) == [10, 10]

    def test_a_refusal_for_another_reason_is_raised(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="/workorder", status=400, body={"message": "no such dataset"}))
        with pytest.raises(AirflowFailException, match="no such dataset"):
            clean_up(on_quota="pace").execute(make_context())

    def test_an_order_that_no_day_has_room_for_fails_clearly(self, adobe, make_context):
        adobe.settings.quota_daily = 9
        with pytest.raises(AirflowFailException, match="larger than all of a day's"):
            clean_up(identities={"Email": emails(30)}, on_quota="pace", deferrable=True).execute(make_context())
        assert not posts(adobe)

    @pytest.mark.parametrize("stored", [True, False])
    def test_identities_that_change_during_the_pause_are_refused(self, adobe, make_context, noon, tmp_path, stored):
        adobe.settings.quota_daily = 10
        path = csv_file(tmp_path, [f"Email,{value}" for value in emails(20)])
        task = {"identities_path": path, "on_quota": "pace", "deferrable": True}
        context = make_context(store=MemoryStore() if stored else None)
        pause = deferred(lambda: clean_up(**task).execute(context))
        csv_file(tmp_path, [f"Email,{value}" for value in emails(20, start=3)])
        noon(datetime.fromisoformat(pause.trigger.moment))
        with pytest.raises(AirflowFailException, match="have changed while the task waited"):
            clean_up(**task).execute_renewed(context, pause.trigger.payload)
        assert len(posts(adobe)) == 1

    def test_an_event_that_is_not_understood_submits_nothing(self, adobe, make_context):
        with pytest.raises(AirflowException, match="not one that this version"):
            clean_up(on_quota="pace").execute_renewed(make_context(), {"version": 99})
        assert len(adobe.journal) == 0

    def test_the_trigger_fires_at_its_moment(self):
        moment = datetime.now(UTC) + timedelta(seconds=0.3)
        path, kwargs = AdobeMomentTrigger(moment.isoformat(), {"version": 1}).serialize()
        assert path.endswith("triggers.moment.AdobeMomentTrigger")
        assert fired(AdobeMomentTrigger(**kwargs)) == {"version": 1}
        assert datetime.now(UTC) >= moment


class TestNothingLeaks:
    def test_no_identity_is_in_any_log_xcom_record_or_exception(self, adobe, make_context, caplog, capfd, tmp_path):
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.DEBUG, logger="httpx")
        path = csv_file(tmp_path, [f"Email,{CANARY}", f"Email,{CANARY}", f"Email, {CANARY}"])
        echo = {"title": f"cannot delete {CANARY}", "detail": f"cannot delete {CANARY}"}
        adobe.faults.add(Fault(method="POST", path="/workorder", status=400, body=echo))
        store, context, told = MemoryStore(), make_context(), []
        for kwargs in ({"identities": {"Email": [CANARY]}}, {"identities_path": path, "on_bad_row": "skip"}):
            try:
                clean_up(**kwargs).execute(make_context(store=store) | {"ti": context["ti"]})
            except AirflowException as error:
                told.append(str(error))
        with pytest.raises(AirflowFailException) as caught:
            clean_up(identities_path=path).execute(make_context())
        captured = capfd.readouterr()
        assert "[redacted]" in told[0]
        everything = [caplog.text, captured.out, captured.err, *told, str(caught.value), repr(store.values)]
        assert len(orders(adobe)) == 1
        assert CANARY not in "\n".join([*everything, json.dumps(context["ti"].xcoms)])

    def test_no_identity_is_in_what_airflow_stores(self, airflow_db):
        from airflow.providers.common.compat.sdk import DAG

        try:
            from airflow.serialization.serialized_objects import DagSerialization as Serialized
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG as Serialized

        with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
            clean_up(identities={"Email": [CANARY, "another"], "ECID": ["1"]})
            with pytest.warns(AirflowProviderDeprecationWarning):
                alpha(task_id="u", users=[user(CANARY)])
        stored = json.dumps(Serialized.to_dict(dag), default=str)
        assert re.search("<identities, 3 entries, sha256 [0-9a-f]{12}>", stored)
        assert re.search("<users, 1 entry, sha256 [0-9a-f]{12}>", stored)
        assert CANARY not in stored

    def test_deferrals_hold_ids_counts_digests_and_times_only(self, adobe, make_context, noon, ten_a_chunk):
        adobe.settings.quota_daily = 10
        people = {"Email": [CANARY, *emails(19)]}
        task = clean_up(identities=people, on_quota="pace", deferrable=True)
        pause = deferred(lambda: task.execute(make_context(store=MemoryStore())))
        assert set(pause.trigger.payload) == {"version", "stamp", "workorders"}
        assert CANARY not in json.dumps(pause.trigger.serialize()[1])


class TestWorkOrderSensor:
    def submitted(self, make_context, count=2) -> list[str]:
        return [
            clean_up(task_id=f"t{number}", wait_for_completion=False).execute(make_context(task_id=f"t{number}"))[0]
            for number in range(count)
        ]

    def sensor(self, workorder_id, **kwargs):
        defaults = {"task_id": "s", "poke_interval": 0.05, "deferrable": False}
        return AdobeHygieneWorkOrderSensor(workorder_id=workorder_id, **{**defaults, **kwargs})

    @pytest.mark.parametrize("generation", [1, 2, 3])
    def test_waits_for_one_and_for_many(self, adobe, make_context, generation):
        adobe.settings.hygiene_generation = generation
        ids = self.submitted(make_context)
        self.sensor(ids[0]).execute(make_context())
        context = make_context()
        self.sensor(ids).execute(context)
        assert [job["state"] for job in context["ti"].xcoms["jobs"]] == ["succeeded"] * 2

    def test_a_failed_one_fails_it(self, adobe, make_context):
        adobe.settings.fail_targets = {DATASET}
        with pytest.raises(AirflowFailException, match="failed"):
            self.sensor(self.submitted(make_context)).execute(make_context())

    def test_defers_and_logs_products(self, adobe, make_context, caplog):
        caplog.set_level(logging.INFO)
        adobe.settings.workorder_seconds = (0.0, 0.0, 0.3, 0.6)
        (order,) = self.submitted(make_context, 1)
        pause = deferred(lambda: self.sensor(order, deferrable=True).execute(make_context()))
        caplog.clear()
        event = fired(pause.trigger)
        self.sensor(order).execute_complete(make_context(), event)
        assert "by product: Profile Service: waiting" in caplog.text
        assert "Profile Service: success" in caplog.text
        assert caplog.text.count("by product") == 2

    @pytest.mark.parametrize("wrong", [[], "a/b", 5, ["x", ""], None])
    def test_bad_ids(self, make_context, wrong):
        with pytest.raises(AirflowException, match="workorder_id"):
            self.sensor(wrong).execute(make_context())


class TestQuotaSensor:
    def sensor(self, **kwargs):
        defaults = {"task_id": "q", "identities": 100, "poke_interval": 0.05, "timeout": 5, "deferrable": False}
        return AdobeHygieneQuotaSensor(**{**defaults, **kwargs})

    def test_passes_where_there_is_room(self, adobe, make_context):
        self.sensor(identities="1000000").execute(make_context())
        assert self.sensor(deferrable=True).execute(make_context()) is None

    def use_up(self, adobe, make_context):
        adobe.settings.quota_daily = 102
        clean_up(wait_for_completion=False).execute(make_context())

    def test_waits_for_the_reset(self, adobe, make_context):
        self.use_up(adobe, make_context)
        with pytest.raises(AirflowException, match="Sensor has timed out|Snap"):
            self.sensor(timeout=0.2).execute(make_context())
        assert self.sensor().poke(make_context()) is False
        adobe.advance(86_400)
        assert self.sensor().poke(make_context()) is True

    def test_deferred_it_survives_outages(self, adobe, make_context):
        self.use_up(adobe, make_context)
        pause = deferred(lambda: self.sensor(deferrable=True).execute(make_context()))
        assert timedelta(seconds=1) < pause.timeout
        path, kwargs = pause.trigger.serialize()
        assert path.endswith("triggers.quota.AdobeQuotaTrigger")
        adobe.faults.add(Fault(path="/quota", status=503, times=7))
        adobe.advance(86_400)
        event = fired(AdobeQuotaTrigger(**kwargs))
        assert event["outcome"] == "room"
        self.sensor().execute_complete(make_context(), event)

    def test_the_deadline_ends_it(self, adobe, make_context):
        self.use_up(adobe, make_context)
        deadline = (datetime.now(UTC) + timedelta(seconds=0.2)).isoformat()
        event = fired(AdobeQuotaTrigger("adobe_default", 100, deadline, 0.05))
        assert event["outcome"] == "timed_out"
        with pytest.raises(AirflowSensorTimeout, match="no room"):
            self.sensor().execute_complete(make_context(), event)

    def test_refusals_end_it(self, adobe, make_context):
        adobe.faults.add(Fault(path="/quota", status=403, times=None))
        deadline = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
        event = fired(AdobeQuotaTrigger("adobe_default", 100, deadline, 0.01, 3))
        with pytest.raises(AirflowFailException, match="refused too often"):
            self.sensor().execute_complete(make_context(), event)
        with pytest.raises(AirflowFailException, match="HTTP 403"):
            self.sensor(max_poll_failures=3).execute(make_context())

    def test_more_than_a_whole_quota_never_fits(self, adobe, make_context):
        with pytest.raises(AirflowFailException, match="never will"):
            self.sensor(identities=3_000_000).execute(make_context())
        deadline = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
        event = fired(AdobeQuotaTrigger("adobe_default", 3_000_000, deadline, 0.05))
        with pytest.raises(AirflowFailException, match="never will"):
            self.sensor().execute_complete(make_context(), event)

    def test_an_unknown_quota_limits_nothing(self, adobe, make_context):
        adobe.faults.add(Fault(path="/quota", status=200, body={"quotas": []}))
        self.sensor(identities=10**9).execute(make_context())

    @pytest.mark.parametrize("event", [None, {}, {"outcome": "fine"}])
    def test_an_event_that_is_not_understood_is_no_success(self, make_context, event):
        with pytest.raises(AirflowFailException):
            self.sensor().execute_complete(make_context(), event)

    @pytest.mark.parametrize("wrong", [0, -1, "many", 1.5, None])
    def test_bad_counts(self, make_context, wrong):
        with pytest.raises(AirflowFailException, match="identities"):
            self.sensor(identities=wrong).execute(make_context())


def expire(**kwargs: Any) -> AdobeDatasetExpirationOperator:
    expiry = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    defaults = {"task_id": "e", "dataset_id": DATASET, "expiry": expiry, "display_name": "n", "deferrable": False}
    return AdobeDatasetExpirationOperator(**{**defaults, "poll_interval": 0.05, **kwargs})


def expirations(adobe: AdobeSimulator) -> list[dict[str, Any]]:
    return [job for job in adobe.jobs() if job["service"] == "ttl"]


@pytest.mark.parametrize("generation", ["new", "mid"])
class TestExpirations:
    @pytest.fixture(autouse=True)
    def generation_of(self, adobe, generation):
        adobe.settings.ttl_generation = generation

    def test_creates_moves_and_cancels(self, adobe, make_context):
        ttl = expire().execute(make_context())
        later = (datetime.now(UTC) + timedelta(days=9)).replace(microsecond=0)
        assert expire(expiry=later).execute(make_context()) == ttl
        assert expire(expiry=later.isoformat()).execute(make_context(try_number=2, max_tries=1)) == ttl
        cancel = {"task_id": "c", "dataset_id": DATASET}
        assert AdobeDatasetExpirationCancelOperator(**cancel).execute(make_context()) == ttl
        again = AdobeDatasetExpirationCancelOperator(task_id="c", ttl_id=ttl)
        assert again.execute(make_context(try_number=2)) == ttl
        assert {job["status"] for job in expirations(adobe)} == {"cancelled"}

    def test_a_lost_answer_is_no_second_expiration(self, adobe, make_context):
        method = "POST" if adobe.settings.ttl_generation == "new" else "PUT"
        adobe.faults.add(Fault(method=method, path="/ttl", when="after", abort=True))
        expire().execute(make_context())
        assert len(expirations(adobe)) == 1

    def test_waits_for_the_deletion(self, adobe, make_context):
        expire().execute(make_context())
        sensor = AdobeDatasetExpirationSensor(task_id="s", dataset_id=DATASET, poke_interval=0.05, deferrable=False)
        assert sensor.poke(make_context()) is False
        adobe.advance(3 * 86_400)
        context = make_context()
        sensor.execute(context)
        assert context["ti"].xcoms["jobs"][0]["state"] == "succeeded"

    def test_waits_itself_if_asked_to_also_on_a_retry_close_to_the_expiry(self, adobe, make_context):
        expiry = (datetime.now(UTC) + timedelta(hours=24, seconds=5)).replace(microsecond=0)
        kwargs = {"expiry": expiry, "wait_for_completion": True, "deferrable": True}
        pause = deferred(lambda: expire(**kwargs).execute(make_context()))
        assert pause.timeout > timedelta(days=20, hours=23)
        adobe.advance(2 * 86_400)
        ttl = expire(**kwargs).execute(make_context(try_number=2, max_tries=1))
        assert [job["id"] for job in expirations(adobe)] == [ttl]

    def test_a_cancelled_one_fails_the_sensor(self, adobe, make_context):
        expire().execute(make_context())
        AdobeDatasetExpirationCancelOperator(task_id="c", dataset_id=DATASET).execute(make_context())
        with pytest.raises(AirflowFailException, match="cancelled"):
            AdobeDatasetExpirationSensor(task_id="s", dataset_id=DATASET, poke_interval=0.05, deferrable=False).execute(
                make_context()
            )


class TestExpirationParameters:
    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"expiry": datetime.now(UTC) + timedelta(hours=23)}, "24 hours"),
            ({"expiry": "tomorrow"}, "ISO 8601"),
            ({"expiry": 5}, "expiry"),
            ({"dataset_id": "a/b"}, "dataset_id"),
            ({"display_name": ""}, "display_name"),
            ({"description": "x" * 1001}, "description"),
        ],
    )
    def test_bad_input_is_refused_without_a_request(self, adobe, make_context, kwargs, message):
        with pytest.raises(AirflowFailException, match=message):
            expire(**kwargs).execute(make_context())
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize("wrong", [{}, {"dataset_id": "x", "ttl_id": "y"}, {"ttl_id": "a/b"}])
    def test_cancel_takes_one_id(self, adobe, make_context, wrong):
        with pytest.raises(AirflowFailException, match="ttl_id"):
            AdobeDatasetExpirationCancelOperator(task_id="c", **wrong).execute(make_context())
        assert len(adobe.journal) == 0

    def test_cancelling_what_is_not_there_fails(self, adobe, make_context):
        with pytest.raises(AirflowFailException, match="404"):
            AdobeDatasetExpirationCancelOperator(task_id="c", dataset_id=DATASET).execute(make_context())


def user(value: str = "a@example.com", key: str = "first") -> dict[str, Any]:
    return {"key": key, "userIDs": [{"namespace": "email", "value": value, "type": "standard"}]}


def alpha(**kwargs: Any) -> AdobeHygieneDeleteJobOperator:
    return AdobeHygieneDeleteJobOperator(
        **{"task_id": "a", "users": [user(), user("b@example.com", "second")], **kwargs}
    )


def alpha_jobs(adobe: AdobeSimulator) -> list[dict[str, Any]]:
    return [job for job in adobe.jobs() if job["service"] == "hygiene_jobs"]


@pytest.mark.filterwarnings("ignore::airflow.exceptions.AirflowProviderDeprecationWarning")
class TestAlphaJobs:
    def test_it_is_deprecated(self):
        with pytest.warns(AirflowProviderDeprecationWarning, match="work orders"):
            alpha()

    def test_submits_once_and_returns_the_receipt(self, adobe, make_context):
        store = MemoryStore()
        result = alpha().execute(make_context(store=store, max_tries=1))
        assert set(result) == {"request_id", "jobs"}
        assert sorted(result["jobs"].values()) == sorted(job["id"] for job in alpha_jobs(adobe))
        assert list(result["jobs"]) == ["first", "second"]
        assert alpha(retries=1).execute(make_context(store=store, max_tries=1, try_number=2)) == result
        assert len(alpha_jobs(adobe)) == 2
        assert "first" not in repr(store.values)
        assert "example.com" not in repr(store.values)
        alpha(submission_key="again").execute(make_context(store=store, max_tries=1))
        assert len(alpha_jobs(adobe)) == 4

    @pytest.mark.parametrize("stored", [True, False])
    def test_a_lost_answer_is_left_to_a_person_on_every_try(self, adobe, make_context, stored):
        adobe.faults.add(Fault(method="POST", path="/jobs", when="after", abort=True))
        store = MemoryStore() if stored else None
        for number in (1, 2):
            with pytest.raises(AirflowFailException, match="unknown whether Adobe has the delete jobs"):
                alpha(retries=1).execute(make_context(store=store, max_tries=1, try_number=number))
        assert len(adobe.journal.select("POST", "hygiene/jobs")) == 1

    def test_a_refusal_may_be_tried_again(self, adobe, make_context):
        adobe.faults.add(Fault(method="POST", path="hygiene/jobs", status=403))
        store = MemoryStore()
        with pytest.raises(AirflowFailException, match="HTTP 403"):
            alpha().execute(make_context(store=store, max_tries=1))
        alpha(retries=1).execute(make_context(store=store, max_tries=1, try_number=2))
        assert len(alpha_jobs(adobe)) == 2

    def test_other_users_than_before_are_refused(self, adobe, make_context):
        store = MemoryStore()
        alpha().execute(make_context(store=store, max_tries=1))
        with pytest.raises(AirflowFailException, match="already submitted"):
            alpha(users=[user("c@example.com")], retries=1).execute(
                make_context(store=store, max_tries=1, try_number=2)
            )

    @pytest.mark.parametrize(
        "users",
        [
            [],
            "x",
            None,
            [{"key": "k"}],
            [{"key": "k", "userIDs": []}],
            [{"key": "k", "userIDs": user()["userIDs"] * 10}],
            [user(), user()],
            [{**user(), "userIDs": [{"namespace": "email", "value": CANARY, "type": "unknown"}]}],
        ],
    )
    def test_bad_users_are_refused_without_a_request_or_their_values(self, adobe, make_context, users):
        with pytest.raises(AirflowFailException, match="users") as caught:
            alpha(users=users).execute(make_context())
        assert CANARY not in str(caught.value)
        assert len(adobe.journal) == 0


def test_lookup_list_rename_and_quota_through_the_hook(adobe, make_context):
    (order,) = clean_up().execute(make_context())
    with AdobeHook().client as client:
        assert client.send(hygiene.get_work_order(order)).id == order
        assert [job.id for job in client.run(hygiene.list_flow({"status": "completed"})).jobs] == [order]
        client.run(hygiene.rename(order, "renamed"))
        assert client.send(hygiene.quota()).left_today == 1_000_000 - 3
    assert orders(adobe)[0]["target"]["displayName"] == "renamed"


def test_a_whole_dag_pauses_for_the_quota_and_goes_on(adobe, run_dag, monkeypatch, ten_a_chunk):
    """``dag.test()`` drops what ``defer`` is given for the next method, so the trigger's event has to carry it."""
    from airflow.providers.common.compat.sdk import DAG

    def next_day(now: datetime) -> datetime:
        adobe.advance(86_400)
        return now

    monkeypatch.setattr("airflow_provider_adobe_deletion.adobe.quota.next_daily_reset", next_day)
    monkeypatch.setattr(operators, "_AFTER_RESET", timedelta(seconds=0.1))
    adobe.settings.quota_daily = 20
    with DAG("paced", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        clean_up(identities={"Email": emails(35)}, on_quota="pace", deferrable=True)
    run = run_dag(dag)
    assert str(run.get_task_instance("t").state) == "success"
    assert sizes(adobe) == [10, 10, 10, 5]
    assert run.get_task_instance("t").xcom_pull(task_ids="t") == [order["id"] for order in orders(adobe)]


class TestReviewed:
    """What somebody found who looked closely."""

    @pytest.mark.usefixtures("ten_a_chunk")
    def test_an_order_that_may_exist_is_not_counted_against_the_quota_twice(self, adobe, make_context, monkeypatch):
        adobe.settings.quota_daily = 25
        store = MemoryStore()
        adobe.faults.add(Fault(method="POST", path="/workorder", when="after", abort=True, after=1))

        class Died(BaseException):
            pass

        with monkeypatch.context() as dying:

            def die(*args, **kwargs):
                raise Died

            dying.setattr("airflow_provider_adobe_deletion.submission.Submission._search", die)
            with pytest.raises(Died):
                clean_up(identities={"Email": emails(25)}).execute(make_context(store=store, max_tries=1))
        retry = clean_up(identities={"Email": emails(25)}, retries=1, wait_for_completion=False)
        assert len(retry.execute(make_context(store=store, max_tries=1, try_number=2))) == 3
        assert sizes(adobe) == [10, 10, 5]

    @pytest.mark.usefixtures("ten_a_chunk")
    def test_a_renamed_connection_is_the_same_place(self, adobe, make_context, monkeypatch):
        adobe.settings.quota_daily = 25
        store = MemoryStore()
        first = clean_up(identities={"Email": emails(25)}).execute(make_context(store=store))
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_NEW", adobe.connection_json())
        cleared = clean_up(identities={"Email": emails(25)}, adobe_conn_id="adobe_new")
        assert cleared.execute(make_context(store=store, try_number=2, max_tries=1)) == first

    @pytest.mark.parametrize("template", ["{{ jane canary }}", "{% canary %}"])
    def test_an_id_that_is_no_template_is_not_quoted(self, adobe, make_context, template):
        with pytest.raises(AirflowFailException, match="cannot be rendered") as caught:
            clean_up(identities={"Email": [template]}).execute(make_context())
        assert "canary" not in str(caught.value)
        assert len(adobe.journal) == 0

    def test_what_a_storage_library_says_is_not_passed_on(self, adobe, make_context, tmp_path, monkeypatch):
        class Broken:
            def read(self, size=-1):
                raise OSError(5, "Input/output error", "s3://key:SECRET@bucket/x")

            def close(self):
                pass

        monkeypatch.setattr(ObjectStoragePath, "open", lambda self, mode: Broken())
        with pytest.raises(AirflowException, match="identities_path cannot be read .OSError") as caught:
            clean_up(identities_path=csv_file(tmp_path, ["Email,a@b.c"]), dataset_id=[DATASET, "b2"]).execute(
                make_context()
            )
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None or "SECRET" not in repr(caught.value.__cause__)
