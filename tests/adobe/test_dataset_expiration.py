"""Dataset expirations: what is asked, how the answers of all generations are read, and what is made sure of."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airflow_provider_adobe_deletion.adobe import dataset_expiration
from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Pause, Reply, Service
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeError,
    AdobeInterruptedError,
    AdobeNotFoundError,
    AdobeProtocolError,
    AmbiguousOutcomeError,
    WrongTargetError,
    api_error,
)
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState

DOCUMENT = Path(__file__).parents[3] / "shared" / "openapi" / "data-hygiene.yaml"
NOW = datetime(2029, 1, 2, 12, tzinfo=UTC)
EXPIRY = datetime(2030, 12, 31, tzinfo=UTC)
DATASET = "3e9f815ae1194c65b2a4c5ea"
TTL = "SD-2aaf113e-3f17-4321-bf29-a2c51152b042"


def ttl(**members: Any) -> dict[str, Any]:
    return {
        "ttlId": TTL,
        "datasetId": DATASET,
        "datasetName": "Acme_Customer_Data",
        "sandboxName": "acme-prod",
        "displayName": "Expiry rule",
        "description": "Set by s.stark@acme.com",
        "imsOrg": "C9D8E7F6A5B41234567890AB@AcmeOrg",
        "status": "pending",
        "expiry": "2030-12-31T00:00:00Z",
        "updatedAt": "2029-01-02T10:35:45.000Z",
        "updatedBy": "s.stark@acme.com <s.stark@acme.com> 3E9F815AE1194C65B2A4C5EA@acme.com",
        **members,
    }


def read(call: Call[Any], body: Any, status: int = 200) -> Any:
    return call.read(Reply(status, body))


def refusal(status: int, body: Any = None) -> AdobeAPIError:
    return api_error("create an expiration", status, body, {})


ALREADY = refusal(400, {"type": "http://ns.adobe.com/aep/errors/HYGN-3102-400", "title": "Not completed"})
LOST = AmbiguousOutcomeError("create", AdobeInterruptedError("timeout"), NOW)


def play(flow: Flow[Any], *answers: Any) -> tuple[Any, list[str]]:
    """Run a flow with these answers, bodies or errors, and return its result and what it did."""
    done: list[str] = []
    remaining = list(answers)
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                done.append("pause")
                step = flow.send(None)
                continue
            done.append(f"{step.method} {step.path}")
            answer = remaining.pop(0)
            step = flow.throw(answer) if isinstance(answer, AdobeError) else flow.send(read(step, answer))
    except StopIteration as end:
        assert not remaining
        return end.value, done


class TestExpiry:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("2030-12-31", EXPIRY),
            ("2030-12-31T00:00:00", EXPIRY),
            ("2030-12-31T00:00:00Z", EXPIRY),
            ("2030-12-31T00:00:00.999Z", EXPIRY),
            (" 2030-12-31T01:00:00+01:00 ", EXPIRY),
            ("2030-12-30T19:00:00-05:00", EXPIRY),
            (date(2030, 12, 31), EXPIRY),
            (datetime(2030, 12, 31), EXPIRY),
            (datetime(2030, 12, 31, 5, tzinfo=timezone(timedelta(hours=5))), EXPIRY),
            ("2029-01-03T12:00:00Z", NOW + timedelta(hours=24)),
        ],
    )
    def test_right(self, value: Any, expected: datetime) -> None:
        expiry = dataset_expiration.check_expiry(value, NOW)
        assert expiry == expected
        assert expiry.utcoffset() == timedelta(0)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("2029-01-03T11:59:59Z", "expiry is 2029-01-03T11:59:59.00:00; Adobe takes only what is at least 24 hours"),
            ("2029-01-03", "at least 24 hours ahead"),
            ("2020-01-01", "at least 24 hours ahead"),
            (date(2029, 1, 3), "at least 24 hours ahead"),
            ("", "not an ISO 8601 date or time"),
            ("31.12.2030", "not an ISO 8601 date or time"),
            ("2030-02-30", "not an ISO 8601 date or time"),
            ("in a year", "not an ISO 8601 date or time"),
        ],
    )
    def test_wrong(self, value: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            dataset_expiration.check_expiry(value, NOW)

    @pytest.mark.parametrize("value", [None, 1924905600, True, timedelta(days=2)])
    def test_wrong_types(self, value: Any) -> None:
        with pytest.raises(TypeError, match="expiry must be"):
            dataset_expiration.check_expiry(value, NOW)

    def test_the_present_is_the_default(self) -> None:
        with pytest.raises(ValueError, match="at least 24 hours ahead"):
            dataset_expiration.check_expiry(datetime.now(UTC) + timedelta(hours=23))
        dataset_expiration.check_expiry(datetime.now(UTC) + timedelta(hours=25))


class TestCalls:
    def test_create(self) -> None:
        call = dataset_expiration.create_expiration(DATASET, EXPIRY, "Rule", "Why")
        assert (call.service, call.method, call.path) == (Service.HYGIENE, "POST", "/ttl")
        assert not call.repeatable
        assert call.body == {
            "datasetId": DATASET,
            "expiry": "2030-12-31T00:00:00Z",
            "displayName": "Rule",
            "description": "Why",
        }

    def test_a_description_may_be_left_out(self) -> None:
        assert "description" not in dataset_expiration.create_expiration(DATASET, EXPIRY, "Rule").body

    def test_get(self) -> None:
        call = dataset_expiration.get_expiration(TTL)
        assert (call.method, call.path) == ("GET", f"/ttl/{TTL}")
        with pytest.raises(ValueError, match="is not an id"):
            dataset_expiration.get_expiration("../workorder")

    def test_update(self) -> None:
        call = dataset_expiration.update_expiration(TTL, display_name="New")
        assert (call.method, call.path, call.body) == ("PUT", f"/ttl/{TTL}", {"displayName": "New"})
        assert dataset_expiration.update_expiration(TTL, expiry=EXPIRY).body == {"expiry": "2030-12-31T00:00:00Z"}
        with pytest.raises(ValueError, match="Nothing to change"):
            dataset_expiration.update_expiration(TTL)

    @pytest.mark.parametrize(
        ("status", "body"), [(204, None), (200, {"message": "Dataset expiration cancelled."}), (200, None), (200, "OK")]
    )
    def test_cancel_answers_that_say_nothing(self, status: int, body: Any) -> None:
        call = dataset_expiration.cancel_expiration(TTL)
        assert (call.method, call.path) == ("DELETE", f"/ttl/{TTL}")
        assert read(call, body, status) is None

    def test_a_cancel_answer_with_the_expiration(self) -> None:
        job = read(dataset_expiration.cancel_expiration(TTL), ttl(status="cancelled"))
        assert (job.id, job.status) == (TTL, "cancelled")

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("display_name", "x" * 256, "display_name has 256 characters"),
            ("display_name", "a\nb", "display_name has a control character"),
            ("description", "x" * 1001, "description has 1,001 characters"),
        ],
    )
    def test_wrong_texts(self, name: str, value: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            dataset_expiration.update_expiration(TTL, **{name: value})  # type: ignore[arg-type]


class TestAnswers:
    def test_now(self) -> None:
        assert read(dataset_expiration.get_expiration(TTL), ttl()) == DeletionJob(
            ref=JobRef(JobKind.DATASET_EXPIRATION, TTL),
            state=JobState.PENDING,
            status="pending",
            target={"dataset_id": DATASET},
            updated_at=datetime(2029, 1, 2, 10, 35, 45, tzinfo=UTC),
            details={"expiry": "2030-12-31T00:00:00+00:00", "display_name": "Expiry rule"},
        )

    def test_2024(self) -> None:
        body = {
            "workorderId": TTL,
            "datasetId": DATASET,
            "imsOrgId": "O@AcmeOrg",
            "status": "executed",
            "history": [{}],
        }
        job = read(dataset_expiration.get_expiration(TTL), body)
        assert (job.id, job.state, job.details) == (TTL, JobState.SUCCEEDED, {})

    def test_no_personal_data(self) -> None:
        assert "stark" not in json.dumps(read(dataset_expiration.get_expiration(TTL), ttl()).summary())

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("pending", JobState.PENDING),
            ("executing", JobState.RUNNING),
            ("completed", JobState.SUCCEEDED),
            ("executed", JobState.SUCCEEDED),
            ("COMPLETED", JobState.SUCCEEDED),
            ("cancelled", JobState.FAILED),
            ("canceled", JobState.FAILED),
            ("paused", JobState.UNKNOWN),
            (None, JobState.UNKNOWN),
        ],
    )
    def test_statuses(self, status: str | None, state: JobState) -> None:
        assert read(dataset_expiration.get_expiration(TTL), ttl(status=status)).state is state

    @pytest.mark.parametrize("body", [None, {}, [], {"message": "ok"}, {"ttlId": ""}])
    def test_what_is_no_expiration(self, body: Any) -> None:
        with pytest.raises(ValueError, match="no ttlId"):
            read(dataset_expiration.get_expiration(TTL), body)


class TestList:
    def test_both_shapes(self) -> None:
        call = dataset_expiration.list_expirations(1, {"status": "pending"})
        assert (call.path, call.params) == ("/ttl", {"status": "pending", "page": "1", "limit": "100"})
        for body in (
            {"results": [ttl()], "current_page": 0, "total_pages": 1, "total_count": 1},
            {"totalRecords": 1, "ttlDetails": [ttl()]},
        ):
            page = read(call, body)
            assert ([job.id for job in page.jobs], page.total) == ([TTL], 1)
        assert read(call, {"results": [], "total_count": None}).total is None

    @pytest.mark.parametrize("body", [None, [], {}, {"results": {}}, {"results": [{}]}])
    def test_what_is_no_list(self, body: Any) -> None:
        with pytest.raises(ValueError, match=r"not a list of expirations|no ttlId"):
            read(dataset_expiration.list_expirations(), body)

    def test_an_unknown_filter(self) -> None:
        with pytest.raises(ValueError, match="cannot be filtered by size"):
            dataset_expiration.list_expirations(0, {"size": "5"})

    def test_walk(self) -> None:
        pages = [
            {"results": [ttl(ttlId=f"SD-{n}") for n in range(start, min(start + 100, 150))], "total_count": 150}
            for start in (0, 100)
        ]
        listing, _ = play(dataset_expiration.list_flow(), *pages)
        assert (len(listing.jobs), listing.complete) == (150, True)


class TestCreateOrMove:
    def run(self, *answers: Any, **options: Any) -> tuple[Any, list[str]]:
        return play(dataset_expiration.create_or_move(DATASET, EXPIRY, "Rule", **options), *answers)

    def test_created(self) -> None:
        job, done = self.run(ttl())
        assert (job.id, done) == (TTL, ["POST /ttl"])

    @pytest.mark.parametrize("status", [400, 409, 422])
    def test_it_exists_already(self, status: int) -> None:
        job, done = self.run(refusal(status), ttl(expiry="2030-12-31T00:00:00.000Z"))
        assert (job.id, done) == (TTL, ["POST /ttl", f"GET /ttl/{DATASET}"])

    def test_it_exists_with_another_expiry(self) -> None:
        job, done = self.run(ALREADY, ttl(expiry="2031-01-01T00:00:00Z"), ttl())
        assert (job.id, done[-1]) == (TTL, f"PUT /ttl/{TTL}")

    def test_a_move_whose_answer_names_no_expiry_is_looked_up(self) -> None:
        _, done = self.run(ALREADY, ttl(expiry="2031-01-01"), ttl(expiry=None), ttl())
        assert done[-2:] == [f"PUT /ttl/{TTL}", f"GET /ttl/{TTL}"]

    def test_an_executing_one_with_the_same_expiry_is_adopted(self) -> None:
        job, _ = self.run(ALREADY, ttl(status="executing"))
        assert job.state is JobState.RUNNING

    def test_an_executing_one_cannot_be_moved(self) -> None:
        with pytest.raises(AdobeAPIError, match="it is executing, and only a pending one can be moved"):
            self.run(ALREADY, ttl(status="executing", expiry="2029-01-01"))

    @pytest.mark.parametrize("existing", [refusal(404), ttl(status="cancelled"), ttl(status="completed")])
    def test_refused_for_another_reason(self, existing: Any) -> None:
        with pytest.raises(AdobeAPIError, match="Not completed") as caught:
            self.run(ALREADY, existing)
        assert caught.value.status == 400

    def test_a_lost_answer(self) -> None:
        job, done = self.run(LOST, ttl())
        assert (job.id, done) == (TTL, ["POST /ttl", f"GET /ttl/{DATASET}"])

    @pytest.mark.parametrize("existing", [refusal(404), ttl(expiry="2031-01-01"), ttl(status="cancelled")])
    def test_a_lost_request(self, existing: Any) -> None:
        with pytest.raises(AmbiguousOutcomeError):
            self.run(LOST, existing)

    @pytest.mark.parametrize("status", [404, 405])
    def test_put_by_dataset_only_where_allowed(self, status: int) -> None:
        with pytest.raises(AdobeAPIError):
            self.run(refusal(status))
        job, done = self.run(refusal(status), ttl(), put_by_dataset=True)
        assert (job.id, done[-1]) == (TTL, f"PUT /ttl/{DATASET}")

    @pytest.mark.parametrize("status", [401, 403, 429, 500])
    def test_other_refusals(self, status: int) -> None:
        with pytest.raises(AdobeAPIError):
            self.run(refusal(status), put_by_dataset=True)

    @pytest.mark.parametrize("answer", [ttl(datasetId="another"), ttl(expiry="2029-12-31T00:00:00Z")])
    def test_something_else_was_set(self, answer: dict[str, Any]) -> None:
        with pytest.raises(WrongTargetError, match="Look at that expiration at once") as caught:
            self.run(answer)
        assert caught.value.job_id == TTL

    def test_an_answer_with_little_in_it(self) -> None:
        job, _ = self.run({"ttlId": TTL})
        assert job.id == TTL


class TestCancel:
    def run(self, *answers: Any) -> tuple[Any, list[str]]:
        return play(dataset_expiration.cancel(DATASET), *answers)

    CANCELLED = ttl(status="cancelled")

    @pytest.mark.parametrize("answer", [None, CANCELLED, {"message": "cancelled"}])
    @pytest.mark.parametrize("status", ["cancelled", "canceled", "CANCELLED"])
    def test_pending(self, answer: Any, status: str) -> None:
        job, done = self.run(ttl(), answer, ttl(status=status))
        assert job.state is JobState.FAILED
        assert done == [f"GET /ttl/{DATASET}", f"DELETE /ttl/{TTL}", f"GET /ttl/{TTL}"]

    def test_cancelled_already(self) -> None:
        job, done = self.run(self.CANCELLED)
        assert (job.id, done) == (TTL, [f"GET /ttl/{DATASET}"])

    def test_none(self) -> None:
        with pytest.raises(AdobeNotFoundError):
            self.run(refusal(404))

    @pytest.mark.parametrize("status", [400, 404])
    def test_not_pending_any_more(self, status: int) -> None:
        with pytest.raises(AdobeAPIError, match="its status was executing") as caught:
            self.run(ttl(status="executing"), refusal(status), ttl(status="executing"))
        assert caught.value.status == status

    @pytest.mark.parametrize("status", [400, 404])
    def test_a_repeated_cancellation(self, status: int) -> None:
        job, _ = self.run(ttl(), refusal(status), self.CANCELLED)
        assert job.id == TTL

    def test_other_refusals(self) -> None:
        with pytest.raises(AdobeAPIError, match="HTTP 403"):
            self.run(ttl(), refusal(403))

    def test_it_shows_late(self) -> None:
        job, done = self.run(ttl(), None, ttl(), ttl(), self.CANCELLED)
        assert job.id == TTL
        assert done.count("pause") == 2

    def test_it_never_shows(self) -> None:
        with pytest.raises(AdobeProtocolError, match="does not show as cancelled"):
            self.run(ttl(), None, *[ttl()] * 4)

    def test_gone_afterwards(self) -> None:
        job, _ = self.run(ttl(), self.CANCELLED, refusal(404))
        assert job.id == TTL
        with pytest.raises(AdobeProtocolError):
            self.run(ttl(), None, refusal(404))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    if not DOCUMENT.exists():
        pytest.skip(f"Adobe's OpenAPI document is not at {DOCUMENT}")
    loaded = yaml.safe_load(DOCUMENT.read_text())
    assert isinstance(loaded, dict)
    return loaded


class TestContract:
    """Against Adobe's OpenAPI document, whose ``format: date`` for the expiry is narrower than its own words."""

    def check(self, document: dict[str, Any], schema: str, value: Any) -> None:
        strict = {**document["components"]["schemas"][schema], "additionalProperties": False}
        jsonschema.validate(value, strict)

    def test_create(self, document: dict[str, Any]) -> None:
        body = dataset_expiration.create_expiration(DATASET, EXPIRY, "Rule", "Why").body
        self.check(document, "CreateTTLRequest", body)

    def test_update(self, document: dict[str, Any]) -> None:
        body = dataset_expiration.update_expiration(TTL, expiry=EXPIRY, display_name="Rule", description="Why").body
        self.check(document, "UpdateTTLRequest", body)

    @pytest.mark.parametrize(
        ("path", "method", "status"),
        [
            ("/ttl", "post", "201"),
            ("/ttl/{ID}", "get", "200"),
            ("/ttl/{ID}", "put", "200"),
            ("/ttl/{ID}", "delete", "200"),
        ],
    )
    def test_every_example_answer_is_understood(
        self, document: dict[str, Any], path: str, method: str, status: str
    ) -> None:
        response = document["paths"][path][method]["responses"][status]
        # YAML makes times of what JSON has as text.
        example = json.loads(
            json.dumps(response["content"]["application/json"]["examples"], default=datetime.isoformat)
        )
        job = read(dataset_expiration.get_expiration(TTL), example["default"]["value"])
        assert job.state is not JobState.UNKNOWN
        assert {"dataset_id"} == set(job.target)
        assert {"expiry", "display_name"} == set(job.details)

    def test_the_example_list(self, document: dict[str, Any]) -> None:
        content = document["paths"]["/ttl"]["get"]["responses"]["200"]["content"]["application/json"]
        page = read(dataset_expiration.list_expirations(), content["examples"]["default"]["value"])
        assert (len(page.jobs), page.total) == (2, 2)

    def test_the_filters(self, document: dict[str, Any]) -> None:
        parameters = document["components"]["parameters"]
        references = [entry["$ref"].rsplit("/", 1)[-1] for entry in document["paths"]["/ttl"]["get"]["parameters"]]
        names = [parameters[name]["name"] for name in references if parameters[name]["in"] == "query"]
        filters = {name: "x" for name in names if name not in ("page", "limit")}
        assert set(dataset_expiration.list_expirations(0, filters).params) == set(names)
