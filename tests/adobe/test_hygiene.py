"""Work orders, quotas and the alpha jobs: what is asked, how answers are read, and what is taken for ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airflow_provider_adobe_deletion.adobe import hygiene, hygiene_jobs
from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Reply, Service
from airflow_provider_adobe_deletion.adobe.errors import AdobeAPIError, AdobeError, AdobeProtocolError, api_error
from airflow_provider_adobe_deletion.adobe.hygiene import Allowance, Quota, WorkOrderRequest
from airflow_provider_adobe_deletion.adobe.identities import Chunk
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState

DOCUMENT = Path(__file__).parents[3] / "shared" / "openapi" / "data-hygiene.yaml"
DATASET = "c48b51623ec641a2949d339bad69cb15"
EMAILS = ["poul.anderson@example.com", "cordwainer.smith@gmail.com", "cyril.kornbluth@yahoo.com"]
PROFILE_ONLY = ["identity", "profile", "ajo"]
CHUNK = Chunk(0, {"email": EMAILS})
NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)

FIRST = {
    "workorderId": "a15345b8-a2d6-4d6f-b33c-5b593e86439a",
    "orgId": "{ORG_ID}",
    "batchId": "fc0cf8af-a176-4107-a31a-381d6af38cbe",
    "bundleOrdinal": 1,
    "payloadByteSize": 362,
    "operationCount": 3,
    "createdAt": 1652122493242,
    "responseMessage": "received",
    "status": "received",
    "createdBy": "{USER_ID}",
}
NEWEST = {
    "workorderId": "DI-95c40d52-6229-44e8-881b-fc7f072de63d",
    "orgId": "8B1F2AC143214567890ABCDE@AcmeOrg",
    "bundleId": "BN-c61bec61-5ce8-498f-a538-fb84b094adc6",
    "action": "identity-delete",
    "createdAt": "2035-06-02T09:21:00.000Z",
    "updatedAt": "2035-06-02T09:21:05.000Z",
    "operationCount": 1,
    "targetServices": ["profile", "datalake", "identity", "ajo"],
    "status": "submitted",
    "createdBy": "c.lannister@acme.com <c.lannister@acme.com> 7EAB61F3E5C34810A49A1AB3@acme.com",
    "datasetId": "7eab61f3e5c34810a49a1ab3",
    "datasetName": "Acme_Loyalty_2023",
    "displayName": "Loyalty Identity Delete Request",
    "description": "Delete c.lannister@acme.com",
    "productStatusDetails": [
        {"productName": "Data Management", "productStatus": "success", "createdAt": "2022-08-08T16:51:31.535872Z"},
        {"productName": "Identity Service", "productStatus": "success"},
        {"productName": "Profile Service", "productStatus": "waiting"},
    ],
}


def request(dataset_id: str | Sequence[str] = DATASET, **options: Any) -> WorkOrderRequest:
    return WorkOrderRequest(dataset_id, options.pop("display_name", "Nightly"), **options)


def order(number: int, **members: Any) -> dict[str, Any]:
    return {
        "workorderId": f"DI-{number}",
        "createdAt": NOW.isoformat(),
        "status": "received",
        "displayName": f"Order {number}",
        "datasetId": DATASET,
        **members,
    }


def read(call: Call[Any], body: Any, status: int = 200) -> Any:
    return call.read(Reply(status, body))


def refusal(status: int, body: Any = None) -> AdobeAPIError:
    return api_error("do it", status, body, {})


def play(flow: Flow[Any], *answers: Any) -> tuple[Any, list[Call[Any]]]:
    """Run a flow with these answers, bodies or errors, and return its result and what it asked."""
    asked: list[Call[Any]] = []
    remaining = list(answers)
    try:
        step = next(flow)
        while True:
            assert isinstance(step, Call)
            asked.append(step)
            answer = remaining.pop(0)
            step = flow.throw(answer) if isinstance(answer, AdobeError) else flow.send(read(step, answer))
    except StopIteration as end:
        assert not remaining
        return end.value, asked


class TestDataset:
    @pytest.mark.parametrize(
        ("dataset_id", "options", "sent"),
        [
            (DATASET, {}, DATASET),
            ([DATASET], {}, DATASET),
            (["a1", "b2"], {}, "a1,b2"),
            (("a1", "b2"), {"namespaces": ["email", "phone"]}, "a1,b2"),
            ("ALL", {"allow_all_datasets": True}, "ALL"),
            (["ALL"], {"allow_all_datasets": True, "namespaces": ["email", "phone"]}, "ALL"),
            ("ALL", {"allow_all_datasets": True, "target_services": ["ajo", "identity", "profile"]}, "ALL"),
            ("ALL", {"allow_all_datasets": True, "target_services": ["datalake"]}, "ALL"),
            (DATASET, {"target_services": ["datalake"], "namespaces": {"email": 3}}, DATASET),
        ],
    )
    def test_right(self, dataset_id: Any, options: dict[str, Any], sent: str) -> None:
        assert hygiene.check_dataset(dataset_id, **options) == sent

    @pytest.mark.parametrize(
        ("dataset_id", "options", "message"),
        [
            ("ALL", {}, "Set allow_all_datasets=True"),
            (["ALL"], {}, "Set allow_all_datasets=True"),
            ("all", {"allow_all_datasets": True}, "write ALL in capitals"),
            (["All", DATASET], {"allow_all_datasets": True}, "write ALL in capitals"),
            (["ALL", DATASET], {"allow_all_datasets": True}, "ALL cannot be mixed"),
            (DATASET, {"target_services": PROFILE_ONLY}, "go only with dataset_id='ALL'"),
            ([DATASET, "b2"], {"target_services": PROFILE_ONLY}, "go only with dataset_id='ALL'"),
            (DATASET, {"namespaces": ["email", "phone", "email"]}, r"have 2 namespaces \(email, phone\)"),
            ([DATASET], {"namespaces": ["email", "phone"]}, "a single dataset takes only that of its primary identity"),
            ([DATASET, DATASET], {}, "names a dataset twice"),
            ([], {}, "dataset_id is empty"),
            ("", {}, "dataset_id is empty"),
            ("a1,b2", {}, "dataset_id is not an id"),
            ("../quota", {}, "dataset_id is not an id"),
            (DATASET, {"target_services": ["profile"]}, "Adobe takes no other combination"),
            (DATASET, {"target_services": []}, "Adobe takes no other combination"),
            (DATASET, {"target_services": ["datalake", "datalake"]}, "Adobe takes no other combination"),
            (DATASET, {"target_services": ["datalake", *PROFILE_ONLY]}, "Adobe takes no other combination"),
        ],
    )
    def test_wrong(self, dataset_id: Any, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            hygiene.check_dataset(dataset_id, **options)

    @pytest.mark.parametrize(
        ("dataset_id", "options"),
        [(None, {}), ({"a1"}, {}), ([1], {}), (DATASET, {"target_services": "datalake"})],
    )
    def test_wrong_types(self, dataset_id: Any, options: dict[str, Any]) -> None:
        with pytest.raises(TypeError):
            hygiene.check_dataset(dataset_id, **options)


class TestCreate:
    def test_the_request(self) -> None:
        call = hygiene.create_work_order(request(), CHUNK)
        assert (call.service, call.method, call.path) == (Service.HYGIENE, "POST", "/workorder")
        assert not call.repeatable
        assert call.purpose == "create a work order for 3 identities"
        assert list(call.confidential) == EMAILS
        assert json.loads(call.body) == {
            "action": "delete_identity",
            "datasetId": DATASET,
            "displayName": "Nightly",
            "identities": [{"namespace": {"code": "email"}, "id": value} for value in EMAILS],
        }

    def test_all_members(self) -> None:
        asked = request(
            "ALL",
            allow_all_datasets=True,
            display_name='Clean-up "ü"',
            description="line one\nline two",
            target_services=("ajo", "profile", "identity"),
            payload_format="namespaces-ids",
        )
        assert json.loads(asked.body(Chunk(0, {"phone": ["1"], "email": ["a", "b"]}))) == {
            "action": "delete_identity",
            "datasetId": "ALL",
            "displayName": 'Clean-up "ü"',
            "description": "line one\nline two",
            "targetServices": PROFILE_ONLY,
            "namespacesIdentities": [
                {"namespace": {"code": "email"}, "ids": ["a", "b"]},
                {"namespace": {"code": "phone"}, "ids": ["1"]},
            ],
        }

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"display_name": ""}, "display_name is empty"),
            ({"display_name": "  "}, "display_name is empty"),
            ({"display_name": "x" * 256}, "display_name has 256 characters; Adobe takes at most 255"),
            ({"display_name": "a\nb"}, "display_name has a control character"),
            ({"description": "x" * 1001}, "description has 1,001 characters; Adobe takes at most 1,000"),
            ({"description": "a\x00b"}, "description has a control character"),
            ({"payload_format": "namespaces"}, "payload_format must be one of"),
            ({"dataset_id": "ALL"}, "Set allow_all_datasets=True"),
        ],
    )
    def test_wrong(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            request(**options)

    @pytest.mark.parametrize(
        ("identities", "message"),
        [
            ({}, "takes 1 to 100,000 identities, not 0"),
            ({"email": ["x"] * 100_001}, "takes 1 to 100,000 identities, not 100,001"),
            ({"email": ["a"], "phone": ["1"]}, "a single dataset takes only"),
        ],
    )
    def test_wrong_chunks(self, identities: Mapping[str, Sequence[str]], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            hygiene.create_work_order(request(), Chunk(0, identities))

    def test_an_error_that_echoes_identities(self) -> None:
        call = hygiene.create_work_order(request(), CHUNK)
        body = {"error_code": "400001", "message": f"Bad identity {EMAILS[1]} and {EMAILS[2]}"}
        error = api_error(call.purpose, 400, body, {}, confidential=call.confidential)
        assert str(error) == (
            "Adobe refused to create a work order for 3 identities: Bad identity [redacted] and [redacted] "
            "(HTTP 400, code 400001)."
        )

    @pytest.mark.parametrize(
        "body", [None, {}, {"status": "received"}, {"workorderId": ""}, [], "x", {"message": "ok"}]
    )
    def test_an_answer_without_an_id_is_no_work_order(self, body: Any) -> None:
        with pytest.raises(ValueError, match="no workorderId"):
            read(hygiene.create_work_order(request(), CHUNK), body)


class TestAnswers:
    def test_first_generation(self) -> None:
        assert read(hygiene.get_work_order("a1"), FIRST) == DeletionJob(
            ref=JobRef(JobKind.WORK_ORDER, "a15345b8-a2d6-4d6f-b33c-5b593e86439a"),
            state=JobState.PENDING,
            status="received",
            target={"bundle_id": "fc0cf8af-a176-4107-a31a-381d6af38cbe"},
            created_at=datetime(2022, 5, 9, 18, 54, 53, 242000, UTC),
            details={"operation_count": 3, "has_response_message": True},
        )

    def test_newest_generation(self) -> None:
        assert read(hygiene.get_work_order("a1"), NEWEST) == DeletionJob(
            ref=JobRef(JobKind.WORK_ORDER, "DI-95c40d52-6229-44e8-881b-fc7f072de63d"),
            state=JobState.RUNNING,
            status="submitted",
            target={
                "dataset_id": "7eab61f3e5c34810a49a1ab3",
                "bundle_id": "BN-c61bec61-5ce8-498f-a538-fb84b094adc6",
            },
            created_at=datetime(2035, 6, 2, 9, 21, tzinfo=UTC),
            updated_at=datetime(2035, 6, 2, 9, 21, 5, tzinfo=UTC),
            details={
                "operation_count": 1,
                "products": {"Data Management": "success", "Identity Service": "success", "Profile Service": "waiting"},
                "display_name": "Loyalty Identity Delete Request",
            },
        )

    @pytest.mark.parametrize("body", [FIRST | {"responseMessage": f'{{"error": "{EMAILS[0]}"}}'}, NEWEST])
    def test_no_personal_data(self, body: dict[str, Any]) -> None:
        text = json.dumps(read(hygiene.get_work_order("a1"), body).summary())
        assert "@" not in text
        assert "USER_ID" not in text

    @pytest.mark.parametrize(
        "members",
        [
            {"operationCount": None},
            {"operationCount": "3"},
            {"operationCount": True},
            {"productStatusDetails": "none"},
            {"productStatusDetails": [None, {}, {"productName": 1, "productStatus": "x"}, {"productName": "A"}]},
            {"createdAt": "soon"},
            {"status": None},
            {"somethingNew": {"a": 1}},
        ],
    )
    def test_odd_members_do_no_harm(self, members: dict[str, Any]) -> None:
        job = read(hygiene.get_work_order("a1"), {"workorderId": "DI-1", "status": "failed", **members})
        assert (job.id, job.details) == ("DI-1", {})

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("received", JobState.PENDING),
            ("validated", JobState.PENDING),
            ("submitted", JobState.RUNNING),
            ("ingested", JobState.RUNNING),
            ("in-progress", JobState.RUNNING),
            ("IN_PROGRESS", JobState.RUNNING),
            ("Processing", JobState.RUNNING),
            ("completed", JobState.SUCCEEDED),
            ("COMPLETED", JobState.SUCCEEDED),
            ("failed", JobState.FAILED),
            ("validation-failed", JobState.FAILED),
            ("rejected", JobState.FAILED),
            ("cancelled", JobState.FAILED),
            ("success", JobState.UNKNOWN),
            ("queued", JobState.UNKNOWN),
            ("", JobState.UNKNOWN),
        ],
    )
    def test_statuses(self, status: str, state: JobState) -> None:
        job = read(hygiene.get_work_order("a1"), {"workorderId": "DI-1", "status": status})
        assert (job.state, job.status) == (state, status)

    def test_a_failed_product_does_not_end_the_order(self) -> None:
        products = [{"productName": "Profile Service", "productStatus": "failure"}]
        job = read(hygiene.get_work_order("a1"), order(1, status="submitted", productStatusDetails=products))
        assert job.state is JobState.RUNNING
        assert job.details["products"] == {"Profile Service": "failure"}

    def test_look_up_path(self) -> None:
        call = hygiene.get_work_order("DI-95c4:x")
        assert (call.method, call.path) == ("GET", "/workorder/DI-95c4%3Ax")
        with pytest.raises(ValueError, match="workorder_id is not an id"):
            hygiene.get_work_order("../quota")


class TestMarker:
    def test_behind_the_name(self) -> None:
        name = hygiene.display_name_with_marker("Nightly clean-up", "adp-1a2b3c")
        assert name == "Nightly clean-up [adp-1a2b3c]"
        assert hygiene.has_marker(name, "adp-1a2b3c")
        assert not hygiene.has_marker(name, "1a2b3c")
        assert not hygiene.has_marker(name + "x", "adp-1a2b3c")
        assert not hygiene.has_marker(None, "adp-1a2b3c")

    def test_a_long_name_is_cut_and_the_marker_is_not(self) -> None:
        name = hygiene.display_name_with_marker("x" * 300, "m" * 64)
        assert len(name) == 255
        assert name.endswith(f"x [{'m' * 64}]")
        assert hygiene.display_name_with_marker("", "adp-1") == "[adp-1]"

    @pytest.mark.parametrize("marker", ["", "abc", "x" * 65, "a b c d", "jane@example", "adp]x[y"])
    def test_wrong_markers(self, marker: str) -> None:
        with pytest.raises(ValueError, match="A marker must be"):
            hygiene.display_name_with_marker("x", marker)


def page(numbers: Sequence[int], total: int | None = None, **more: Any) -> dict[str, Any]:
    links = {"next": {"href": "https://platform.adobe.io/workorder?page=1&limit=50", "templated": False}}
    counts = {} if total is None else {"total": total, "count": len(numbers)}
    return {"results": [order(number) for number in numbers], "_links": links, **counts, **more}


class TestList:
    def test_a_page(self) -> None:
        call = hygiene.list_work_orders(2, {"status": "failed"})
        assert (call.method, call.path) == ("GET", "/workorder")
        assert call.params == {"status": "failed", "page": "2", "limit": "100"}
        result = read(call, page([1, 2], total=2))
        assert ([job.id for job in result.jobs], result.total) == (["DI-1", "DI-2"], 2)

    @pytest.mark.parametrize(
        ("filters", "message"),
        [
            ({"fromDate": "2024-01-01"}, "fromDate and toDate go together"),
            ({"limit": "500"}, "cannot be filtered by limit"),
            ({"datasetId": "x"}, "cannot be filtered by datasetId"),
        ],
    )
    def test_wrong_filters(self, filters: dict[str, str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            hygiene.list_work_orders(0, filters)

    @pytest.mark.parametrize("body", [None, [], {}, {"results": None}, {"results": [{"status": "received"}]}])
    def test_what_is_no_list(self, body: Any) -> None:
        with pytest.raises(ValueError, match=r"not a list of work orders|no workorderId"):
            read(hygiene.list_work_orders(), body)

    @pytest.mark.parametrize(
        ("pages", "count", "complete"),
        [
            # The link to the next page is always there; it says nothing.
            ([page(range(2), 2)], 2, True),
            ([page([], 0)], 0, True),
            ([page([])], 0, True),
            ([page(range(3))], 3, True),
            ([page(range(100), 150), page(range(100, 150), 150)], 150, True),
            ([page(range(100)), page(range(100, 101))], 101, True),
            ([page(range(100)), page([])], 100, True),
            # A server that hands out 50 although 100 were asked for.
            ([page(range(50), 120), page(range(50, 100), 120), page(range(100, 120), 120)], 120, True),
            # The server ignores the page, and says no total.
            ([page(range(100)), page(range(100))], 100, False),
        ],
    )
    def test_walk(self, pages: list[Any], count: int, complete: bool) -> None:
        result, asked = play(hygiene.list_flow({"status": "received"}), *pages)
        assert (len(result.jobs), result.complete) == (count, complete)
        assert [call.params["page"] for call in asked] == [str(number) for number in range(len(pages))]
        assert {call.params["limit"] for call in asked} == {"100"}
        assert {call.path for call in asked} == {"/workorder"}

    @pytest.mark.parametrize(
        ("again", "count", "complete"),
        [
            # It is on the first page now.
            (page([500, *range(99)], 102), 102, True),
            # The total is not reached whatever is read.
            (page(range(100), 102), 101, False),
        ],
    )
    def test_an_order_that_came_in_meanwhile_is_looked_for(self, again: Any, count: int, complete: bool) -> None:
        """It pushes another one to the next page; where many are created at once, this is how all lists are read."""
        pages = [page(range(100), 101), page([99, 100], 102), page([], 102), again]
        result, asked = play(hygiene.list_flow(), *pages)
        assert (len(result.jobs), result.complete) == (count, complete)
        assert [call.params["page"] for call in asked] == ["0", "1", "2", "0"]

    def test_a_server_that_ignores_the_page(self) -> None:
        result, asked = play(hygiene.list_flow(), *[page(range(100), 150)] * 3)
        assert (len(result.jobs), result.complete, len(asked)) == (100, False, 3)

    def test_the_walk_is_bounded(self) -> None:
        pages = [page(range(n * 100, n * 100 + 100), 10_000) for n in range(3)]
        result, _ = play(hygiene.list_flow(max_pages=3), *pages)
        assert (len(result.jobs), result.complete) == (300, False)


class TestFind:
    NAME = "Nightly [adp-1a2b3c]"

    def find(self, *answers: Any, dataset_id: str = DATASET, **options: Any) -> tuple[Any, list[Call[Any]]]:
        return play(hygiene.find(self.NAME, dataset_id=dataset_id, since=NOW, now=NOW, **options), *answers)

    def listed(self, *orders: dict[str, Any], total: int | None = None) -> dict[str, Any]:
        return {"results": list(orders), "total": len(orders) if total is None else total}

    def test_by_name(self) -> None:
        search, asked = self.find(self.listed(order(1, displayName=self.NAME)), sandbox_name="dev")
        assert ([job.id for job in search.jobs], search.trusted) == (["DI-1"], True)
        assert asked[0].params == {"displayName": self.NAME, "sandboxName": "dev", "page": "0", "limit": "100"}

    @pytest.mark.parametrize(
        "other",
        [
            {"displayName": "Nightly [adp-1a2b3d]"},
            {"displayName": "Nightly [adp-1a2b3c] again"},
            {"displayName": "Nightly"},
            {"datasetId": "another"},
            {"datasetId": "ALL"},
            {"createdAt": (NOW - timedelta(minutes=6)).isoformat()},
        ],
    )
    def test_only_an_equal_one_counts(self, other: dict[str, Any]) -> None:
        listed = self.listed(order(1, **{"displayName": self.NAME, **other}))
        search, asked = self.find(listed, listed)
        assert (search.jobs, search.trusted) == ((), True)
        assert asked[1].params == {"fromDate": "2024-06-14", "toDate": "2024-06-16", "page": "0", "limit": "100"}

    @pytest.mark.parametrize(
        "same",
        [
            {"createdAt": (NOW - timedelta(minutes=4)).isoformat()},
            {"createdAt": None},
            {"displayName": f" {NAME} "},
            {"displayName": "By another name, the marker is the same [adp-1a2b3c]"},
            {"datasetId": None},
            {"datasetId": "b2, a1"},
        ],
    )
    def test_what_counts_as_equal(self, same: dict[str, Any]) -> None:
        listed = self.listed(order(1, **{"displayName": self.NAME, "datasetId": "a1,b2", **same}))
        search, _ = self.find(listed, dataset_id="a1,b2")
        assert [job.id for job in search.jobs] == ["DI-1"]

    def test_all_matches_are_returned(self) -> None:
        search, _ = self.find(self.listed(*(order(n, displayName=self.NAME) for n in (1, 2))))
        assert [job.id for job in search.jobs] == ["DI-1", "DI-2"]

    def test_a_refused_name_filter_leads_to_the_dates(self) -> None:
        search, _ = self.find(refusal(400), self.listed(order(1), order(2, displayName=self.NAME)))
        assert ([job.id for job in search.jobs], search.trusted) == (["DI-2"], True)

    def test_a_name_filter_that_misses(self) -> None:
        search, _ = self.find(self.listed(), self.listed(order(2, displayName=self.NAME)))
        assert [job.id for job in search.jobs] == ["DI-2"]

    @pytest.mark.parametrize(
        ("answers", "trusted"),
        [
            ([{"results": [], "total": 0}, {"results": [], "total": 0}], True),
            ([refusal(400), {"results": [], "total": 0}], True),
            ([{"results": [], "total": 0}, refusal(400)], False),
            ([refusal(400), refusal(400)], False),
            ([refusal(400), {"results": [], "total": 7}], False),
            ([{"results": [FIRST | {"createdAt": 1718452800000}], "total": 1}] * 2, False),
            ([{"results": [FIRST], "total": 1}] * 2, True),
        ],
    )
    def test_whether_finding_none_can_be_trusted(self, answers: list[Any], trusted: bool) -> None:
        search, _ = self.find(*answers)
        assert (search.jobs, search.trusted) == ((), trusted)

    @pytest.mark.parametrize("status", [403, 429, 500])
    def test_a_failed_search_is_an_error(self, status: int) -> None:
        with pytest.raises(AdobeAPIError):
            self.find(refusal(status))


class TestRename:
    def test_the_newer_member(self) -> None:
        job, asked = play(hygiene.rename("DI-1", "New", "Why"), order(1, displayName="New"))
        assert job.id == "DI-1"
        call = asked[0]
        assert (call.method, call.path, call.repeatable) == ("PUT", "/workorder/DI-1", True)
        assert call.body == {"name": "New", "description": "Why"}

    @pytest.mark.parametrize("first", [order(1, displayName="Old"), refusal(400)])
    def test_the_older_member(self, first: Any) -> None:
        _, asked = play(hygiene.rename("DI-1", "New"), first, order(1, displayName="New"))
        assert [call.body for call in asked] == [{"name": "New"}, {"displayName": "New"}]

    def test_an_answer_without_a_name_is_looked_up(self) -> None:
        _, asked = play(hygiene.rename("DI-1", "New"), FIRST, order(1, displayName="New"))
        assert [call.method for call in asked] == ["PUT", "GET"]

    def test_neither_helps(self) -> None:
        with pytest.raises(AdobeProtocolError, match="still shows the former one"):
            play(hygiene.rename("DI-1", "New"), order(1), order(1))

    def test_refused(self) -> None:
        with pytest.raises(AdobeAPIError):
            play(hygiene.rename("DI-1", "New"), refusal(404))
        with pytest.raises(AdobeAPIError):
            play(hygiene.rename("DI-1", "New"), refusal(400), refusal(400))
        with pytest.raises(ValueError, match="display_name is empty"):
            play(hygiene.rename("DI-1", ""))


class TestQuota:
    def quotas(self, *entries: Any) -> Quota:
        result = read(hygiene.quota(), {"quotas": list(entries)})
        assert isinstance(result, Quota)
        return result

    def test_the_request(self) -> None:
        call = hygiene.quota()
        assert (call.method, call.path, call.params) == ("GET", "/quota", {})

    @pytest.mark.parametrize(
        ("expirations", "daily", "monthly"),
        [
            (
                "datasetExpirationQuota",
                "dailyConsumerDeleteIdentitiesQuota",
                "monthlyConsumerDeleteIdentitiesQuota",
            ),
            ("expirationDatasetQuota", "dailyConsumerDeleteIdentitiesQuota", "deleteIdentityWorkOrderDatasetQuota"),
            ("EXPIRATION_DATASET", "IDENTITY_DELETE_DAILY", "IDENTITY_DELETE_MONTHLY"),
        ],
    )
    def test_all_names(self, expirations: str, daily: str, monthly: str) -> None:
        quota = self.quotas(
            {"name": expirations, "description": "…", "consumed": 11, "quota": 75},
            {"name": daily, "consumed": 314, "quota": 700_000},
            {"name": monthly, "consumed": 2764, "quota": 12_000_000},
            {"name": "monthlyUpdatedFieldIdentitiesQuota", "consumed": 0, "quota": 0},
        )
        assert quota == Quota(Allowance(314, 700_000), Allowance(2764, 12_000_000), Allowance(11, 75))
        assert (quota.left_today, quota.left_this_month, quota.left_now) == (699_686, 11_997_236, 699_686)
        assert quota.expirations.left == 64

    @pytest.mark.parametrize(
        "entry",
        [
            {"consumed": None, "quota": 10},
            {"consumed": 1, "quota": None},
            {"consumed": 1},
            {"quota": 1},
            {"consumed": "1", "quota": 10},
            {"consumed": 1, "quota": "10"},
            {"consumed": 1.5, "quota": 10},
            {"consumed": True, "quota": 10},
            {"consumed": 0, "quota": -1},
        ],
    )
    def test_what_is_not_a_number_is_unknown(self, entry: dict[str, Any]) -> None:
        quota = self.quotas({"name": "dailyConsumerDeleteIdentitiesQuota", **entry})
        assert quota.left_today is None
        assert quota.left_now is None

    def test_what_is_missing_is_unknown(self) -> None:
        assert self.quotas() == Quota()
        quota = self.quotas(None, {"name": None}, {"name": "IDENTITY_DELETE_MONTHLY", "consumed": 5, "quota": 9})
        assert (quota.left_today, quota.left_this_month, quota.left_now) == (None, 4, 4)

    def test_more_than_the_quota_leaves_nothing(self) -> None:
        assert Allowance(11, 10).left == 0

    @pytest.mark.parametrize("body", [None, [], {}, {"quotas": None}])
    def test_what_is_no_answer(self, body: Any) -> None:
        with pytest.raises(ValueError, match="no quotas"):
            read(hygiene.quota(), body)

    @pytest.mark.parametrize(
        ("now", "daily", "monthly"),
        [
            ("2024-06-15T12:00:00+00:00", "2024-06-16", "2024-07-01"),
            ("2024-06-15T00:00:00+00:00", "2024-06-16", "2024-07-01"),
            ("2024-06-30T23:59:59+00:00", "2024-07-01", "2024-07-01"),
            ("2024-12-31T23:00:00+00:00", "2025-01-01", "2025-01-01"),
            ("2024-01-31T12:00:00+00:00", "2024-02-01", "2024-02-01"),
            ("2024-02-01T00:00:00+00:00", "2024-02-02", "2024-03-01"),
            ("2024-07-01T01:00:00+02:00", "2024-07-01", "2024-07-01"),
            ("2024-06-30T23:00:00-05:00", "2024-07-02", "2024-08-01"),
        ],
    )
    def test_resets(self, now: str, daily: str, monthly: str) -> None:
        moment = datetime.fromisoformat(now)
        assert hygiene.next_daily_reset(moment) == datetime.fromisoformat(daily).replace(tzinfo=UTC)
        assert hygiene.next_monthly_reset(moment) == datetime.fromisoformat(monthly).replace(tzinfo=UTC)


USERS: list[dict[str, Any]] = [
    {
        "key": "John Doe",
        "action": ["delete"],
        "userIDs": [
            {"namespace": "email", "value": "johnd@example.com", "type": "standard"},
            {"namespace": "ECID", "value": "9cbefef1-dd44-4411-87db-2d387bf882bc", "type": "standard"},
        ],
    },
    {"key": "Jane Doe", "userIDs": [{"namespace": "Loyalty ID", "value": "30583967185734", "type": "custom"}]},
]
RECEIPT = {
    "requestId": "16318094870430026RX-334",
    "totalRecords": 2,
    "jobs": [
        {"jobId": "8ddc8e73-cecc-4be3-ae44-cdba127f7c70", "customer": {"user": {"key": "Jane Doe", "userIDs": []}}},
        {"jobId": "c9b5fd82-db14-4c27-8bec-64a06e1fbda4", "customer": {"user": {"key": "John Doe", "userIDs": []}}},
    ],
}


class TestAlphaJobs:
    ORG = "8B1F2AC143214567890ABCDE@AcmeOrg"

    def test_the_request(self) -> None:
        call = hygiene_jobs.create_jobs(self.ORG, USERS)
        assert (call.service, call.method, call.path, call.repeatable) == (Service.HYGIENE, "POST", "/jobs", False)
        assert call.body == {
            "companyContexts": [{"namespace": "imsOrgID", "value": self.ORG}],
            "users": [USERS[0], {"key": "Jane Doe", "action": ["delete"], "userIDs": USERS[1]["userIDs"]}],
        }
        assert call.purpose == "create delete jobs for 2 users"
        assert {"johnd@example.com", "30583967185734", "John Doe"} <= set(call.confidential)

    def test_jobs_are_matched_by_key(self) -> None:
        assert read(hygiene_jobs.create_jobs(self.ORG, USERS), RECEIPT) == hygiene_jobs.DeleteReceipt(
            "16318094870430026RX-334",
            {"John Doe": "c9b5fd82-db14-4c27-8bec-64a06e1fbda4", "Jane Doe": "8ddc8e73-cecc-4be3-ae44-cdba127f7c70"},
        )

    @pytest.mark.parametrize(
        "body",
        [
            None,
            {},
            RECEIPT | {"requestId": ""},
            RECEIPT | {"jobs": RECEIPT["jobs"][:1]},  # type: ignore[index]
            RECEIPT | {"jobs": [{"jobId": "1"}]},
            RECEIPT | {"jobs": None},
        ],
    )
    def test_other_answers(self, body: Any) -> None:
        with pytest.raises((ValueError, TypeError, LookupError)):
            read(hygiene_jobs.create_jobs(self.ORG, USERS), body)

    @pytest.mark.parametrize(
        ("user", "message"),
        [
            ({"key": ""}, "users, number 2: the key is missing"),
            ({"key": None}, "users, number 2: the key is not text"),
            ({"key": "John Doe"}, "users: two have the same key"),
            ({"action": ["access"]}, r"the action must be \['delete'\]"),
            ({"action": "delete"}, r"the action must be \['delete'\]"),
            ({"userIDs": []}, "userIDs must be 1 to 9 ids, not 0"),
            ({"userIDs": USERS[1]["userIDs"] * 10}, "userIDs must be 1 to 9 ids, not 10"),
            ({"userIDs": [{"namespace": "", "value": "secret", "type": "custom"}]}, "the namespace is missing"),
            (
                {"userIDs": [{"namespace": "email", "value": " ", "type": "custom"}]},
                "id number 1: the value is missing",
            ),
            ({"userIDs": [{"namespace": "email", "value": 47, "type": "custom"}]}, "the value is not text"),
            ({"userIDs": [{"namespace": "email", "value": "secret", "type": "other"}]}, "the type must be"),
            ({"userIDs": [{"namespace": "email", "value": "secret"}]}, "the type must be"),
            ({"userIDs": [{"namespace": "email", "value": "secret", "type": "custom", "x": 1}]}, "may have only"),
            ({"userIds": []}, "may have only action, key, userIDs"),
        ],
    )
    def test_wrong_users(self, user: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            hygiene_jobs.job_body(self.ORG, [USERS[0], {**USERS[1], **user}])
        assert "secret" not in str(caught.value)
        assert "Doe" not in str(caught.value)

    def test_nine_ids_are_allowed(self) -> None:
        hygiene_jobs.job_body(self.ORG, [{**USERS[1], "userIDs": USERS[1]["userIDs"] * 9}])

    @pytest.mark.parametrize(
        "users", [None, {}, "x", ["x"], [{"key": "a", "userIDs": None}], [{"key": "a", "userIDs": ["x"]}]]
    )
    def test_wrong_types(self, users: Any) -> None:
        with pytest.raises(TypeError):
            hygiene_jobs.job_body(self.ORG, users)

    def test_no_users_or_organisation(self) -> None:
        with pytest.raises(ValueError, match="users is empty"):
            hygiene_jobs.job_body(self.ORG, [])
        with pytest.raises(ValueError, match="org_id is empty"):
            hygiene_jobs.job_body("", USERS)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    if not DOCUMENT.exists():
        pytest.skip(f"Adobe's OpenAPI document is not at {DOCUMENT}")
    loaded = yaml.safe_load(DOCUMENT.read_text())
    assert isinstance(loaded, dict)
    return loaded


def check(document: dict[str, Any], schema: str, value: Any, **more: Any) -> None:
    """Check against one of the document's schemas, allowing only the members it knows."""
    strict = {**document["components"]["schemas"][schema], "additionalProperties": False, **more}
    jsonschema.validate(value, {**strict, "components": document["components"]})


class TestContract:
    """Against Adobe's OpenAPI document.

    It knows only the upper-case ``IDs``, and neither ``identities`` nor ``targetServices``, which newer pages have.
    """

    def test_the_request_body(self, document: dict[str, Any]) -> None:
        asked = request(description="Why", payload_format="namespaces-IDs")
        check(document, "CreateWorkorderRequest", json.loads(asked.body(CHUNK)))

    @pytest.mark.parametrize("payload_format", ["identities", "namespaces-ids"])
    def test_formats_that_the_document_does_not_know(self, document: dict[str, Any], payload_format: str) -> None:
        body = json.loads(request(payload_format=payload_format).body(CHUNK))
        with pytest.raises(jsonschema.ValidationError):
            check(document, "CreateWorkorderRequest", body)

    def test_the_documents_own_example(self, document: dict[str, Any]) -> None:
        content = document["paths"]["/workorder"]["post"]["requestBody"]["content"]["application/json"]
        example = content["examples"]["default"]["value"]
        identities = {entry["namespace"]["code"]: entry["IDs"] for entry in example["namespacesIdentities"]}
        asked = request(
            example["datasetId"],
            display_name=example["displayName"],
            description=example["description"],
            payload_format="namespaces-IDs",
        )
        assert json.loads(asked.body(Chunk(0, identities))) == example

    def test_renaming(self, document: dict[str, Any]) -> None:
        _, asked = play(hygiene.rename("DI-1", "New", "Why"), order(1, displayName="New"))
        check(document, "UpdateWorkorderRequest", asked[0].body)

    def test_every_example_answer_is_understood(self, document: dict[str, Any]) -> None:
        paths = document["paths"]

        def example(path: str, method: str) -> Any:
            return paths[path][method]["responses"]["200"]["content"]["application/json"]["examples"]["default"][
                "value"
            ]

        single = "/workorder/{WORKORDER_ID}"
        created = read(hygiene.create_work_order(request(), CHUNK), example("/workorder", "post"))
        looked_up = read(hygiene.get_work_order("x"), example(single, "get"))
        listed = read(hygiene.list_work_orders(), example("/workorder", "get"))
        quota = read(hygiene.quota(), example("/quota", "get"))
        assert (created.state, looked_up.details["operation_count"]) == (JobState.PENDING, 3)
        assert (len(listed.jobs), listed.total) == (2, 2)
        assert quota.left_now == 699_686

    def test_the_filters(self, document: dict[str, Any]) -> None:
        parameters = document["components"]["parameters"]
        references = [
            entry["$ref"].rsplit("/", 1)[-1] for entry in document["paths"]["/workorder"]["get"]["parameters"]
        ]
        names = [parameters[name]["name"] for name in references if parameters[name]["in"] == "query"]
        filters = {name: "x" for name in names if name not in ("page", "limit")}
        assert set(hygiene.list_work_orders(0, filters).params) == set(names)
        assert parameters["limit"]["schema"]["maximum"] == hygiene.PAGE_SIZE

    def test_the_statuses(self, document: dict[str, Any]) -> None:
        for status in document["components"]["parameters"]["workorderStatus"]["schema"]["enum"]:
            job = read(hygiene.get_work_order("x"), order(1, status=status))
            assert job.state is not JobState.UNKNOWN
