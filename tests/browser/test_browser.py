"""What a person sees in a real Airflow: the connection form, what its test says, a run and its tasks.

``WITHOUT_BROWSER=1`` does without.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from playwright.sync_api import expect

from airflow_provider_adobe_deletion.connection_form import FIELDS
from airflow_provider_adobe_deletion.simulator import AdobeSimulator

from .chromium import browser_page
from .pages import DAG, Connections, Run, form_values, local_airflow

if os.environ.get("WITHOUT_BROWSER"):
    pytest.skip("WITHOUT_BROWSER is set", allow_module_level=True)

WRONG_SECRET = "p8e-a-wrong-secret"


@pytest.fixture(scope="module")
def adobe():
    with AdobeSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def airflow():
    with local_airflow() as started:
        yield started


@pytest.fixture(scope="module")
def page():
    with browser_page() as opened:
        yield opened


@pytest.fixture(scope="module")
def connections(page, airflow):
    return Connections(page, airflow.url)


def private_key(adobe: AdobeSimulator) -> str:
    return str(adobe.jwt_connection()["extra"]["private_key"])


@pytest.fixture(scope="module")
def run_id(adobe, airflow, connections):
    """Save the default connection through the form, and start a run that needs it."""
    connections.add()
    connections.fill("adobe_default", form_values(adobe) | {"private_key": private_key(adobe)})
    connections.save("adobe_default")
    return airflow.trigger(DAG)


class TestForm:
    @pytest.fixture(autouse=True)
    def _form(self, connections):
        connections.add()

    def test_standard_fields(self, connections):
        labels = {"login": "Client id (API key)", "password": "Client secret", "port": "Port (not used)"}
        for name, label in labels.items():
            expect(connections.form.get_by_text(label, exact=True)).to_be_visible()
            assert connections.field(name).get_attribute("placeholder")
        expect(connections.field("password")).to_have_js_property("type", "password")
        for name in ("host", "schema"):
            expect(connections.field(name)).to_have_count(0)

    def test_our_fields(self, connections):
        connections.open_section("Extra Fields")
        for field in FIELDS:
            expect(connections.form.get_by_text(field.label, exact=True)).to_be_visible()
            expect(connections.form.get_by_text(field.help, exact=True).first).to_be_visible()
            seen = connections.field(field.name)
            if field.choices:
                assert seen.input_value() == field.default
            else:
                expect(seen).to_have_js_property("type", "password" if field.secret else "text")
            if field.suggestion:
                offered = connections.form.locator(f"#list_{field.name} option")
                assert [option.get_attribute("value") for option in offered.all()] == [field.suggestion]
                assert seen.get_attribute("placeholder")


@pytest.mark.usefixtures("run_id")
class TestSavedConnection:
    def test_the_right_credentials(self, connections):
        said = connections.test("adobe_default")
        assert said.splitlines() == ["Test Connection Successful", "Sandbox dev (development, active) is reachable."]

    def test_wrong_credentials(self, adobe, connections):
        connections.add()
        connections.fill("adobe_wrong", form_values(adobe, password=WRONG_SECRET))
        connections.save("adobe_wrong")
        title, said = connections.test("adobe_wrong").splitlines()
        assert title == "Test Connection Failed"
        assert "invalid_client" in said
        assert WRONG_SECRET not in said

    def test_secrets_never_come_back(self, adobe, airflow, connections, page):
        answers: list[Any] = []
        page.on("response", lambda response: answers.append(response) if "/api/v2/" in response.url else None)
        connections.edit("adobe_default")
        for section in ("Standard Fields", "Extra Fields", "Extra Fields JSON"):
            connections.open_section(section)
        assert connections.field("login").input_value() == adobe.connection()["login"]
        assert connections.field("password").input_value() == "***"
        assert connections.field("private_key").input_value() == "***"
        seen = [page.content(), connections.form.inner_text(), *(answer.text() for answer in answers)]
        seen += [str(airflow.api("GET", f"/api/v2/connections{name}")) for name in ("", "/adobe_default")]
        assert any("adobe_default" in text for text in seen[2:]), "the list came over the API"
        for secret in (adobe.connection()["password"], private_key(adobe).splitlines()[1]):
            assert not [text for text in seen if secret in text]

    def test_saving_without_a_change_keeps_the_secrets(self, connections):
        connections.edit("adobe_default")
        connections.field("description").fill("Sandbox dev")
        connections.save("adobe_default")
        assert "is reachable" in connections.test("adobe_default")


@pytest.fixture(scope="module")
def run(airflow, page, run_id):
    assert airflow.wait(DAG, run_id) == "success"
    return Run(page, airflow.url, run_id)


class TestRun:
    def test_the_run_and_its_graph(self, run, page):
        run.open_graph()
        for name in ("AdobeProfileDeleteJobOperator", "AdobeProfileDeleteJobSensor"):
            expect(page.get_by_text(name).first).to_be_visible()

    @pytest.fixture
    def job(self, adobe):
        return next(job["id"] for job in adobe.jobs() if "5c802d3cd83fc114b741c4b5" in str(job["target"]))

    def test_the_task_s_log_says_what_happened(self, adobe, run, page, job):
        run.open_task()
        for said in ("Submitting a Profile delete job for dataset", "Deferring until", f"Job {job} has succeeded"):
            expect(page.get_by_text(said).first).to_be_visible()
        assert adobe.connection()["password"] not in page.content()

    def test_the_task_s_result_is_the_job_s_id(self, run, page, job):
        run.open_task("/xcom")
        expect(page.get_by_role("row").filter(has_text="return_value")).to_contain_text(job)
