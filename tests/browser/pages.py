"""Airflow's pages, as the tests and the screenshots use them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from airflow_provider_adobe_deletion.connection_form import FIELDS
from airflow_provider_adobe_deletion.simulator import AdobeSimulator

EXAMPLES = Path(__file__).parents[2] / "example_dags"
sys.path.append(str(EXAMPLES))

from local_airflow import LocalAirflow

DAG = "example_adobe_profile_delete"
TASK = "delete_dataset"
TYPE = "Adobe (delete and repair data)"
EXTRAS = {field.name for field in FIELDS}


@contextmanager
def local_airflow() -> Iterator[LocalAirflow]:
    """Yield a real Airflow that knows no connection yet."""
    with LocalAirflow(EXAMPLES) as airflow:
        yield airflow


def form_values(adobe: AdobeSimulator, **changes: Any) -> dict[str, str]:
    """Return what to type to connect to the simulated Adobe; the choices stay as they are."""
    connection = adobe.connection() | changes
    values = {"login": connection["login"], "password": connection["password"], "port": "443"}
    return values | {name: value for name, value in connection["extra"].items() if name not in ("auth", "cloud")}


class Connections:
    """The page of connections, and its form."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = f"{url}/connections"

    @property
    def form(self) -> Locator:
        """The dialog of the form."""
        return self.page.get_by_role("dialog")

    def add(self) -> None:
        """Open the form and choose our type."""
        self.page.goto(self._url)
        self.page.get_by_role("button", name="Add Connection").click()
        self.form.get_by_role("combobox").first.fill("adobe")
        self.page.get_by_role("option", name=TYPE, exact=True).click()
        expect(self.field("login")).to_be_visible()

    def edit(self, connection_id: str) -> None:
        """Open the form of a saved connection."""
        self.page.goto(self._url)
        self._row(connection_id).get_by_role("button", name="Edit Connection").click()
        expect(self.field("login")).to_be_visible()

    def open_section(self, name: str) -> None:
        """Open one of the form's sections; the others close."""
        button = self.form.get_by_role("button", name=name, exact=True)
        if button.get_attribute("aria-expanded") != "true":
            button.click()
        expect(button).to_have_attribute("aria-expanded", "true")

    def field(self, name: str) -> Locator:
        """The input of a field, by its name in the connection."""
        return self.form.locator(f"[name={f'element_{name}' if name in EXTRAS else name}]")

    def fill(self, connection_id: str, values: Mapping[str, str]) -> None:
        """Type into the form."""
        self.field("connection_id").fill(connection_id)
        for section, names in (("Standard Fields", values.keys() - EXTRAS), ("Extra Fields", values.keys() & EXTRAS)):
            self.open_section(section)
            for name in names:
                self.field(name).fill(values[name])

    def save(self, connection_id: str) -> None:
        """Save, and wait until the list shows the connection."""
        self.form.get_by_role("button", name="Save").click()
        expect(self.form).to_be_hidden()
        expect(self._row(connection_id)).to_be_visible()

    def test(self, connection_id: str) -> str:
        """Press the button that tests a saved connection, and return what Airflow then says."""
        self.page.goto(self._url)
        self._row(connection_id).get_by_role("button", name="Test Connection").click()
        said = self.page.locator("[data-scope=toast][data-part=root]").filter(has_text="Test Connection")
        expect(said).to_be_visible()
        return said.inner_text()

    def _row(self, connection_id: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=connection_id)


class Run:
    """The pages of one run of a DAG."""

    def __init__(self, page: Page, url: str, run_id: str) -> None:
        self.page = page
        self._url = f"{url}/dags/{DAG}/runs/{run_id}"

    def open(self) -> None:
        """Open the run's page, where its task instances are listed."""
        self.page.goto(self._url)
        expect(self.page.get_by_text("4 Task Instances")).to_be_visible()

    def open_graph(self) -> None:
        """Show the graph beside the run."""
        self.open()
        self.page.get_by_label("Show Graph").click()
        expect(self.page.locator(".react-flow__node")).to_have_count(4)

    def open_task(self, tab: str = "") -> None:
        """Open one tab of the task's page, beside the grid; without a name, its log."""
        self.page.goto(f"{self._url}/tasks/{TASK}{tab}")
        self.page.get_by_label("Show Grid").click()
        expect(self.page.get_by_test_id("header-card").get_by_text(TASK)).to_be_visible()
