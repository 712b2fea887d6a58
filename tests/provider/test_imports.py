"""Importing operators, sensors and triggers is cheap, because DAG files are parsed all day."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.imports import MOST_MODULES, WITH_TRIGGERS, heavy, loaded, our_modules

pytest.importorskip("airflow.sdk", reason="the figures are those of Airflow 3")


def test_at_most_forty_modules_beyond_airflow_sdk():
    _, names = loaded(Path(sys.executable), our_modules())
    assert len(names) <= MOST_MODULES, names
    assert "airflow_provider_adobe_deletion.operators.hygiene" in names


def test_no_http_client_no_pydantic_no_jwt():
    _, names = loaded(Path(sys.executable), our_modules(), before=WITH_TRIGGERS)
    assert heavy(names) == []
    assert "airflow_provider_adobe_deletion.adobe.client" not in names
