"""Importing operators, sensors and triggers is cheap, because DAG files are parsed all day."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from airflow import __version__
from packaging.version import Version

from tests.benchmarks.imports import MOST_MODULES, WITH_TRIGGERS, heavy, loaded, our_modules

pytest.importorskip("airflow.sdk", reason="Airflow 2 imports all of them itself")


@pytest.mark.skipif(Version(__version__) < Version("3.3"), reason="the figure is that of Airflow 3.3")
def test_at_most_forty_modules_beyond_airflow_sdk():
    _, names = loaded(Path(sys.executable), our_modules())
    assert len(names) <= MOST_MODULES, names
    assert "airflow_provider_adobe_deletion.operators.hygiene" in names


def test_no_http_client_no_pydantic_no_jwt():
    _, names = loaded(Path(sys.executable), our_modules(), before=WITH_TRIGGERS)
    assert heavy(names) == []
    assert "airflow_provider_adobe_deletion.adobe.client" not in names
