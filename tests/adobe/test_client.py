"""What is repeated, what is not, and what it is called: counted at the server, for both drivers."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from airflow_provider_adobe_deletion.adobe import channel as channel_module
from airflow_provider_adobe_deletion.adobe import client as client_module
from airflow_provider_adobe_deletion.adobe import data_repair, organisation, profile
from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Pause, Reply, Service
from airflow_provider_adobe_deletion.adobe.client import RetryPolicy
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeAuthError,
    AdobeDuplicateError,
    AdobeError,
    AdobeInterruptedError,
    AdobeNotFoundError,
    AdobeProtocolError,
    AdobeRateLimitError,
    AdobeServerError,
    AdobeUnreachableError,
    AmbiguousOutcomeError,
)
from airflow_provider_adobe_deletion.adobe.pacing import Pacer
from airflow_provider_adobe_deletion.adobe.profile import ProfileTarget
from airflow_provider_adobe_deletion.simulator import AdobeSimulator, Fault
from airflow_provider_adobe_deletion.simulator.state import DEV
from tests.canaries import Canaries

from .driving import Driver, Heard, Stranger, closed_port, stranger

DATASET = "5c802d3cd83fc114b741c4b5"
TARGET = ProfileTarget(dataset_id=DATASET)
CREATE = profile.create_job(TARGET)
GET = profile.get_job("j-1")
REMOVE = profile.remove_job("j-1")
JOB = {"id": "j-1", "dataSetId": DATASET, "jobType": "DELETE", "status": "NEW"}
PATH = "/system/jobs"
ATTEMPTS = 5


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients give up reading after half a second instead of 70."""
    monkeypatch.setattr(channel_module, "TIMEOUT", httpx.Timeout(5.0, read=0.5))


def sent(adobe: AdobeSimulator, method: str | None = None) -> int:
    return len(adobe.journal.select(method, PATH))


UNCERTAIN = [
    ({"status": 500}, AdobeServerError),
    ({"status": 502, "body": "<html>Bad Gateway</html>"}, AdobeServerError),
    ({"status": 503}, AdobeServerError),
    ({"status": 503, "headers": {"Retry-After": "0"}}, AdobeServerError),
    ({"status": 504}, AdobeServerError),
    ({"status": 599}, AdobeServerError),
    ({"status": 408}, AdobeServerError),
    ({"status": 503, "when": "after"}, AdobeServerError),
    ({"abort": True, "when": "before"}, AdobeInterruptedError),
    ({"abort": True, "when": "after"}, AdobeInterruptedError),
    ({"truncate": True}, AdobeInterruptedError),
    ({"status": 200, "headers": {"content-encoding": "gzip"}, "body": b"garbage"}, AdobeInterruptedError),
    ({"delay": 1.0}, AdobeInterruptedError),
    ({"delay": 1.0, "when": "after"}, AdobeInterruptedError),
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("trouble", "error"), UNCERTAIN, ids=[str(trouble) for trouble, _ in UNCERTAIN])
class TestUncertain:
    """The request was sent, and whether it did anything is not known."""

    def test_what_may_be_repeated_is(
        self, drive: Driver, adobe: Any, connect: Any, trouble: dict[str, Any], error: type[AdobeError]
    ) -> None:
        adobe.faults.add(Fault("GET", PATH, times=2, **trouble))
        with pytest.raises(AdobeNotFoundError):
            drive.send(connect(), GET)
        assert sent(adobe) == 3

    def test_the_number_of_repetitions_is_bounded(
        self, drive: Driver, adobe: Any, connect: Any, trouble: dict[str, Any], error: type[AdobeError]
    ) -> None:
        adobe.faults.add(Fault("GET", PATH, times=None, **trouble))
        with pytest.raises(error) as raised:
            drive.send(connect(policy=RetryPolicy(attempts=2, backoff=0.01)), GET)
        assert type(raised.value) is error
        assert sent(adobe) == 2

    def test_a_creating_request_is_sent_once(
        self, drive: Driver, adobe: Any, connect: Any, trouble: dict[str, Any], error: type[AdobeError]
    ) -> None:
        adobe.faults.add(Fault("POST", PATH, times=None, **trouble))
        before = datetime.now(UTC)
        with pytest.raises(AmbiguousOutcomeError) as raised:
            drive.send(connect(), CREATE)
        assert raised.value.purpose == f"create a Profile delete job for dataset {DATASET}"
        assert before <= raised.value.attempted_at <= datetime.now(UTC)
        assert raised.value.attempted_at.utcoffset() == timedelta(0)
        assert DATASET in str(raised.value)
        assert sent(adobe) == 1
        assert len(adobe.jobs()) <= 1

    def test_a_removal_is_repeated(
        self, drive: Driver, adobe: Any, connect: Any, trouble: dict[str, Any], error: type[AdobeError]
    ) -> None:
        adobe.faults.add(Fault("DELETE", PATH, times=1, **trouble))
        with pytest.raises(AdobeNotFoundError):
            drive.send(connect(), REMOVE)
        assert sent(adobe) == 2


REFUSED = [
    (400, AdobeAPIError),
    (402, AdobeAPIError),
    (403, AdobeAPIError),
    (404, AdobeNotFoundError),
    (405, AdobeAPIError),
    (409, AdobeAPIError),
    (410, AdobeAPIError),
    (413, AdobeAPIError),
    (422, AdobeDuplicateError),
    (300, AdobeAPIError),
    (301, AdobeAPIError),
    (302, AdobeAPIError),
    (303, AdobeAPIError),
    (304, AdobeAPIError),
    (307, AdobeAPIError),
    (308, AdobeAPIError),
]
REDIRECTS = (300, 301, 302, 303, 304, 307, 308)


@pytest.mark.parametrize("call", [GET, CREATE, REMOVE], ids=["GET", "POST", "DELETE"])
class TestDefinite:
    @pytest.mark.parametrize(("status", "error"), REFUSED)
    def test_a_refusal_is_not_repeated(
        self, drive: Driver, adobe: Any, connect: Any, call: Any, status: int, error: type[AdobeAPIError]
    ) -> None:
        with stranger(lambda heard: (200, {}, b"{}")) as other:
            headers = {"Location": f"{other.url}/elsewhere", "Retry-After": "1"}
            adobe.faults.add(Fault(path=PATH, times=None, status=status, headers=headers))
            unclear = call is CREATE and status in REDIRECTS
            with pytest.raises(AmbiguousOutcomeError if unclear else error) as raised:
                drive.send(connect(), call)
            assert type(raised.value) is (AmbiguousOutcomeError if unclear else error)
            assert f"HTTP {status}" in str(raised.value)
            assert sent(adobe) == 1
            assert other.heard == []

    def test_401_is_repeated_once(self, drive: Driver, adobe: Any, connect: Any, call: Any) -> None:
        adobe.faults.add(Fault(path=PATH, times=None, status=401))
        with pytest.raises(AdobeAuthError):
            drive.send(connect(), call)
        assert sent(adobe) == 2

    def test_429_is_repeated_within_bounds(self, drive: Driver, adobe: Any, connect: Any, call: Any) -> None:
        adobe.faults.add(Fault(path=PATH, times=None, status=429))
        with pytest.raises(AdobeRateLimitError) as raised:
            drive.send(connect(), call)
        assert raised.value.retry_after is None
        assert sent(adobe) == ATTEMPTS

    def test_what_was_not_sent_is_repeated_within_bounds(
        self, drive: Driver, adobe: Any, connect: Any, call: Any, caplog: Any
    ) -> None:
        client = connect(platform_url=f"http://127.0.0.1:{closed_port()}")
        with pytest.raises(AdobeUnreachableError, match="could not be reached") as raised:
            drive.send(client, call)
        assert type(raised.value) is AdobeUnreachableError
        assert caplog.text.count("Trying again") == ATTEMPTS - 1
        assert sent(adobe) == 0

    def test_a_name_that_does_not_exist(self, drive: Driver, adobe: Any, connect: Any, call: Any) -> None:
        with pytest.raises(AdobeUnreachableError):
            drive.send(connect(platform_url="https://platform.adobe.invalid"), call)
        assert sent(adobe) == 0

    def test_a_server_without_tls(self, drive: Driver, adobe: Any, connect: Any, call: Any) -> None:
        with pytest.raises(AdobeUnreachableError):
            drive.send(connect(platform_url=adobe.url.replace("http:", "https:")), call)
        assert sent(adobe) == 0


def test_certificates_are_checked(drive: Driver, connect: Any, tmp_path: Any) -> None:
    with tls_server(tmp_path) as (url, heard):
        with pytest.raises(AdobeUnreachableError):
            drive.send(connect(platform_url=url), CREATE)
        assert heard == []


def test_a_creating_request_gets_through_once_adobe_comes_up(drive: Driver, adobe: Any, connect: Any) -> None:
    port = closed_port()
    late = AdobeSimulator(port=port)
    patient = RetryPolicy(attempts=100, backoff=0.05, max_backoff=0.05)
    # The token comes from the one that is up; the late one does not know it at first.
    client = connect(policy=patient, platform_url=late.url, ims_url=late.url)
    timer = threading.Timer(0.15, late.start)
    timer.start()
    try:
        job = drive.send(client, CREATE)
        timer.join()
        assert [known["id"] for known in late.jobs()] == [job.id]
        assert sent(late, "POST") == 1
    finally:
        timer.join()
        late.stop()


class TestRateLimit:
    @pytest.mark.parametrize("call", [GET, CREATE], ids=["GET", "POST"])
    @pytest.mark.parametrize(
        ("trouble", "least", "most"),
        [
            ({"headers": {"Retry-After": "0"}}, 0.0, 0.5),
            ({"body": {"message": "slow", "retryAfterMs": "100"}}, 0.1, 0.5),
            ({"body": {"message": "slow", "retryAfterMs": 100}}, 0.1, 0.5),
            ({"headers": {"Retry-After": "0"}, "body": {"retryAfterMs": "60000"}}, 0.0, 0.5),
            ({"headers": {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}}, 0.0, 0.5),
            ({}, 0.1, 0.5),
            ({"headers": {"Retry-After": "later"}}, 0.1, 0.5),
        ],
        ids=["0 s", "ms text", "ms number", "header first", "past", "none", "nonsense"],
    )
    def test_the_asked_for_wait_is_kept(
        self, drive: Driver, adobe: Any, connect: Any, call: Any, trouble: dict[str, Any], least: float, most: float
    ) -> None:
        adobe.faults.add(Fault(path=PATH, status=429, **trouble))
        client = connect(policy=RetryPolicy(backoff=0.01, max_backoff=0.05, rate_limit_wait=0.1, max_retry_after=5))
        started = time.monotonic()
        if call is CREATE:
            assert drive.send(client, call).target == {"dataset_id": DATASET}
            assert len(adobe.jobs()) == 1
        else:
            with pytest.raises(AdobeNotFoundError):
                drive.send(client, call)
        entries = adobe.journal.select(path_contains=PATH)
        assert [entry.status for entry in entries] == [429, 200 if call is CREATE else 404]
        assert least <= entries[1].time - entries[0].time < most
        assert time.monotonic() - started < most + 0.5

    def test_seconds(self, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path=PATH, status=429, headers={"Retry-After": "1"}))
        connect().send(CREATE)
        first, second = adobe.journal.select("POST", PATH)
        assert 1 <= second.time - first.time < 1.6
        assert len(adobe.jobs()) == 1

    def test_a_date(self, adobe: Any, connect: Any) -> None:
        until = datetime.now(UTC) + timedelta(seconds=1.2)
        adobe.faults.add(Fault(path=PATH, status=429, headers={"Retry-After": format_datetime(until, usegmt=True)}))
        with pytest.raises(AdobeNotFoundError):
            connect().send(GET)
        assert until.replace(microsecond=0) <= datetime.now(UTC) < until + timedelta(seconds=0.5)

    @pytest.mark.parametrize("call", [GET, CREATE], ids=["GET", "POST"])
    @pytest.mark.parametrize(
        "trouble",
        [
            {"headers": {"Retry-After": "2400"}},
            {"headers": {"Retry-After": "a date"}},
            {"body": {"retryAfterMs": "2400000"}},
        ],
        ids=["seconds", "date", "ms"],
    )
    def test_a_wait_above_the_cap_is_surfaced(
        self, drive: Driver, adobe: Any, connect: Any, call: Any, trouble: dict[str, Any]
    ) -> None:
        if trouble.get("headers") == {"Retry-After": "a date"}:
            until = datetime.now(UTC) + timedelta(seconds=2400)
            trouble = {"headers": {"Retry-After": format_datetime(until, usegmt=True)}}
        adobe.faults.add(Fault(path=PATH, times=None, status=429, **trouble))
        started = time.monotonic()
        with pytest.raises(AdobeRateLimitError) as raised:
            drive.send(connect(), call)
        assert raised.value.retry_after is not None
        assert 2200 < raised.value.retry_after <= 2400
        assert sent(adobe) == 1
        assert time.monotonic() - started < 1

    def test_the_cap_holds_for_a_server_error_too(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path=PATH, times=None, status=503, headers={"Retry-After": "2400"}))
        with pytest.raises(AdobeServerError) as raised:
            drive.send(connect(), GET)
        assert raised.value.retry_after == 2400
        assert sent(adobe) == 1

    def test_the_wait_that_a_server_error_asks_for_is_kept(self, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path=PATH, status=503, body={"message": "later", "retryAfterMs": "200"}))
        with pytest.raises(AdobeNotFoundError):
            connect().send(GET)
        first, second = adobe.journal.select("GET", PATH)
        assert second.time - first.time >= 0.2

    def test_without_a_hint_the_waits_grow_from_six_seconds(self) -> None:
        assert RetryPolicy().rate_limit_wait >= 6


UNDOCUMENTED: dict[str, Any] = {
    "HTML": "<html>sign in</html>",
    "empty": None,
    "null": b"null",
    "number": b"5",
    "list": [],
    "list of one": [JOB],
    "text": b'"j-1"',
    "no id": {"status": "NEW"},
    "null id": {"id": None, "status": "NEW"},
    "empty id": {"id": "", "status": "NEW"},
    "id of the wrong type": {"id": ["j-1"], "status": "NEW"},
    "status of the wrong type": {"id": "j-1", "status": {"value": "NEW"}},
    "target of the wrong type": {"id": "j-1", "dataSetId": [DATASET], "status": "NEW"},
    "cut JSON": b'{"id": "j-1", "sta',
    "deep JSON": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe\xfd",
}


@pytest.mark.parametrize("body", UNDOCUMENTED.values(), ids=UNDOCUMENTED)
class TestSuccessThatIsNone:
    def test_for_a_get(self, drive: Driver, adobe: Any, connect: Any, body: Any) -> None:
        adobe.faults.add(Fault("GET", PATH, times=None, status=200, body=body))
        with pytest.raises(AdobeProtocolError, match="answered HTTP 200 .* not as documented"):
            drive.send(connect(), GET)
        assert sent(adobe) == 1

    def test_for_a_creating_request(self, drive: Driver, adobe: Any, connect: Any, body: Any) -> None:
        adobe.faults.add(Fault("POST", PATH, times=None, status=200, body=body))
        with pytest.raises(AmbiguousOutcomeError, match="not as documented"):
            drive.send(connect(), CREATE)
        assert sent(adobe) == 1


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_status_will_do(drive: Driver, adobe: Any, connect: Any, status: int) -> None:
    adobe.faults.add(Fault("POST", PATH, status=status, body=JOB))
    assert drive.send(connect(), CREATE).id == "j-1"


@pytest.mark.parametrize("charset", ["base64", "rot13", "idna", "undefined", "no-such", "utf-16"])
@pytest.mark.parametrize("status", [200, 403, 503])
def test_a_charset_that_cannot_be_decoded(adobe: Any, connect: Any, charset: str, status: int) -> None:
    trouble = {"status": status, "body": b"<html>\xff", "headers": {"content-type": f"text/html; charset={charset}"}}
    adobe.faults.add(Fault("POST", PATH, **trouble))
    error = AdobeAPIError if status == 403 else AmbiguousOutcomeError
    with pytest.raises(error):
        connect(policy=RetryPolicy(attempts=1)).send(CREATE)
    adobe.faults.add(Fault(path="/ims/", times=None, **trouble))
    adobe.revoke_tokens()
    with pytest.raises(AdobeAuthError):
        connect(policy=RetryPolicy(attempts=1)).send(CREATE)


def test_what_a_reader_stumbles_on_is_not_quoted(drive: Driver, adobe: Any, connect: Any) -> None:
    secret = "poul.anderson@example.com"

    def read(reply: Reply) -> Any:
        return {}[reply.body["status"]]

    adobe.faults.add(Fault("GET", PATH, times=None, status=200, body={"id": [secret], "status": secret}))
    for reader in (read, GET.read):
        with pytest.raises(AdobeProtocolError) as raised:
            drive.send(connect(), Call(Service.PROFILE, "GET", PATH, "look", reader))
        assert secret not in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403, "body": {"error_code": "{authorization}", "message": "no right: {authorization}"}},
        {"status": 401, "body": {"errorCode": "{authorization}", "errorId": "{authorization}"}},
        {"status": 500, "body": "{authorization}"},
        {"status": 302, "headers": {"location": "/elsewhere?{query}#{authorization}"}},
    ],
)
def test_a_token_that_a_service_repeats(drive: Driver, adobe: Any, connect: Any, caplog: Any, answer: Any) -> None:
    for name in ("httpx", "httpcore", "airflow_provider_adobe_deletion"):
        caplog.set_level("DEBUG", logger=name)
    client = connect()
    days = {"start": "2026-01-01", "end": "2026-01-02"}
    token = drive.send(client, data_repair.estimate("suite", **days)).validation_token
    fault = Fault(method="POST", path="/job", times=None, echo=True, **answer)
    adobe.faults.add(fault)
    definition = {"variables": {"evar1": {"action": "delete"}}}
    with pytest.raises(AdobeError) as raised:
        drive.send(client, data_repair.create_job("suite", definition=definition, token=token, **days))
    assert fault.struck
    told = f"{raised.value!r} {vars(raised.value)} {caplog.text}"
    secrets = Canaries({str(number): secret for number, secret in enumerate(adobe.secrets())})
    assert not list(secrets.search("what was told", told))


class TestOnTheWire:
    """What another server sees, header by header."""

    @pytest.fixture
    def adobe_like(self) -> Iterator[Stranger]:
        with stranger(lambda heard: (200, {}, json.dumps(JOB).encode())) as it:
            yield it

    def test_headers_on_azure(self, drive: Driver, connect: Any, adobe_like: Stranger) -> None:
        drive.send(connect(platform_url=adobe_like.url), CREATE)
        (heard,) = adobe_like.heard
        assert (heard.method, heard.path) == ("POST", "/data/core/ups/system/jobs")
        assert json.loads(heard.body) == {"dataSetId": DATASET}
        assert self.adobe_headers(heard) == {
            "x-api-key": "c0ffee5im0auth0000000000000000a1",
            "x-gw-ims-org-id": "8B1F5E6A57C7D2147F000101@AdobeOrg",
            "x-sandbox-name": "dev",
        }
        assert heard.headers["authorization"].startswith("Bearer ")
        assert heard.headers["content-type"] == "application/json"
        assert heard.headers["accept"] == "application/json"
        assert heard.headers["user-agent"].startswith("airflow-provider-adobe-deletion/")

    @pytest.mark.parametrize(
        ("overrides", "sandbox"),
        [
            ({"cloud": "azure", "sandbox_id": "id-1"}, {"x-sandbox-name": "dev", "x-sandbox-id": "id-1"}),
            ({"cloud": "aws", "sandbox_id": "id-1", "sandbox_name": None}, {"x-sandbox-id": "id-1"}),
            ({"cloud": "aws", "sandbox_id": "id-1"}, {"x-sandbox-name": "dev", "x-sandbox-id": "id-1"}),
        ],
    )
    def test_sandbox_headers(
        self, drive: Driver, connect: Any, adobe_like: Stranger, overrides: dict[str, Any], sandbox: dict[str, str]
    ) -> None:
        for service in (Service.PROFILE, Service.HYGIENE):
            if service is Service.HYGIENE and not overrides.get("sandbox_name", "dev"):
                continue
            drive.send(connect(platform_url=adobe_like.url, **overrides), Call(service, "GET", "/x", "x", lambda _: 1))
            said = self.adobe_headers(adobe_like.heard[-1])
            assert {name: value for name, value in said.items() if "sandbox" in name} == sandbox

    @pytest.mark.parametrize("service", [Service.DATA_REPAIR, Service.DISCOVERY])
    def test_analytics_gets_no_platform_header(
        self, drive: Driver, connect: Any, adobe_like: Stranger, service: Service
    ) -> None:
        client = connect(analytics_url=adobe_like.url, global_company_id="exampl0", sandbox_id="id-1")
        drive.send(client, Call(service, "GET", "/x", "x", lambda _: 1))
        (heard,) = adobe_like.heard
        assert self.adobe_headers(heard) == {"x-api-key": client.config.client_id}
        base = "/api/exampl0/datarepair/v1" if service is Service.DATA_REPAIR else "/discovery"
        assert heard.path == f"{base}/x"

    def test_a_token_goes_nowhere_else(self, drive: Driver, connect: Any, adobe_like: Stranger) -> None:
        for status in REDIRECTS:
            with stranger(lambda heard, code=status: (code, {"location": f"{adobe_like.url}/x"}, b"")) as first:  # type: ignore[misc]
                for call in (GET, CREATE):
                    with pytest.raises((AdobeAPIError, AmbiguousOutcomeError), match=f"HTTP {status}"):
                        drive.send(connect(platform_url=first.url), call)
                assert len(first.heard) == 2
        assert adobe_like.heard == []

    def test_the_clouds_of_the_simulator_agree(self, drive: Driver, adobe: Any, connect: Any) -> None:
        drive.send(connect(), CREATE)
        adobe.settings.profile_shape = "aws"
        drive.send(connect(cloud="aws", sandbox_id=DEV.id, sandbox_name=None), CREATE)
        azure, aws = adobe.journal.select("POST", PATH)
        assert (azure.sandbox_name, azure.sandbox_id, azure.sandbox) == ("dev", None, "dev")
        assert (aws.sandbox_name, aws.sandbox_id, aws.sandbox) == (None, DEV.id, "dev")

    def test_ids_are_encoded_in_the_path(self, drive: Driver, connect: Any, adobe_like: Stranger) -> None:
        drive.send(connect(platform_url=adobe_like.url), profile.get_job("a:b@c.d-e_f"))
        assert adobe_like.heard[0].path == "/data/core/ups/system/jobs/a%3Ab%40c.d-e_f"

    def test_one_connection_serves_many_calls(self, adobe: Any, connect: Any) -> None:
        seen: set[int] = set()

        def answer(heard: Heard) -> tuple[int, dict[str, str], bytes]:
            seen.add(threading.get_ident())
            return 200, {}, json.dumps(JOB).encode()

        with stranger(answer) as server:
            client = connect(platform_url=server.url)
            for _ in range(5):
                client.send(GET)
        assert len(seen) == 1

    @staticmethod
    def adobe_headers(heard: Heard) -> dict[str, str]:
        return {name.lower(): value for name, value in heard.headers.items() if name.lower().startswith("x-")}


class TestConnectionLost:
    """Resets as the kernel makes them, at each stage of an exchange."""

    @pytest.mark.parametrize("read_first", [False, True])
    def test_a_reset_is_not_taken_for_a_request_that_was_never_sent(
        self, drive: Driver, connect: Any, read_first: bool
    ) -> None:
        with resetting_server(read_first) as (url, accepted):
            with pytest.raises(AmbiguousOutcomeError):
                drive.send(connect(platform_url=url), CREATE)
            assert len(accepted) == 1
            with pytest.raises(AdobeInterruptedError):
                drive.send(connect(platform_url=url), GET)
            assert len(accepted) == 1 + ATTEMPTS


class TestPacer:
    def test_no_window_holds_more_than_its_calls(self) -> None:
        pacer = Pacer(3, 0.2)
        starts = []
        for _ in range(10):
            away = pacer.reserve()
            assert away >= 0
            starts.append(time.monotonic() + away)
        assert all(later - earlier >= 0.199 for earlier, later in zip(starts, starts[3:], strict=False))
        assert starts[-1] - starts[0] < 3 * 0.2 + 0.05

    def test_threads_share_it(self) -> None:
        pacer = Pacer(5, 10.0)

        def reserve(_: int) -> float:
            return time.monotonic() + pacer.reserve()

        with ThreadPoolExecutor(20) as pool:
            starts = sorted(pool.map(reserve, range(40)))
        assert all(later - earlier >= 9.9 for earlier, later in zip(starts, starts[5:], strict=False))

    def test_a_quiet_time_is_not_saved_up(self) -> None:
        pacer = Pacer(2, 0.05)
        assert [pacer.reserve() for _ in range(2)] == [0.0, 0.0]
        time.sleep(0.2)
        assert [pacer.reserve() for _ in range(2)] == [0.0, 0.0]
        assert pacer.reserve() > 0.04

    def test_analytics_calls_are_paced(self, drive: Driver, adobe: Any, connect: Any) -> None:
        client = connect()
        client_module._pacers[(adobe.url, client.config.client_id)] = Pacer(4, 0.2)

        def many() -> Flow[None]:
            # Gets token and connection first: what is measured is when requests arrive.
            yield organisation.list_sandboxes()
            for _ in range(9):
                yield data_repair.discover()

        drive.run(client, many())
        times = [entry.time for entry in adobe.journal.select("GET", "/discovery")]
        assert len(times) == 9
        assert all(later - earlier > 0.15 for earlier, later in zip(times, times[4:], strict=False))

    def test_concurrent_analytics_calls_are_paced(self, adobe: Any, connect: Any) -> None:
        client, other = connect(), connect()
        client_module._pacers[(adobe.url, client.config.client_id)] = Pacer(4, 0.2)

        async def all_at_once() -> None:
            async with client, other:
                await asyncio.gather(
                    client.asend(organisation.list_sandboxes()), other.asend(organisation.list_sandboxes())
                )
                await asyncio.gather(*((client, other)[n % 2].asend(data_repair.discover()) for n in range(9)))

        asyncio.run(all_at_once())
        times = [entry.time for entry in adobe.journal.select("GET", "/discovery")]
        assert len(times) == 9
        assert times[8] - times[0] > 0.35

    def test_it_is_12_in_little_more_than_6_seconds_for_each_credential(self, adobe: Any, connect: Any) -> None:
        connect(sandbox_name="prod").send(data_repair.discover())
        (pacer,) = client_module._pacers.values()
        assert [pacer.reserve() for _ in range(11)] == [0.0] * 11
        assert 6.0 < pacer.reserve() <= 6.5

    def test_platform_calls_are_not_paced(self, drive: Driver, adobe: Any, connect: Any) -> None:
        def many() -> Flow[None]:
            for _ in range(30):
                yield organisation.list_sandboxes()

        started = time.monotonic()
        drive.run(connect(), many())
        assert time.monotonic() - started < 3
        assert client_module._pacers == {}


class TestFlows:
    def test_results_pauses_and_errors_reach_the_flow(self, drive: Driver, adobe: Any, connect: Any) -> None:
        def flow() -> Flow[list[Any]]:
            seen: list[Any] = [(yield CREATE).status]
            started = time.monotonic()
            seen.append((yield Pause(0.05)))
            seen.append(time.monotonic() - started >= 0.05)
            try:
                yield GET
            except AdobeNotFoundError as error:
                seen.append(error.status)
            return seen

        assert drive.run(connect(), flow()) == ["NEW", None, True, 404]

    def test_what_the_flow_does_not_catch_reaches_the_caller(self, drive: Driver, connect: Any) -> None:
        ended = []

        def flow() -> Flow[None]:
            try:
                yield GET
            finally:
                ended.append(True)

        with pytest.raises(AdobeNotFoundError):
            drive.run(connect(), flow())
        assert ended == [True]

    def test_a_flow_without_a_step(self, drive: Driver, adobe: Any, connect: Any) -> None:
        def flow() -> Flow[int]:
            return 5
            yield GET

        assert drive.run(connect(), flow()) == 5
        assert len(adobe.journal) == 0

    def test_a_closed_client_opens_again(self, drive: Driver, adobe: Any, connect: Any) -> None:
        client = connect()
        for _ in range(2):
            with pytest.raises(AdobeNotFoundError):
                drive.send(client, GET)
            client.close()
            client.close()
        assert sent(adobe) == 2


class resetting_server:
    """A server that resets each connection, before or after it has read the request."""

    def __init__(self, read_first: bool) -> None:
        self._read_first = read_first
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepted: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._accepted.append(connection.recv(65536) if self._read_first else b"")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if not self._read_first:
                time.sleep(0.02)
            connection.close()

    def __enter__(self) -> tuple[str, list[bytes]]:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}", self._accepted

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class tls_server:
    """A TLS server with a certificate that nobody vouches for."""

    def __init__(self, directory: Any) -> None:
        import ssl

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        plain = serialization.NoEncryption()
        pkcs8 = serialization.PrivateFormat.PKCS8
        both = key.private_bytes(serialization.Encoding.PEM, pkcs8, plain) + certificate.public_bytes(
            serialization.Encoding.PEM
        )
        (directory / "server.pem").write_bytes(both)
        heard = self._heard = []  # type: list[str]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(self.path)

        class Quiet(http.server.HTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> tuple[str, list[str]]:
        self._thread.start()
        return f"https://localhost:{self._server.server_address[1]}", self._heard

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
