from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator
from airflow_provider_adobe_deletion.simulator.repair_definition import InvalidDefinition, check

SUITE = "/api/exampl0/datarepair/v1/examplersid"
DELETE_IP = {"variables": {"ipaddress": {"action": "delete"}}}
EVERYTHING = {
    "variables": {
        "activitymap": {"action": "delete"},
        "prop12": {"action": "delete"},
        "evar74": {"action": "set", "setValue": "Turtles"},
        "evar107": {
            "action": "delete",
            "filter": {"condition": "inList", "matchValues": ["Fox", "Dog"]},
        },
        "evar110": {
            "action": "delete",
            "filters": [
                {"condition": "startsWith", "matchValue": "Horse"},
                {"condition": "startsWith", "matchValue": "Zebra", "variable": "evar111"},
            ],
        },
    }
}


def month_start(months_ago: int) -> date:
    today = datetime.now(UTC).date()
    months = today.year * 12 + today.month - 1 - months_ago
    return date(months // 12, months % 12 + 1, 1)


def last_month(days: int = 1) -> dict[str, str]:
    start = month_start(1)
    return {
        "dateRangeStart": start.isoformat(),
        "dateRangeEnd": (start + timedelta(days=days - 1)).isoformat(),
    }


def token(client: httpx.Client, dates: dict[str, str], suite: str = SUITE) -> str:
    answer = client.get(f"{suite}/serverCallEstimate", params=dates)
    assert answer.status_code == 200
    return str(answer.json()["validationToken"])


def submit(client: httpx.Client, suite: str = SUITE, **query: str) -> httpx.Response:
    dates = last_month()
    params = {"validationToken": token(client, dates, suite), **dates, **query}
    return client.post(f"{suite}/job", params=params, json=DELETE_IP)


@pytest.fixture(autouse=True)
def unlimited(adobe: AdobeSimulator) -> None:
    adobe.settings.analytics_rate_limit = False


def assert_error(answer: httpx.Response, status: int, code: str | None = None) -> None:
    assert answer.status_code == status
    assert set(answer.json()) == {"errorCode", "errorDescription", "errorId"}
    assert code in (None, answer.json()["errorCode"])


def test_estimate(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.suite_rows_per_day = {"examplersid": 150000}
    dates = last_month(days=3)
    body = client.get(f"{SUITE}/serverCallEstimate", params=dates).json()
    validation_token = body.pop("validationToken")
    assert body == {"reportSuiteId": "examplersid", "serverCallEstimate": 450000, **dates}
    assert base64.urlsafe_b64decode(validation_token)[0] == 0x80
    assert not adobe.journal[-1].took_effect


def test_job_from_submission_to_the_bill(adobe: AdobeSimulator, client: httpx.Client) -> None:
    dates = last_month(days=2)
    params = {"validationToken": token(client, dates), **dates}
    answer = client.post(f"{SUITE}/job", params=params, json=EVERYTHING)
    assert answer.status_code == 201
    job = answer.json()
    assert (job["jobId"], job["status"], job["progress"], job["jobCompleteTime"]) == (24, "processing", 0, None)
    assert job["serverCalls"] == 100
    assert job["jobDefinition"] == EVERYTHING
    assert datetime.fromisoformat(job["jobCreateTime"]).utcoffset() == timedelta(0)
    entry = adobe.journal[-1]
    assert entry.query["validationToken"] == "***"
    assert entry.took_effect

    adobe.advance(1.5)
    assert 50 <= client.get(f"{SUITE}/job/24").json()["progress"] < 100
    adobe.advance(2)
    job = client.get(f"{SUITE}/job/24").json()
    assert (job["jobId"], job["status"], job["progress"]) == ("24", "complete", 100)
    assert job["serverCalls"] == 2000
    assert job["jobCompleteTime"] >= job["jobCreateTime"]
    assert client.get(f"{SUITE}/job").json() == [job]

    today = datetime.now(UTC).date()
    usage_dates = {
        "dateRangeStart": (today - timedelta(days=1)).isoformat(),
        "dateRangeEnd": (today + timedelta(days=1)).isoformat(),
    }
    company = client.get("/api/exampl0/datarepair/v1/usage", params=usage_dates).json()
    assert company == {
        "serverCalls": 2000,
        "jobCount": 1,
        "globalCompanyId": "exampl0",
        **usage_dates,
    }
    suite = client.get(f"{SUITE}/usage", params=usage_dates).json()
    assert suite == {**company, "reportSuiteId": "examplersid"}


def test_token_is_consumed_by_a_job_only(adobe: AdobeSimulator, client: httpx.Client) -> None:
    dates = last_month()
    params = {"validationToken": token(client, dates), **dates}
    valid = client.post(f"{SUITE}/job", params={**params, "validateOnly": "true"}, json=DELETE_IP)
    assert (valid.status_code, valid.content) == (204, b"")
    assert adobe.jobs() == []
    assert client.post(f"{SUITE}/job", params=params, json=DELETE_IP).status_code == 201
    adobe.advance(10)
    assert_error(client.post(f"{SUITE}/job", params=params, json=DELETE_IP), 400, "invalid_validation_token")
    assert len(adobe.jobs()) == 1


def test_validate_only_may_surprise_with_a_job(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.validate_only_answer = "job"
    answer = submit(client, validateOnly="true")
    assert answer.status_code == 201
    assert len(adobe.jobs()) == 1


def test_token_fits_one_suite_and_range(adobe: AdobeSimulator, client: httpx.Client) -> None:
    dates = last_month()
    issued = token(client, dates)
    other = last_month(days=2)
    code = "invalid_validation_token"
    for suite, query in (
        (SUITE, {**other, "validationToken": issued}),
        (SUITE[:-1], {**dates, "validationToken": issued}),
        (SUITE, {**dates, "validationToken": issued[:-4] + "AA=="}),
    ):
        assert_error(client.post(f"{suite}/job", params=query, json=DELETE_IP), 400, code)
    adobe.settings.rows_per_day = 5000
    grown = client.post(f"{SUITE}/job", params={**dates, "validationToken": issued}, json=DELETE_IP)
    assert_error(grown, 400, code)
    assert adobe.jobs() == []


def test_token_may_expire(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.validation_token_lifetime = 60
    dates = last_month()
    params = {"validationToken": token(client, dates), **dates}
    adobe.advance(120)
    assert_error(client.post(f"{SUITE}/job", params=params, json=DELETE_IP), 400)


def test_one_running_job_per_suite(adobe: AdobeSimulator, client: httpx.Client) -> None:
    assert submit(client).status_code == 201
    assert_error(submit(client), 400, "job_already_running")
    assert submit(client, suite=f"{SUITE}2").status_code == 201
    adobe.advance(5)
    assert submit(client).json()["jobId"] == 26


def test_failed_job(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.fail_targets = {"examplersid"}
    submit(client)
    adobe.advance(5)
    job = client.get(f"{SUITE}/job/24").json()
    assert (job["status"], job["progress"]) == ("failed", 100)


def test_list_ends_at_twenty(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.repair_seconds = 0.0
    for _ in range(22):
        submit(client)
    assert [job["jobId"] for job in client.get(f"{SUITE}/job").json()] == [str(n) for n in range(26, 46)]
    assert client.get(f"{SUITE}/job/24").status_code == 200
    assert client.get(f"{SUITE}2/job").json() == []
    assert_error(client.get(f"{SUITE}2/job/24"), 404)


def test_list_lag(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.list_lag = 30
    submit(client)
    assert client.get(f"{SUITE}/job").json() == []
    adobe.advance(31)
    assert len(client.get(f"{SUITE}/job").json()) == 1


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        (month_start(60), month_start(60), 200),
        (month_start(60) - timedelta(days=1), month_start(1), 400),
        (month_start(1), month_start(0) - timedelta(days=1), 200),
        (month_start(1), month_start(0), 400),
        (month_start(1), month_start(2), 400),
    ],
)
def test_date_rules(client: httpx.Client, start: date, end: date, status: int) -> None:
    params = {"dateRangeStart": start.isoformat(), "dateRangeEnd": end.isoformat()}
    assert client.get(f"{SUITE}/serverCallEstimate", params=params).status_code == status


@pytest.mark.parametrize("text", ["", "2024-02-30", "20240201", "2024-2-1", "2024-02-01T00:00:00"])
def test_malformed_dates(client: httpx.Client, text: str) -> None:
    params = {**last_month(), "dateRangeStart": text}
    assert_error(client.get(f"{SUITE}/serverCallEstimate", params=params), 400)


def test_unknown_suite_company_and_job(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.report_suites = {"examplersid"}
    assert client.get(f"{SUITE}/auth").json()["status"]
    assert_error(client.get(f"{SUITE}x/auth"), 404)
    assert_error(client.get(f"{SUITE}/job/99"), 404)
    assert_error(client.get("/api/otherco0/datarepair/v1/examplersid/job"), 400)
    assert client.get("/api/exampl0/data_repair/v1/examplersid/job").status_code == 404


def test_discovery(adobe: AdobeSimulator, client_with: Callable[..., httpx.Client]) -> None:
    client = client_with(x_gw_ims_org_id=None, x_sandbox_name=None)
    orgs = client.get("/discovery/me").json()["imsOrgs"]
    assert [org["imsOrgId"] == adobe.settings.org_id for org in orgs] == [False, True]
    assert [company["globalCompanyId"] for company in orgs[1]["companies"]] == ["exampl0"]


def test_rate_limit_per_client(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.analytics_rate_limit = True
    statuses = [client.get("/discovery/me").status_code for _ in range(13)]
    assert statuses == [200] * 12 + [429]
    answer = client.get(f"{SUITE}/job")
    assert answer.json() == {"error_code": "429050", "message": "Too many requests"}
    assert "retry-after" not in answer.headers
    assert client.get("/data/core/ups/system/jobs").status_code == 200
    adobe.advance(6)
    assert client.get(f"{SUITE}/job").status_code == 200


def test_service_level_authorization_failure(adobe: AdobeSimulator, client_with: Callable[..., httpx.Client]) -> None:
    client = client_with(authorization="Bearer nonsense")
    assert client.get("/discovery/me").json()["error_code"] == "401013"
    adobe.settings.analytics_401 = "service"
    assert_error(client.get("/discovery/me"), 401, "invalid_token")


def one(name: str, **change: Any) -> dict[str, Any]:
    return {"variables": {name: change}}


def filtered(name: str, action: str, **condition: Any) -> dict[str, Any]:
    value = {"setValue": "x"} if action == "set" else {}
    return one(name, action=action, filter=condition, **value)


@pytest.mark.parametrize(
    "definition",
    [
        EVERYTHING,
        one("evar250", action="set", setValue="x"),
        one("page", action="deleteQueryString"),
        one("referrer", action="deleteQueryStringParameters", parameters=["a", "B"]),
        filtered("evar1", "set", condition="isEmpty"),
        filtered("geocity", "delete", condition="inList", matchValues=["a"]),
        filtered("mobileappid", "set", condition="isNumeric"),
        filtered("mobileaction", "delete", condition="isURL"),
        filtered("videoad", "set", condition="isEmpty"),
    ],
)
def test_accepted_definitions(definition: Any) -> None:
    check(definition)


@pytest.mark.parametrize(
    "definition",
    [
        None,
        {},
        {"variables": {}},
        {"variables": {"prop1": {"action": "delete"}}, "extra": 1},
        {"prop1": {"action": "delete"}},
        one("prop76", action="delete"),
        one("evar251", action="delete"),
        one("product", action="delete"),
        one("Prop1", action="delete"),
        one("videoadvertiser", action="delete"),
        one("prop1", action="Delete"),
        one("prop1", action="set"),
        one("prop1", action="delete", setValue="x"),
        one("page", action="delete"),
        one("pageurl", action="set", setValue="x"),
        one("ipaddress", action="deleteQueryString"),
        one("activitymap", action="set", setValue="x"),
        one("pageurl", action="deleteQueryStringParameters"),
        one("pageurl", action="deleteQueryStringParameters", parameters=[]),
        one("pageurl", action="deleteQueryStringParameters", parameters=["p"] * 11),
        one("pageurl", action="deleteQueryString", filter={"condition": "isURL"}),
        filtered("prop1", "delete", condition="isEmpty"),
        filtered("page", "set", condition="isEmpty"),
        filtered("mobileappid", "delete", condition="isURL"),
        filtered("geocity", "delete", condition="contains", matchValue="x"),
        filtered("latlon1", "delete", condition="inList", matchValues=["x"]),
        filtered("prop1", "set", condition="containsAtSign"),
        filtered("prop1", "set", condition="ISURL"),
        filtered("prop1", "set", condition="contains"),
        filtered("prop1", "set", condition="contains", matchValues=["x"]),
        filtered("prop1", "set", condition="inList", matchValues=[]),
        filtered("prop1", "set", condition="inList", matchValues=["x"] * 1001),
        filtered("prop1", "set", condition="isURL", matchValue="x"),
        filtered("prop1", "set", condition="isURL", variable="product"),
        one("prop1", action="delete", filters={"condition": "isURL"}),
        one("prop1", action="delete", filter={"condition": "isURL"}, filters=[]),
    ],
)
def test_refused_definitions(definition: Any) -> None:
    with pytest.raises(InvalidDefinition):
        check(definition)


def test_refused_definition_over_http(adobe: AdobeSimulator, client: httpx.Client) -> None:
    dates = last_month()
    params = {"validationToken": token(client, dates), **dates}
    wrong = one("product", action="delete")
    assert_error(client.post(f"{SUITE}/job", params=params, json=wrong), 400, "invalid_job_definition")
    broken = {"content": b"{", "headers": {"content-type": "application/json"}}
    assert_error(client.post(f"{SUITE}/job", params=params, **broken), 400)  # type: ignore[arg-type]
    assert_error(client.post(f"{SUITE}/job", params=params, content=b"{}"), 415)
    assert client.post(f"{SUITE}/job", params=params, json=DELETE_IP).status_code == 201
    assert len(adobe.jobs()) == 1
