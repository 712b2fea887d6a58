"""Each bad input is refused with one sentence that names the parameter, without a request, and nothing leaks."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import AirflowNotFoundException
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    BaseOperator,
    TaskDeferred,
)

from airflow_provider_adobe_deletion.adobe.config import AdobeConfig, field_label
from airflow_provider_adobe_deletion.adobe.dataset_expiration import check_expiry
from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook
from airflow_provider_adobe_deletion.operators.data_repair import AdobeDataRepairEstimateOperator
from airflow_provider_adobe_deletion.operators.hygiene import AdobeHygieneWorkOrderOperator
from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator
from airflow_provider_adobe_deletion.sensors.data_repair import AdobeDataRepairJobSensor
from airflow_provider_adobe_deletion.sensors.hygiene import AdobeHygieneQuotaSensor
from airflow_provider_adobe_deletion.triggers.moment import AdobeMomentTrigger

from .bad_input import (
    ACCEPTED,
    ACCEPTED_CONNECTION,
    ACCEPTED_OPTIONS,
    CANARY,
    CONNECTION_FIELDS,
    CONNECTION_ROWS,
    CSV,
    GOOD,
    OPTION_NAMES,
    OPTION_ROWS,
    ROWS,
    Row,
    parameters_of,
    shown,
    subjects,
)
from .conftest import DATASET

pytestmark = [
    pytest.mark.usefixtures("short_waits", "quick", "unmasked"),
    pytest.mark.filterwarnings("ignore::airflow.exceptions.AirflowProviderDeprecationWarning"),
]

LONGEST = 500
OF_JWT = ("technical_account_id", "private_key", "metascopes")
NO_SANDBOX = ("sandbox_name", "missing")
OF_ANALYTICS = ("analytics_url", "global_company_id")


@pytest.fixture
def quick(adobe, monkeypatch):
    """Let jobs end at once, should a bad input create one."""
    adobe.settings.profile_seconds = (0.0, 0.0)
    adobe.settings.repair_seconds = 0.0
    adobe.settings.workorder_seconds = (0.0, 0.0, 0.0, 0.0)
    adobe.settings.small_order_limit = None
    adobe.settings.analytics_rate_limit = False
    monkeypatch.setattr("airflow_provider_adobe_deletion.adobe.client.Pacer.reserve", lambda self: 0.0)


@pytest.fixture
def unmasked(monkeypatch):
    """Keep Airflow from hiding in the log what should not be there. It also gets slow with many secrets."""
    for name, module in list(sys.modules.items()):
        if name.endswith("secrets_masker") and hasattr(module, "SecretsMasker"):
            monkeypatch.setattr(module.SecretsMasker, "add_mask", lambda *args, **kwargs: None)


@pytest.fixture(scope="session")
def csv(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("identities") / "list.csv"
    path.write_text(f"namespace,id\nEmail,{CANARY}@example.com\n")
    return path


@pytest.fixture
def refusal(adobe, caplog, capfd) -> Callable[..., Exception]:
    """Return a function that runs something that must be refused, and checks how it was."""
    caplog.set_level(logging.INFO)
    secrets = (CANARY, CANARY.replace("-", ""), adobe.connection()["password"])

    def refuse(run: Callable[[], Any], named: str) -> Exception:
        try:
            run()
        except Exception as error:
            refused = error
        else:
            pytest.fail("it was not refused")
        told = "".join(traceback.format_exception(refused))
        message = str(refused)
        assert re.search(rf"(?<!\w){named}(?!\w)", message), told
        assert len(adobe.journal) == 0, "a request was sent"
        assert message.isprintable(), "one line, and nothing raw in it"
        # Some messages end with all that is allowed.
        assert len(message.partition("; allowed: ")[0]) <= LONGEST
        assert message.endswith((".", ".)")), "a sentence"
        logged = caplog.text + capfd.readouterr().out
        for secret in secrets:
            assert secret not in message
            assert secret not in told
            assert secret not in logged
        return refused

    return refuse


def built(row: Row, csv: Path) -> BaseOperator:
    """Make the task as a DAG file would."""
    value = "{{ bad }}" if row.templated else row.value
    arguments = {**GOOD[row.subject], **row.rest, row.parameter: value}
    arguments = {name: str(csv) if given is CSV else given for name, given in arguments.items()}
    native = row.templated and not isinstance(row.value, str)
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1), render_template_as_native_obj=native):
        return row.subject(task_id="t", **arguments)


class TestParameters:
    @pytest.mark.parametrize("row", ROWS, ids=str)
    def test_is_refused(self, adobe, make_context, refusal, csv, row):
        context = make_context() | {"bad": row.value}
        tasks: list[BaseOperator] = []

        def run() -> None:
            tasks.append(built(row, csv))
            tasks[0].render_template_fields(context)
            tasks[0].execute(context)

        error = refusal(run, row.parameter)
        # A mistake in a template cannot be known when the DAG is parsed; a later one must not be tried again.
        assert isinstance(error, AirflowFailException if tasks else ValueError | TypeError)
        assert tasks or not row.templated

    def test_every_parameter_has_rows(self):
        covered = {(row.subject, row.parameter) for row in ROWS}
        public = {(subject, name) for subject in subjects() for name in parameters_of(subject)}
        assert public - covered == set()
        assert covered - public == set()

    def test_every_template_field_has_rows_of_what_a_template_renders_to(self):
        covered = {(row.subject, row.parameter) for row in ROWS if row.templated}
        assert {(subject, name) for subject in subjects() for name in subject.template_fields} == covered

    def test_there_are_enough_of_every_kind(self):
        distinct = {(row.subject, row.parameter, shown(row.value)) for row in ROWS}
        assert len(distinct) >= 200
        kinds = {row.kind for row in ROWS}
        assert kinds >= {
            *("wrong type", "empty", "too long", "control character", "path trick", "header injection"),
            *("not a number", "huge", "look-alike", "reversed", "zero or negative"),
        }


def connect(adobe, monkeypatch, name: str, value: Any) -> None:
    """Give Airflow a connection with one bad field."""
    connection = adobe.jwt_connection() if name in OF_JWT else adobe.connection()
    if name == "extra":
        connection["extra"] = json.dumps(value)
    else:
        place = connection if name in connection else connection["extra"]
        place[name] = value
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", json.dumps(connection))
    if name == "extra":
        try:
            AdobeHook.get_connection("adobe_default")
        except AirflowNotFoundException:
            pytest.skip("this Airflow knows no connection with such an extra")


class TestConnection:
    @pytest.mark.parametrize(("name", "kind", "value"), CONNECTION_ROWS)
    def test_is_refused(self, adobe, make_context, monkeypatch, refusal, name, kind, value):
        connect(adobe, monkeypatch, name, value)
        subject = AdobeDataRepairEstimateOperator if name in OF_ANALYTICS else AdobeProfileDeleteJobOperator
        task = subject(task_id="t", **GOOD[subject])
        error = refusal(lambda: task.execute(make_context()), name)
        assert isinstance(error, AirflowFailException)
        assert "'adobe_default'" in str(error) or kind == "missing" or name in ("private_key", "extra")

    # A connection without a sandbox is good for Data Repair.
    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name, kind, value in CONNECTION_ROWS if (name, kind) != NO_SANDBOX]
    )
    def test_the_form_s_test_says_the_same(self, adobe, monkeypatch, name, value):
        connect(adobe, monkeypatch, name, value)
        good, sentence = AdobeHook().test_connection()
        assert not good
        assert name in sentence
        assert sentence.isprintable()
        assert CANARY not in sentence
        assert len(adobe.journal) == 0

    def test_every_field_has_rows(self):
        assert {name for name, _, _ in CONNECTION_ROWS} == {*CONNECTION_FIELDS, "extra"}
        assert {field_label(name).split()[0] for name in AdobeConfig.__dataclass_fields__} == {*CONNECTION_FIELDS}


class TestOptions:
    @pytest.mark.parametrize(("subject", "name", "value"), OPTION_ROWS)
    def test_is_refused(self, make_context, monkeypatch, refusal, subject, name, value):
        monkeypatch.setenv(f"AIRFLOW__ADOBE_DELETION__{name.upper()}", value)
        task = subject(task_id="t", **{**GOOD[subject], "deferrable": True})
        error = refusal(lambda: task.execute(make_context()), name)
        assert isinstance(error, AirflowFailException)

    def test_every_option_has_rows(self):
        assert {name for _, name, _ in OPTION_ROWS} == set(OPTION_NAMES)

    async def test_a_triggerer_with_another_option_does_not_lose_the_wait(self, monkeypatch, caplog):
        monkeypatch.setenv("AIRFLOW__ADOBE_DELETION__MINIMUM_DEFERRAL", "nan")
        monkeypatch.setattr("airflow_provider_adobe_deletion.options.MINIMUM_DEFERRAL", 0.0)
        trigger = AdobeMomentTrigger("2026-01-01T00:00:00+00:00", {"version": 1})
        assert [event.payload async for event in trigger.run()] == [{"version": 1}]
        assert "minimum_deferral must be" in caplog.text


class TestNothingGoodIsRefused:
    """What is right reaches Adobe, whatever Adobe then makes of it."""

    @pytest.mark.parametrize(("subject", "changes"), ACCEPTED, ids=shown)
    def test_a_request_is_sent(self, adobe, make_context, csv, subject, changes):
        arguments = {**GOOD[subject], **changes}
        if "deferrable" in arguments:
            arguments["deferrable"] = True
        arguments = {name: csv if value is CSV else value for name, value in arguments.items()}
        task = subject(task_id="t", **arguments)
        run(task, make_context())
        assert [entry for entry in adobe.journal if not entry.path.startswith("/ims/")]

    @pytest.mark.parametrize("changes", ACCEPTED_CONNECTION, ids=shown)
    def test_a_token_is_asked_for_with_this_connection(self, adobe, make_context, monkeypatch, changes):
        for name, value in changes.items():
            connect(adobe, monkeypatch, name, value)
        run(AdobeProfileDeleteJobOperator(task_id="t", dataset_id=DATASET, deferrable=True), make_context())
        assert len(adobe.journal) > 0

    @pytest.mark.parametrize("conn_id", ["a", "a" * 250, "team.eu-1/adobe", "adobe(eu)", "\u00fcber_1", "#1!"])
    def test_a_connection_s_id(self, adobe, make_context, monkeypatch, conn_id):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", adobe.connection_json())
        run(AdobeProfileDeleteJobOperator(task_id="t", dataset_id=DATASET, adobe_conn_id=conn_id), make_context())
        assert len(adobe.journal) > 0

    @pytest.mark.parametrize(("name", "value"), ACCEPTED_OPTIONS)
    def test_an_option(self, adobe, make_context, monkeypatch, name, value):
        monkeypatch.setenv(f"AIRFLOW__ADOBE_DELETION__{name.upper()}", value)
        run(AdobeProfileDeleteJobOperator(task_id="t", dataset_id=DATASET, deferrable=True), make_context())
        assert len(adobe.journal) > 0

    def test_an_expiry_exactly_24_hours_ahead(self):
        now = datetime(2030, 1, 1, tzinfo=UTC)
        assert check_expiry(now + timedelta(hours=24), now=now) == now + timedelta(hours=24)
        with pytest.raises(ValueError, match="expiry"):
            check_expiry(now + timedelta(hours=24, seconds=-1), now=now)

    def test_ids_of_dag_and_task_that_are_longer_together_than_a_name_at_adobe(self, adobe, make_context):
        with DAG("d" * 200, schedule=None, start_date=datetime(2026, 1, 1)):
            task = AdobeHygieneWorkOrderOperator(
                task_id="t" * 200, dataset_id=DATASET, identities={"Email": ["a"]}, wait_for_completion=False
            )
        task.execute(make_context())
        (job,) = adobe.jobs()
        assert len(job["target"]["displayName"]) <= 255

    def test_the_default_of_one_interval_gives_way_to_the_other(self):
        operator = AdobeProfileDeleteJobOperator(task_id="t", dataset_id=DATASET, max_poll_interval=10)
        assert (operator.poll_interval, operator.max_poll_interval) == (10, 10)
        operator = AdobeProfileDeleteJobOperator(task_id="t", dataset_id=DATASET, poll_interval=7_200)
        assert (operator.poll_interval, operator.max_poll_interval) == (7_200, 7_200)
        sensor = AdobeDataRepairJobSensor(task_id="t", report_suite_id="x", job_id=1, max_poll_interval=10)
        assert (sensor.poke_interval, sensor.max_poll_interval) == (10, 10)

    def test_default_args_of_the_dag_reach_a_sensor(self):
        given = {"poke_interval": 5, "timeout": timedelta(minutes=1), "max_poll_interval": 7}
        with DAG("d", schedule=None, start_date=datetime(2026, 1, 1), default_args=given):
            repair = AdobeDataRepairJobSensor(task_id="repair", report_suite_id="x", job_id=1)
            quota = AdobeHygieneQuotaSensor(task_id="quota", identities=1)
            own = AdobeHygieneQuotaSensor(task_id="own", identities=1, poke_interval=6)
        assert (repair.poke_interval, repair.timeout, repair.max_poll_interval) == (5, 60, 7)
        assert (quota.poke_interval, quota.timeout, own.poke_interval) == (5, 60, 6)


def run(task: BaseOperator, context: dict[str, Any]) -> None:
    """Run a task, whatever comes of it."""
    with contextlib.suppress(AirflowException, TaskDeferred):
        task.execute(context)
