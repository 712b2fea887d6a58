"""What an Airflow lacks is said in one line, and is never an import error. These tests pass on every version."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger

from airflow_provider_adobe_deletion.operators.hygiene import AdobeHygieneDeleteJobOperator
from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator

from .conftest import DATASET, MemoryStore

pytestmark = pytest.mark.usefixtures("short_waits")

NO_STATE = "This Airflow keeps no task state"
NO_ON_KILL = "remove_on_kill does nothing while the task is deferred"


def delete(**options):
    return AdobeProfileDeleteJobOperator(**{"task_id": "t", "dataset_id": DATASET, **options})


def delete_users():
    users = [{"key": "u1", "userIDs": [{"namespace": "email", "value": "a@example.com", "type": "standard"}]}]
    with pytest.warns(DeprecationWarning, match="work orders"):
        return AdobeHygieneDeleteJobOperator(task_id="a", users=users)


def said(caplog, text):
    return sum(record.getMessage().startswith(text) for record in caplog.records)


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level(logging.INFO)


class TestNoTaskState:
    @pytest.mark.parametrize("make", [lambda: delete(wait_for_completion=False), delete_users])
    def test_is_said_once(self, adobe, make_context, caplog, make):
        make().execute(make_context())
        assert said(caplog, NO_STATE) == 1

    def test_is_not_said_where_there_is_one(self, adobe, make_context, caplog):
        delete(wait_for_completion=False).execute(make_context(store=MemoryStore()))
        assert said(caplog, NO_STATE) == 0


class TestNoKillOfTriggers:
    @pytest.fixture
    def defer(self, adobe, make_context):
        def run(**options):
            with pytest.raises(TaskDeferred):
                delete(deferrable=True, **options).execute(make_context())

        return run

    def test_is_said_once_where_it_matters(self, defer, caplog, monkeypatch):
        monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
        defer(remove_on_kill=True)
        assert said(caplog, NO_ON_KILL) == 1

    def test_is_not_said_where_nothing_is_to_be_removed(self, defer, caplog, monkeypatch):
        monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
        defer()
        assert said(caplog, NO_ON_KILL) == 0

    def test_is_not_said_where_airflow_tells_triggers(self, defer, caplog, monkeypatch):
        monkeypatch.setattr(BaseTrigger, "on_kill", None, raising=False)
        defer(remove_on_kill=True)
        assert said(caplog, NO_ON_KILL) == 0
