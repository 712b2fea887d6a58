"""What Airflow knows of the provider, as its command line shows it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_adobe_deletion as package
from airflow_provider_adobe_deletion.connection_form import FIELDS
from airflow_provider_adobe_deletion.get_provider_info import get_provider_info

NAME = "airflow-provider-adobe-deletion"
KINDS = {"hooks": BaseHook, "operators": BaseOperator, "sensors": BaseSensorOperator, "triggers": BaseTrigger}
COMMANDS = {
    "list": ["list"],
    "get": ["get", NAME, "--full"],
    "hooks": ["hooks"],
    "triggers": ["triggers"],
    "links": ["links"],
    "widgets": ["widgets"],
    "behaviours": ["behaviours"],
    "configs": ["configs"],
}


# All in one process, since each start of Airflow's command line takes seconds.
SCRIPT = """
import contextlib, io, json, sys
from airflow.cli.cli_parser import get_parser

shown = {}
for name, arguments in json.loads(sys.argv[1]).items():
    arguments = get_parser().parse_args(["providers", *arguments, "--output", "json"])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        arguments.func(arguments)
    shown[name] = printed.getvalue()
print("SHOWN", json.dumps(shown))
"""


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What ``airflow providers …`` prints, by command."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(COMMANDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.rpartition("SHOWN ")[2])
    return {name: [] if "No data found" in text else json.loads(text) for name, text in shown.items()}


def ours(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("package_name") == NAME]


def public_classes(kind: str) -> dict[str, type]:
    """The classes of one kind that people use, by path: those in modules of that kind, but for base.py."""
    parent = importlib.import_module(f"{package.__name__}.{kind}")
    found = {}
    for module in pkgutil.iter_modules(parent.__path__, f"{parent.__name__}."):
        for name, entry in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if entry.__module__ != module.name or module.name.endswith(".base") or name.startswith("_"):
                continue
            if issubclass(entry, KINDS[kind]):
                found[f"{module.name}.{name}"] = entry
    return found


def test_list(shown):
    (row,) = ours(shown["list"])
    assert row["version"] == package.__version__
    assert "Data Repair, Data Hygiene and Real-Time Customer Profile" in row["description"]


def test_get_shows_all_that_the_provider_says(shown):
    (found,) = shown["get"] if isinstance(shown["get"], list) else [shown["get"]]
    said = get_provider_info()
    assert {name: found[name] for name in said if name != "description"} == {
        name: value for name, value in said.items() if name != "description"
    }
    assert found["description"].rstrip(".") == said["description"].rstrip(".")


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_with_something_to_use_is_named(kind):
    info = get_provider_info()
    named = [module for entry in info[kind] for module in entry["python-modules"]]
    assert sorted(named) == sorted({path.rpartition(".")[0] for path in public_classes(kind)})
    integrations = {entry["integration-name"] for entry in info["integrations"]}
    assert {entry["integration-name"] for entry in info[kind]} <= integrations


def test_hooks(shown):
    (row,) = ours(shown["hooks"])
    assert row["connection_type"] == "adobe"
    assert [row["class"]] == list(public_classes("hooks"))
    assert row["conn_id_attribute_name"] == "adobe_conn_id"
    assert row["hook_name"] == "Adobe (delete and repair data)"


def test_triggers(shown):
    rows = ours(shown["triggers"])
    assert {row["class"] for row in rows} == {path.rpartition(".")[0] for path in public_classes("triggers")}


def test_links(shown):
    """Adobe documents no address that shows a job to a person, so there are none; one that is added has to show."""
    linked = {
        f"{type(link).__module__}.{type(link).__qualname__}"
        for kind in ("operators", "sensors")
        for entry in public_classes(kind).values()
        for link in entry.operator_extra_links
    }
    assert set(get_provider_info().get("extra-links", [])) == linked
    assert {row["extra_link_class_name"] for row in shown["links"] if package.__name__ in str(row)} == linked


def test_connection_form(shown):
    fields = {row["connection_parameter_name"] for row in ours(shown["widgets"])}
    assert fields == {f"extra__adobe__{field.name}" for field in FIELDS}
    assert "adobe" in [row["field_behaviours"] for row in shown["behaviours"]]


def test_options(shown):
    (row,) = [row for row in shown["configs"] if NAME in str(row)]
    text = str(row)
    assert "minimum_deferral" in text
    assert "settle_time" in text
