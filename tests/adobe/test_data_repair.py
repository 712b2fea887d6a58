"""The Data Repair calls: what is asked, how answers are read, and which job is taken for a lost one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from airflow_provider_adobe_deletion.adobe import data_repair
from airflow_provider_adobe_deletion.adobe.calls import Call, Reply, Service
from airflow_provider_adobe_deletion.adobe.data_repair import Company, choose_company
from airflow_provider_adobe_deletion.adobe.data_repair_definition import DefinitionError, parse_definition
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError, api_error
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState

TOKEN = "gAAAAABee777APCK-x_y-oUYg=="
DEFINITION = {"variables": {"ipaddress": {"action": "delete"}}}
ESTIMATE = {
    "dateRangeEnd": "2019-03-28",
    "dateRangeStart": "2019-03-28",
    "reportSuiteId": "examplersid",
    "serverCallEstimate": 150000,
    "validationToken": TOKEN,
}
CREATED = {
    "jobId": 24,
    "status": "processing",
    "progress": 0,
    "jobCompleteTime": None,
    "jobCreateTime": "2020-04-24T09:02:59+00:00",
    "serverCalls": 100,
    "reportSuiteId": "examplersid",
    "dateRangeStart": "2019-03-28",
    "dateRangeEnd": "2019-03-28",
    "jobDefinition": DEFINITION,
}
ENDED = {
    **CREATED,
    "jobId": "24",
    "status": "complete",
    "progress": 100,
    "serverCalls": 2,
    "jobCompleteTime": "2020-04-24T10:13:51+00:00",
}
USAGE = {
    "serverCalls": 0,
    "jobCount": 0,
    "dateRangeStart": "2019-03-01",
    "dateRangeEnd": "2019-03-31",
    "globalCompanyId": "exampl0",
}
RANGE = ("examplersid", "2019-03-28", date(2019, 3, 28))
RANGE_PARAMS = {"dateRangeStart": "2019-03-28", "dateRangeEnd": "2019-03-28"}


def read(call: Call[Any], body: Any, status: int = 200) -> Any:
    return call.read(Reply(status, body))


class TestDates:
    NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)

    def refused(self, start: Any, end: Any, now: datetime = NOW) -> str:
        with pytest.raises(ValueError, match="date_range") as caught:
            data_repair.check_dates(start, end, now=now)
        return str(caught.value)

    def test_days_in_either_form(self) -> None:
        days = (date(2024, 4, 1), date(2024, 5, 31))
        assert data_repair.check_dates("2024-04-01", "2024-05-31", now=self.NOW) == days
        assert data_repair.check_dates(*days, now=self.NOW) == days
        assert data_repair.check_dates("2024-02-29", "2024-02-29", now=self.NOW) == (date(2024, 2, 29),) * 2

    @pytest.mark.parametrize(
        "day",
        [
            "",
            "2024-4-1",
            "20240401",
            "2024-W14-1",
            "2024-02-30",
            "2023-02-29",
            "2024-04-01T00:00:00",
            " 2024-04-01",
            "2024-04-01\n",
            "\u0662\u0660\u0662\u0664-04-01",
            "01.04.2024",
            None,
            20240401,
            datetime(2024, 4, 1),
        ],
    )
    def test_other_forms_are_refused(self, day: Any) -> None:
        assert "date_range_start must be a day, written YYYY-MM-DD" in self.refused(day, "2024-05-31")
        text = self.refused(day, day)
        assert "date_range_start must" in text
        assert "date_range_end must" in text

    def test_order(self) -> None:
        assert "(2024-05-02) is after date_range_end (2024-05-01)" in self.refused("2024-05-02", "2024-05-01")

    @pytest.mark.parametrize(
        ("now", "last_day"),
        [
            ("2024-06-15T12:00:00+00:00", "2024-05-31"),
            ("2024-01-01T00:00:00+00:00", "2023-12-31"),
            ("2024-03-01T00:00:00+00:00", "2024-02-29"),
            # In UTC+14 the new month has begun, so that the old one can be repaired there.
            ("2024-05-31T10:00:00+00:00", "2024-05-31"),
            ("2024-05-31T09:59:59+00:00", "2024-04-30"),
            ("2024-05-31T23:59:59+14:00", "2024-04-30"),
        ],
    )
    def test_the_range_ends_before_the_current_month(self, now: str, last_day: str) -> None:
        moment, last = datetime.fromisoformat(now), date.fromisoformat(last_day)
        data_repair.check_dates(last, last, now=moment)
        following = last + timedelta(days=1)
        assert "must be before the current month" in self.refused(last, following, moment)

    @pytest.mark.parametrize(
        ("now", "first_day"),
        [
            ("2024-06-15T12:00:00+00:00", "2019-06-01"),
            ("2024-06-30T23:00:00+00:00", "2019-06-01"),
            ("2024-01-31T12:00:00+00:00", "2019-01-01"),
            ("2024-12-01T12:00:00+00:00", "2019-12-01"),
            # In UTC-12 the old month goes on.
            ("2024-06-01T11:59:59+00:00", "2019-05-01"),
        ],
    )
    def test_the_range_starts_within_60_months(self, now: str, first_day: str) -> None:
        moment, first = datetime.fromisoformat(now), date.fromisoformat(first_day)
        data_repair.check_dates(first, "2023-01-01", now=moment)
        text = self.refused(first - timedelta(days=1), "2023-01-01", moment)
        assert f"the last 60 months, which began no earlier than {first_day}" in text

    def test_all_problems_are_told_together(self) -> None:
        text = self.refused("2024-06-20", "2018-01-01")
        assert "is after" in text
        text = self.refused("2018-01-01", "2024-07-01")
        assert "must be before the current month" in text
        assert "too long ago" in text


class TestCalls:
    def test_requests(self) -> None:
        token = {"validationToken": TOKEN}
        expected: list[tuple[Call[Any], str, str, dict[str, str], Any, bool]] = [
            (data_repair.authorise("examplersid"), "GET", "/examplersid/auth", {}, None, True),
            (data_repair.estimate(*RANGE), "GET", "/examplersid/serverCallEstimate", RANGE_PARAMS, None, True),
            (
                data_repair.create_job(*RANGE, DEFINITION, TOKEN),
                "POST",
                "/examplersid/job",
                token | RANGE_PARAMS,
                DEFINITION,
                False,
            ),
            (
                data_repair.validate_only(*RANGE, DEFINITION, TOKEN),
                "POST",
                "/examplersid/job",
                token | RANGE_PARAMS | {"validateOnly": "true"},
                DEFINITION,
                False,
            ),
            (data_repair.get_job("examplersid", "24"), "GET", "/examplersid/job/24", {}, None, True),
            (data_repair.list_jobs("examplersid"), "GET", "/examplersid/job", {}, None, True),
            (data_repair.list_jobs_with_definitions("examplersid"), "GET", "/examplersid/job", {}, None, True),
            (data_repair.usage(*RANGE[1:]), "GET", "/usage", RANGE_PARAMS, None, True),
            (data_repair.usage(*RANGE[1:], "examplersid"), "GET", "/examplersid/usage", RANGE_PARAMS, None, True),
        ]
        for call, method, path, params, body, repeatable in expected:
            assert call.service is Service.DATA_REPAIR
            assert (call.method, call.path, dict(call.params), call.body) == (method, path, params, body)
            assert call.repeatable is repeatable
            assert TOKEN not in call.purpose
        discover = data_repair.discover()
        assert (discover.service, discover.method, discover.path) == (Service.DISCOVERY, "GET", "/me")

    @pytest.mark.parametrize("wrong", ["", " ", "a/b", "../usage", "a?b", "a%2fb", "a..b", "é"])
    def test_ids_that_cannot_be_are_refused(self, wrong: str) -> None:
        makers: list[Callable[[], Call[Any]]] = [
            lambda: data_repair.authorise(wrong),
            lambda: data_repair.estimate(wrong, *RANGE[1:]),
            lambda: data_repair.create_job(wrong, *RANGE[1:], DEFINITION, TOKEN),
            lambda: data_repair.validate_only(wrong, *RANGE[1:], DEFINITION, TOKEN),
            lambda: data_repair.list_jobs(wrong),
            lambda: data_repair.get_job(wrong, "24"),
            lambda: data_repair.get_job("examplersid", wrong),
            lambda: data_repair.usage(*RANGE[1:], wrong),
        ]
        for make in makers:
            with pytest.raises(ValueError, match=r"report_suite_id|job_id"):
                make()

    def test_malformed_days_never_reach_a_request(self) -> None:
        for make in (data_repair.estimate, lambda *days: data_repair.usage(*days[1:])):
            with pytest.raises(ValueError, match="date_range_start must be a day"):
                make("examplersid", "2024-4-1", "2024-04-01")

    def test_errors_repeat_neither_token_nor_values(self) -> None:
        definition = parse_definition(
            {
                "variables": {
                    "evar1": {
                        "action": "set",
                        "setValue": "Alice Example",
                        "filters": [
                            {"condition": "contains", "matchValue": "Alice"},
                            {"condition": "inList", "matchValues": ["bob@example.com"], "variable": "evar74"},
                            {"condition": "contains", "matchValue": "@"},
                        ],
                    },
                    "pageurl": {"action": "deleteQueryStringParameters", "parameters": ["customer"]},
                }
            }
        ).to_request()
        said = f"contains is wrong in evar74 @ Alice Example, Alice, bob@example.com, customer: {TOKEN} {quote(TOKEN)}"
        for make in (data_repair.create_job, data_repair.validate_only):
            call = make(*RANGE, definition, TOKEN)
            error = api_error(call.purpose, 400, {"errorDescription": said}, {}, confidential=call.confidential)
            hidden = ", ".join(["[redacted]"] * 4)
            assert error.detail == f"contains is wrong in evar74 @ {hidden}: [redacted] [redacted]"


class TestAnswers:
    def test_estimate(self) -> None:
        found = read(data_repair.estimate(*RANGE), ESTIMATE)
        assert (found.report_suite_id, found.server_calls) == ("examplersid", 150000)
        assert found.date_range_start == found.date_range_end == date(2019, 3, 28)
        assert found.validation_token == TOKEN
        assert TOKEN not in repr(found)
        read(data_repair.estimate("ExampleRSID", *RANGE[1:]), {**ESTIMATE, "news": 1})

    @pytest.mark.parametrize(
        "change",
        [
            {"reportSuiteId": "other"},
            {"dateRangeStart": "2019-03-27"},
            {"dateRangeEnd": "2019-03-29"},
            {"serverCallEstimate": None},
            {"serverCallEstimate": -1},
            {"validationToken": ""},
            {"validationToken": None},
        ],
    )
    def test_estimate_for_something_else(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            read(data_repair.estimate(*RANGE), {**ESTIMATE, **change})
        assert TOKEN not in str(caught.value)

    @pytest.mark.parametrize("job_id", [24, "24"])
    @pytest.mark.parametrize("server_calls", [None, 100])
    @pytest.mark.parametrize("make", [data_repair.create_job, data_repair.validate_only])
    def test_created(self, make: Any, server_calls: Any, job_id: Any) -> None:
        answer = {**CREATED, "jobId": job_id, "serverCalls": server_calls, "news": {}}
        assert read(make(*RANGE, DEFINITION, TOKEN), answer, 201) == DeletionJob(
            ref=JobRef(JobKind.DATA_REPAIR, "24", {"report_suite_id": "examplersid"}),
            state=JobState.RUNNING,
            status="processing",
            target={
                "report_suite_id": "examplersid",
                "date_range_start": "2019-03-28",
                "date_range_end": "2019-03-28",
            },
            created_at=datetime(2020, 4, 24, 9, 2, 59, tzinfo=UTC),
            details={"server_calls": server_calls, "progress": 0},
        )

    def test_created_by_the_api_of_2020(self) -> None:
        job = read(data_repair.create_job(*RANGE, DEFINITION, TOKEN), {"jobId": 24})
        assert (job.id, job.state) == ("24", JobState.PENDING)
        assert job.target == {
            "report_suite_id": "examplersid",
            "date_range_start": "2019-03-28",
            "date_range_end": "2019-03-28",
        }

    def test_an_answer_without_a_job_is_no_creation(self) -> None:
        bodies: tuple[Any, ...] = (None, {}, [], "ok", {"jobId": None}, {"status": "processing"})
        for body in bodies:
            with pytest.raises(ValueError):  # noqa: PT011
                read(data_repair.create_job(*RANGE, DEFINITION, TOKEN), body)

    def test_validated(self) -> None:
        call = data_repair.validate_only(*RANGE, DEFINITION, TOKEN)
        assert read(call, None, 204) is None
        bodies: tuple[Any, ...] = ({}, "ok", {"valid": True})
        for body in bodies:
            with pytest.raises(ValueError):  # noqa: PT011
                read(call, body)

    def test_ended(self) -> None:
        job = read(data_repair.get_job("examplersid", "24"), ENDED)
        assert job.state is JobState.SUCCEEDED
        assert job.updated_at == datetime(2020, 4, 24, 10, 13, 51, tzinfo=UTC)
        assert job.details == {"server_calls": 2, "progress": 100}
        assert JobRef.from_dict(json.loads(json.dumps(job.ref.to_dict()))) == job.ref

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("processing", JobState.RUNNING),
            ("Processing", JobState.RUNNING),
            ("complete", JobState.SUCCEEDED),
            ("COMPLETE", JobState.SUCCEEDED),
            ("completed", JobState.SUCCEEDED),
            ("success", JobState.SUCCEEDED),
            ("failed", JobState.FAILED),
            ("FAILURE", JobState.FAILED),
            ("error", JobState.FAILED),
            ("aborted", JobState.FAILED),
            ("cancelled", JobState.FAILED),
            ("canceled", JobState.FAILED),
            ("rejected", JobState.FAILED),
            ("invalid", JobState.FAILED),
            ("completed_with_errors", JobState.FAILED),
            ("unsuccessful", JobState.UNKNOWN),
            ("incomplete", JobState.UNKNOWN),
            ("queued", JobState.UNKNOWN),
            ("", JobState.PENDING),
            (None, JobState.PENDING),
        ],
    )
    def test_statuses(self, status: Any, state: JobState) -> None:
        # The progress says nothing about success.
        answer = {**CREATED, "status": status, "progress": 100}
        assert read(data_repair.get_job("examplersid", "24"), answer).state is state

    def test_list(self) -> None:
        answer = [ENDED, {**CREATED, "jobId": 25, "jobDefinition": None, "progress": "7", "serverCalls": "many"}]
        jobs = read(data_repair.list_jobs("examplersid"), answer)
        assert [job.id for job in jobs] == ["24", "25"]
        assert jobs[1].details == {"server_calls": None, "progress": 7}
        listings = read(data_repair.list_jobs_with_definitions("examplersid"), answer)
        assert [listing.job for listing in listings] == list(jobs)
        assert [listing.definition for listing in listings] == [DEFINITION, None]
        assert read(data_repair.list_jobs("examplersid"), []) == ()
        answers: tuple[Any, ...] = (None, {}, {"jobs": []}, [None], [{}])
        for wrong in answers:
            with pytest.raises(ValueError):  # noqa: PT011
                read(data_repair.list_jobs("examplersid"), wrong)

    def test_definitions_stay_out_of_logs_and_summaries(self) -> None:
        definition = {"variables": {"evar1": {"action": "set", "setValue": "alice@example.com"}}}
        (listing,) = read(
            data_repair.list_jobs_with_definitions("examplersid"), [{**CREATED, "jobDefinition": definition}]
        )
        assert "alice" not in repr(listing) + json.dumps(listing.job.summary())

    def test_usage(self) -> None:
        company = read(data_repair.usage("2019-03-01", "2019-03-31"), USAGE)
        assert (company.server_calls, company.job_count) == (0, 0)
        assert (company.global_company_id, company.report_suite_id) == ("exampl0", None)
        suite = read(data_repair.usage("2019-03-01", "2019-03-31", "a"), {**USAGE, "reportSuiteId": "a"})
        assert suite == replace(company, report_suite_id="a")

    def test_authorise(self) -> None:
        assert read(data_repair.authorise("examplersid"), {"status": "ok"}) == "ok"


class TestFind:
    SINCE = datetime(2020, 4, 24, 9, 2, tzinfo=UTC)

    def find(self, *listed: dict[str, Any], known: tuple[str, ...] = ()) -> list[str]:
        flow = data_repair.find(*RANGE, DEFINITION, self.SINCE, known)
        call = next(flow)
        assert isinstance(call, Call)
        assert call.path == "/examplersid/job"
        with pytest.raises(StopIteration) as end:
            flow.send(read(call, list(listed)))
        return [job.id for job in end.value.value]

    def test_the_job_is_found(self) -> None:
        echo = copy.deepcopy(CREATED)
        echo["jobDefinition"]["variables"]["ipaddress"]["filter"] = None  # type: ignore[index]
        assert self.find(CREATED) == self.find(echo) == self.find(ENDED) == ["24"]

    @pytest.mark.parametrize(("minutes", "found"), [(-6, []), (-5, ["24"]), (-1, ["24"]), (0, ["24"]), (60, ["24"])])
    def test_age(self, minutes: int, found: list[str]) -> None:
        created = self.SINCE + timedelta(minutes=minutes)
        assert self.find({**CREATED, "jobCreateTime": created.isoformat()}) == found

    @pytest.mark.parametrize(
        "change",
        [
            {"dateRangeStart": "2019-03-27"},
            {"dateRangeEnd": "2019-03-29"},
            {"jobDefinition": {"variables": {"geozip": {"action": "delete"}}}},
            {"jobDefinition": {"variables": {}}},
        ],
    )
    def test_other_jobs_are_not_taken(self, change: dict[str, Any]) -> None:
        assert self.find({**CREATED, **change}) == []

    def test_jobs_that_were_there_before_are_not_taken(self) -> None:
        assert self.find(CREATED, known=("24",)) == []
        assert self.find(CREATED, {**CREATED, "jobId": "25"}, known=("24",)) == ["25"]

    def test_what_adobe_does_not_tell_is_no_reason_to_overlook_it(self) -> None:
        assert self.find({**CREATED, "jobDefinition": None}) == ["24"]
        assert self.find({**CREATED, "jobCreateTime": None}) == ["24"]

    def test_newest_first(self) -> None:
        later = {**CREATED, "jobId": 25, "jobCreateTime": "2020-04-24T10:00:00+00:00"}
        undated = {**CREATED, "jobId": 26, "jobCreateTime": None}
        assert self.find(undated, CREATED, later) == ["25", "24", "26"]


class TestCompany:
    COMPANIES = (
        Company("A@AdobeOrg", "acme0", "Acme"),
        Company("B@AdobeOrg", "bolt0", "Bolt"),
        Company("B@AdobeOrg", "bolt1", "Bolt Test"),
    )

    def test_discover(self) -> None:
        answer = {
            "imsUserId": "x",
            "imsOrgs": [
                {
                    "imsOrgId": "A@AdobeOrg",
                    "companies": [
                        {"globalCompanyId": "acme0", "companyName": "Acme", "apiRateLimitPolicy": "x", "dpc": "y"}
                    ],
                },
                {"imsOrgId": "B@AdobeOrg", "companies": [{"globalCompanyId": "bolt0"}]},
                {"imsOrgId": "C@AdobeOrg"},
            ],
        }
        found = read(data_repair.discover(), answer)
        assert found == (self.COMPANIES[0], Company("B@AdobeOrg", "bolt0", "bolt0"))
        with pytest.raises(ValueError, match="imsOrgs"):
            read(data_repair.discover(), {})

    def test_the_only_one_is_chosen(self) -> None:
        assert choose_company(self.COMPANIES, "A@AdobeOrg").id == "acme0"
        assert choose_company(iter(self.COMPANIES), "a@adobeorg").id == "acme0"

    def test_several_are_listed(self) -> None:
        with pytest.raises(AdobeConfigError, match=r"2 Analytics companies: Bolt \(bolt0\), Bolt Test \(bolt1\)\."):
            choose_company(self.COMPANIES, "B@AdobeOrg")

    def test_none(self) -> None:
        with pytest.raises(AdobeConfigError, match=r"no Analytics company of organisation C.*Acme \(acme0, organisat"):
            choose_company(self.COMPANIES, "C@AdobeOrg")
        with pytest.raises(AdobeConfigError, match="that it sees: none"):
            choose_company((), "C@AdobeOrg")


DOCUMENT = Path(__file__).parents[2].parent / "shared" / "openapi" / "data-repair.json"
DOCUMENT_CONDITIONS: dict[str, dict[str, Any]] = {
    "inList": {"matchValues": ["x"]},
    "contains": {"matchValue": "x"},
    "startsWith": {"matchValue": "x"},
    "endsWith": {"matchValue": "x"},
    "isURL": {},
    "isNotURL": {},
    "isEmpty": {},
}
DOCUMENT_ACTIONS: dict[str, dict[str, Any]] = {
    "set": {"setValue": "x"},
    "delete": {},
    "deleteQueryString": {},
    "deleteQueryStringParameters": {"parameters": ["x"]},
}
# The document's old and withdrawn names, which Adobe's reference replaces.
OUTDATED = {
    "videocampaign",
    "videoadvertiser",
    "mobilemessagepushoptin",
    *(f"mobilecampaign{end}" for end in ("content", "medium", "name", "source", "term")),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    if not DOCUMENT.is_file():
        pytest.skip(f"Adobe's OpenAPI document is not at {DOCUMENT}")
    return json.loads(DOCUMENT.read_text())  # type: ignore[no-any-return]


class TestContract:
    """Adobe's OpenAPI document. It knows a part of today's variables, actions and conditions, and no usage."""

    def validate(self, document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)

    def check(self, document: dict[str, Any], path: str, call: Call[Any]) -> None:
        operation = document["paths"]["/{globalCompanyId}/datarepair/v1" + path][call.method.lower()]
        assert call.path == path.replace("{reportSuiteId}", "examplersid").replace("{jobId}", "24")
        query = {entry["name"]: entry for entry in operation["parameters"] if entry.get("in") == "query"}
        assert set(call.params) <= set(query)
        assert {name for name, entry in query.items() if entry["required"]} <= set(call.params)
        for name, value in call.params.items():
            typed = json.loads(value) if query[name]["schema"]["type"] == "boolean" else value
            self.validate(document, query[name]["schema"], typed)
        if call.body is None:
            assert "requestBody" not in operation
        else:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self.validate(document, schema, json.loads(json.dumps(call.body)))

    def test_requests(self, document: dict[str, Any]) -> None:
        suite = "/{reportSuiteId}"
        self.check(document, f"{suite}/auth", data_repair.authorise("examplersid"))
        self.check(document, f"{suite}/serverCallEstimate", data_repair.estimate(*RANGE))
        self.check(document, f"{suite}/job", data_repair.create_job(*RANGE, DEFINITION, TOKEN))
        self.check(document, f"{suite}/job", data_repair.validate_only(*RANGE, DEFINITION, TOKEN))
        self.check(document, f"{suite}/job", data_repair.list_jobs("examplersid"))
        self.check(document, f"{suite}/job/{{jobId}}", data_repair.get_job("examplersid", "24"))

    def definitions(self, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Every combination that the document knows, with one filter, since it knows no ``filters``."""
        schemas = document["components"]["schemas"]
        for variable, schema in schemas["JobDefinitionVariablesModel"]["properties"].items():
            if variable in OUTDATED:
                continue
            for reference in schema.get("anyOf", [schema]):
                model = schemas[reference["$ref"].rpartition("/")[2]]
                (action,) = model["properties"]["action"]["enum"]
                plain = {"action": action, **DOCUMENT_ACTIONS[action]}
                yield {"variables": {variable: plain}}
                for condition, value in DOCUMENT_CONDITIONS.items():
                    yield {"variables": {variable: {**plain, "filter": {"condition": condition, **value}}}}

    def test_definitions(self, document: dict[str, Any]) -> None:
        schema = document["components"]["schemas"]["JobDefinitionModel"]
        validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
        sent = set()
        for definition in self.definitions(document):
            try:
                request = parse_definition(definition).to_request()
            except DefinitionError as refused:
                problem = refused
            else:
                validator.validate(request)
                sent |= set(request["variables"])
                continue
            # The document allows filters where the reference does not, and never an action more.
            assert "filter" in str(problem)
        assert len(sent) == 76 - len(OUTDATED)

    def test_answers_as_the_document_has_them_are_read(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        job = {**CREATED, "jobCompleteTime": "2020-04-24T10:13:51+00:00"}
        self.validate(document, schemas["DataRepairJobModel"], job)
        self.validate(document, schemas["ServerCallEstimateResponseModel"], ESTIMATE)
        self.validate(document, schemas["AuthResponseModel"], {"status": "ok"})
        assert read(data_repair.get_job("examplersid", "24"), job).id == "24"
