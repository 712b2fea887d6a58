"""Tokens: fetched once, renewed early, dropped on 401, and never shown to anybody."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_adobe_deletion.adobe import channel as channel_module
from airflow_provider_adobe_deletion.adobe import data_repair, profile
from airflow_provider_adobe_deletion.adobe.auth import token_cache
from airflow_provider_adobe_deletion.adobe.client import AdobeClient, RetryPolicy
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAuthError,
    AdobeError,
    AdobeNotFoundError,
    AdobeUnreachableError,
)
from airflow_provider_adobe_deletion.adobe.profile import ProfileTarget
from airflow_provider_adobe_deletion.simulator import Fault

from .driving import Driver, Heard, closed_port, stranger

DATASET = "5c802d3cd83fc114b741c4b5"
CREATE = profile.create_job(ProfileTarget(dataset_id=DATASET))
UNKNOWN_JOB = profile.get_job("j-1")
ONCE = RetryPolicy(attempts=1, backoff=0.01)


def tokens(adobe: Any) -> int:
    return len(adobe.journal.select("POST", "/ims/"))


def service(adobe: Any, method: str | None = None) -> int:
    return len(adobe.journal.select(method, "/system/jobs"))


def ask(drive: Driver, client: AdobeClient) -> None:
    """Make a call that succeeds as far as authentication goes."""
    with pytest.raises(AdobeNotFoundError):
        drive.send(client, UNKNOWN_JOB)


@pytest.fixture(params=[False, True], ids=["oauth", "jwt"])
def jwt(request: pytest.FixtureRequest) -> bool:
    kind: bool = request.param
    return kind


class TestIssue:
    def test_one_token_serves_many_calls(self, drive: Driver, adobe: Any, connect: Any, jwt: bool) -> None:
        client = connect(jwt=jwt)
        for _ in range(5):
            ask(drive, client)
        assert (tokens(adobe), service(adobe)) == (1, 5)

    def test_two_clients_of_one_credential_share_it(self, drive: Driver, adobe: Any, connect: Any) -> None:
        ask(drive, connect())
        ask(drive, connect(sandbox_name="prod"))
        assert tokens(adobe) == 1

    def test_credentials_that_differ_in_the_secret_do_not_share_it(
        self, drive: Driver, adobe: Any, connect: Any, jwt: bool
    ) -> None:
        ask(drive, connect(jwt=jwt))
        with pytest.raises(AdobeAuthError):
            drive.send(connect(jwt=jwt, password="another"), UNKNOWN_JOB)
        assert (tokens(adobe), service(adobe)) == (2, 1)

    def test_the_secret_goes_into_the_body_and_not_into_the_address(
        self, drive: Driver, adobe: Any, connect: Any, jwt: bool
    ) -> None:
        ask(drive, connect(jwt=jwt))
        asked = adobe.journal.select("POST", "/ims/")[0]
        assert asked.path == ("/ims/exchange/jwt" if jwt else "/ims/token/v3")
        assert asked.query == {}

    def test_what_ims_is_asked(self, drive: Driver, connect: Any) -> None:
        with stranger(lambda heard: (200, {}, b'{"access_token": "t0ken", "expires_in": 86399}')) as ims:
            client = connect(ims_url=ims.url, scopes=" openid,\n AdobeID  session ", login="me", password="s+c r/t&=")
            with pytest.raises(AdobeError):
                drive.send(client, UNKNOWN_JOB)
        asked = ims.heard[0]
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        assert asked.headers["authorization"] is None
        assert parse_qs(asked.body.decode()) == {
            "grant_type": ["client_credentials"],
            "client_id": ["me"],
            "client_secret": ["s+c r/t&="],
            "scope": ["openid,AdobeID,session"],
        }

    @pytest.mark.parametrize("count", [50])
    def test_50_concurrent_coroutines_make_one_token_request(
        self, adobe: Any, connect: Any, jwt: bool, count: int
    ) -> None:
        adobe.faults.add(Fault(path="/ims/", delay=0.1))
        client = connect(jwt=jwt)

        async def all_at_once() -> list[Any]:
            async with client:
                return await asyncio.gather(*(client.asend(UNKNOWN_JOB) for _ in range(count)), return_exceptions=True)

        results = asyncio.run(all_at_once())
        assert [type(result) for result in results] == [AdobeNotFoundError] * count
        assert (tokens(adobe), service(adobe)) == (1, count)

    @pytest.mark.parametrize("shared", [True, False], ids=["one client", "a client each"])
    def test_20_threads_make_one_token_request(self, adobe: Any, connect: Any, jwt: bool, shared: bool) -> None:
        adobe.faults.add(Fault(path="/ims/", delay=0.1))
        one = connect(jwt=jwt)
        clients = [one if shared else connect(jwt=jwt) for _ in range(20)]
        barrier = threading.Barrier(20)

        def work(client: AdobeClient) -> type[BaseException] | None:
            barrier.wait()
            try:
                client.send(UNKNOWN_JOB)
            except AdobeError as error:
                return type(error)
            return None

        with ThreadPoolExecutor(20) as pool:
            assert list(pool.map(work, clients)) == [AdobeNotFoundError] * 20
        assert (tokens(adobe), service(adobe)) == (1, 20)

    def test_two_event_loops_use_the_same_token(self, adobe: Any, connect: Any) -> None:
        for _ in range(2):
            ask(Driver("async"), connect())
        ask(Driver("sync"), connect())
        assert tokens(adobe) == 1

    def test_waiters_share_even_a_token_that_ends_at_once(self, adobe: Any, connect: Any) -> None:
        body = {"access_token": "x"}
        adobe.faults.add(Fault(path="/ims/", times=None, status=200, body=body, delay=0.2))
        adobe.faults.add(Fault("GET", path="/system/jobs", times=None, status=200, body={"id": "j-1", "status": "NEW"}))
        client = connect()

        async def all_at_once() -> list[Any]:
            async with client:
                return await asyncio.gather(*(client.asend(UNKNOWN_JOB) for _ in range(10)))

        assert len(asyncio.run(all_at_once())) == 10
        assert tokens(adobe) <= 2


class TestLifetime:
    @pytest.mark.parametrize(("lifetime", "reused_for"), [(86399, 86099), (3599, 3299), (400, 200)])
    def test_seconds_for_oauth_milliseconds_for_jwt(
        self, drive: Driver, adobe: Any, connect: Any, jwt: bool, lifetime: int, reused_for: int
    ) -> None:
        adobe.settings.token_lifetime = lifetime
        client = connect(jwt=jwt)
        ask(drive, client)
        left = token_cache(client.config).renew_at - time.monotonic()
        assert reused_for - 5 < left <= reused_for

    def test_a_token_is_renewed_before_it_ends(self, adobe: Any, connect: Any, jwt: bool) -> None:
        drive = Driver("async" if jwt else "sync")
        adobe.settings.token_lifetime = 1
        client = connect(jwt=jwt)
        ask(drive, client)
        ask(drive, client)
        assert tokens(adobe) == 1
        time.sleep(0.6)
        ask(drive, client)
        assert tokens(adobe) == 2
        assert {entry.status for entry in adobe.journal.select("GET", "/system/jobs")} == {404}

    @pytest.mark.parametrize("value", ["86399", 86399.5, 86_399_000, "86399000"])
    def test_a_number_is_read_however_it_is_written(self, drive: Driver, adobe: Any, connect: Any, value: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", times=None, status=200, body={"access_token": "x", "expires_in": value}))
        adobe.faults.add(Fault("GET", path="/system/jobs", times=None, status=200, body={"id": "j-1", "status": "NEW"}))
        client = connect()
        drive.send(client, UNKNOWN_JOB)
        left = token_cache(client.config).renew_at - time.monotonic()
        assert 86099 - 5 < left < 86101

    @pytest.mark.parametrize(
        "value",
        [None, "", "soon", -1, 0, -86399, "-5", [], {}, [86399], "nan", "inf", 10**400],
        ids=["null", "empty", "text", "-1", "0", "-86399", "-5", "list", "dict", "list1", "nan", "inf", "1e400"],
    )
    def test_without_a_usable_lifetime_the_token_is_used_once(
        self, drive: Driver, adobe: Any, connect: Any, value: Any
    ) -> None:
        body = json.dumps({"access_token": "x", "expires_in": value}).encode()
        adobe.faults.add(Fault(path="/ims/", times=None, status=200, body=body))
        adobe.faults.add(Fault("GET", path="/system/jobs", times=None, status=200, body={"id": "j-1", "status": "NEW"}))
        client = connect()
        assert drive.send(client, UNKNOWN_JOB).id == "j-1"
        assert tokens(adobe) == 1
        assert drive.send(client, UNKNOWN_JOB).id == "j-1"
        assert tokens(adobe) == 2

    def test_a_missing_lifetime(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", times=None, status=200, body={"access_token": "x"}))
        adobe.faults.add(Fault("GET", path="/system/jobs", times=None, status=200, body={"id": "j-1", "status": "NEW"}))
        assert drive.send(connect(), UNKNOWN_JOB).id == "j-1"


class TestRejected:
    @pytest.mark.parametrize(("call", "method"), [(UNKNOWN_JOB, "GET"), (CREATE, "POST")], ids=["GET", "POST"])
    def test_a_rejected_token_is_replaced_and_the_request_sent_once_more(
        self, drive: Driver, adobe: Any, connect: Any, jwt: bool, call: Any, method: str
    ) -> None:
        client = connect(jwt=jwt)
        ask(drive, client)
        adobe.revoke_tokens()
        adobe.journal.clear()
        if method == "GET":
            ask(drive, client)
        else:
            assert drive.send(client, call).target == {"dataset_id": DATASET}
            assert len(adobe.jobs()) == 1
        assert (tokens(adobe), service(adobe, method)) == (1, 2)
        statuses = [entry.status for entry in adobe.journal.select(method, "/system/jobs")]
        assert statuses == [401, 404 if method == "GET" else 200]

    @pytest.mark.parametrize("call", [UNKNOWN_JOB, CREATE], ids=["GET", "POST"])
    @pytest.mark.parametrize("body", [{"error_code": "401013", "message": "Oauth token is not valid"}, None, "<html>"])
    def test_a_second_rejection_is_an_error_and_not_a_loop(
        self, drive: Driver, adobe: Any, connect: Any, call: Any, body: Any
    ) -> None:
        fault = Fault(path="/system/jobs", times=None, status=401, body=body, headers={"x-request-id": "rq-1"})
        adobe.faults.add(fault)
        with pytest.raises(
            AdobeAuthError, match="Adobe answered 401 to a token that Adobe IMS had just issued"
        ) as raised:
            drive.send(connect(), call)
        assert raised.value.status == 401
        assert not raised.value.transient
        assert raised.value.code == ("401013" if isinstance(body, dict) else None)
        assert "request id " in str(raised.value)
        assert (tokens(adobe), service(adobe)) == (2, 2)
        assert adobe.jobs() == []

    def test_the_analytics_services_own_401(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.settings.analytics_401 = "service"
        client = connect()
        drive.send(client, data_repair.discover())
        adobe.revoke_tokens()
        assert drive.send(client, data_repair.discover())
        assert tokens(adobe) == 2
        assert [entry.status for entry in adobe.journal.select("GET", "/discovery")] == [200, 401, 200]

    def test_many_callers_rejected_together_make_one_token_request(self, adobe: Any, connect: Any) -> None:
        client = connect()

        async def work() -> list[Any]:
            async with client:
                with pytest.raises(AdobeNotFoundError):
                    await client.asend(UNKNOWN_JOB)
                adobe.revoke_tokens()
                adobe.faults.add(Fault("GET", "/system/jobs", times=None, delay=0.05))
                return await asyncio.gather(*(client.asend(UNKNOWN_JOB) for _ in range(10)), return_exceptions=True)

        assert [type(result) for result in asyncio.run(work())] == [AdobeNotFoundError] * 10
        assert tokens(adobe) == 2

    def test_a_rotated_secret_gives_one_clear_error(self, drive: Driver, adobe: Any, connect: Any, jwt: bool) -> None:
        client = connect(jwt=jwt)
        ask(drive, client)
        adobe.rotate_secret("the-new-one")
        ask(drive, client)
        adobe.revoke_tokens()
        adobe.journal.clear()
        with pytest.raises(AdobeAuthError, match="client secret") as raised:
            drive.send(client, CREATE)
        assert (raised.value.status, raised.value.code, raised.value.transient) == (401, "invalid_client", False)
        assert (tokens(adobe), service(adobe)) == (1, 1)
        assert "the-new-one" not in str(raised.value)
        assert adobe.jobs() == []
        ask(drive, connect(jwt=jwt, password="the-new-one"))


class TestRefused:
    @pytest.mark.parametrize(
        ("kind", "overrides", "status", "code", "advice"),
        [
            (False, {"login": "nobody"}, 400, "invalid_client", "client id"),
            (False, {"password": "wrong"}, 401, "invalid_client", "client secret"),
            (False, {"scopes": "openid,everything"}, 400, "invalid_scope", "scopes"),
            (True, {"login": "nobody"}, 400, "invalid_client", "retired JWT credentials"),
            (True, {"password": "wrong"}, 401, "invalid_client", "client secret"),
            (True, {"org_id": "other@AdobeOrg"}, 400, "bad_request", "technical account"),
            (True, {"technical_account_id": "other@techacct"}, 400, "bad_request", "technical account"),
            (True, {"metascopes": "ent_everything_sdk"}, 400, "invalid_scope", "metascopes"),
        ],
    )
    def test_what_ims_refuses_is_not_asked_twice(
        self,
        drive: Driver,
        adobe: Any,
        connect: Any,
        kind: bool,
        overrides: dict[str, str],
        status: int,
        code: str,
        advice: str,
    ) -> None:
        client = connect(jwt=kind, **overrides)
        with pytest.raises(AdobeAuthError, match=advice) as raised:
            drive.send(client, CREATE)
        assert (raised.value.status, raised.value.code, raised.value.transient) == (status, code, False)
        assert client.config.client_id in str(raised.value)
        assert (tokens(adobe), service(adobe)) == (1, 0)

    def test_a_key_that_adobe_does_not_know(self, drive: Driver, adobe: Any, connect: Any) -> None:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with pytest.raises(AdobeAuthError, match="private key") as raised:
            drive.send(connect(jwt=True, private_key=other.decode()), UNKNOWN_JOB)
        assert raised.value.code == "invalid_signature"
        assert (tokens(adobe), service(adobe)) == (1, 0)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 302, 307])
    def test_unlisted_refusals_are_not_retried(self, drive: Driver, adobe: Any, connect: Any, status: int) -> None:
        with stranger(lambda heard: (200, {}, b"{}")) as other:
            adobe.faults.add(Fault(path="/ims/", times=None, status=status, headers={"location": other.url}))
            with pytest.raises(AdobeAuthError, match=f"HTTP {status}") as raised:
                drive.send(connect(), UNKNOWN_JOB)
            assert raised.value.status == status
            assert (tokens(adobe), service(adobe)) == (1, 0)
            assert other.heard == []


class TestUnavailable:
    @pytest.mark.parametrize(
        "trouble",
        [
            {"status": 500},
            {"status": 502, "body": "<html>"},
            {"status": 503},
            {"status": 504},
            {"status": 408},
            {"status": 429},
            {"status": 429, "headers": {"retry-after": "0"}},
            {"abort": True},
            {"abort": True, "when": "after"},
            {"truncate": True},
            {"delay": 1.0},
            {"status": 200, "body": "<html>login</html>"},
            {"status": 200, "body": {}},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("call", [UNKNOWN_JOB, CREATE], ids=["GET", "POST"])
    def test_ims_is_asked_again_and_the_service_once(
        self, drive: Driver, adobe: Any, connect: Any, monkeypatch: Any, trouble: dict[str, Any], call: Any
    ) -> None:
        monkeypatch.setattr(channel_module, "TIMEOUT", httpx.Timeout(5.0, read=0.5))
        adobe.faults.add(Fault(path="/ims/", **trouble))
        if call is CREATE:
            assert drive.send(connect(), call).target == {"dataset_id": DATASET}
        else:
            ask(drive, connect())
        assert (tokens(adobe), service(adobe)) == (2, 1)

    def test_attempts_are_bounded(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", times=None, status=503))
        with pytest.raises(AdobeAuthError, match="HTTP 503") as raised:
            drive.send(connect(), CREATE)
        assert raised.value.transient
        assert (tokens(adobe), service(adobe)) == (5, 0)

    def test_a_throttled_ims_is_given_time(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", status=429))
        started = time.monotonic()
        ask(drive, connect(policy=RetryPolicy(backoff=0.001, max_backoff=0.001, rate_limit_wait=0.2)))
        assert time.monotonic() - started >= 0.2
        assert tokens(adobe) == 2

    def test_a_wait_above_the_cap_is_surfaced(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", times=None, status=429, headers={"Retry-After": "2400"}))
        with pytest.raises(AdobeAuthError) as raised:
            drive.send(connect(), CREATE)
        assert (raised.value.retry_after, raised.value.transient) == (2400.0, True)
        assert (tokens(adobe), service(adobe)) == (1, 0)

    @pytest.mark.parametrize("host", ["closed", "nowhere.invalid"])
    def test_an_unreachable_ims(self, drive: Driver, adobe: Any, connect: Any, host: str) -> None:
        url = f"http://127.0.0.1:{closed_port()}" if host == "closed" else f"https://{host}"
        with pytest.raises(AdobeUnreachableError, match="no token from Adobe IMS"):
            drive.send(connect(ims_url=url), CREATE)
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize(
        "trouble",
        [{"status": 503}, {"abort": True}, {"status": 401, "body": {"error": "invalid_client"}}, "timeout"],
        ids=str,
    )
    def test_those_who_wait_share_a_failure(self, adobe: Any, connect: Any, monkeypatch: Any, trouble: Any) -> None:
        fault = {"delay": 1.0} if trouble == "timeout" else {"delay": 0.05, **trouble}
        monkeypatch.setattr(channel_module, "TIMEOUT", httpx.Timeout(5.0, read=0.5))
        adobe.faults.add(Fault(path="/ims/", times=None, **fault))
        client = connect(policy=ONCE)

        async def all_at_once() -> list[Any]:
            async with client:
                return await asyncio.gather(*(client.asend(CREATE) for _ in range(50)), return_exceptions=True)

        results = asyncio.run(all_at_once())
        assert {type(result) for result in results} <= {AdobeAuthError, AdobeUnreachableError}
        # A client lets ten callers through at a time, so that there are five groups of them at the most.
        assert tokens(adobe) <= 5
        assert service(adobe) == 0
        if isinstance(trouble, dict) and "status" in trouble:
            assert {result.status for result in results} == {trouble["status"]}
        assert len({id(result) for result in results}) == 50

    def test_threads_that_wait_share_a_failure(self, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", times=None, status=503, delay=0.3))
        barrier = threading.Barrier(20)

        def work(client: AdobeClient) -> bool:
            barrier.wait()
            with pytest.raises(AdobeAuthError) as raised:
                client.send(CREATE)
            return raised.value.transient

        with ThreadPoolExecutor(20) as pool:
            assert all(pool.map(work, [connect(policy=ONCE) for _ in range(20)]))
        assert tokens(adobe) <= 2
        assert service(adobe) == 0

    def test_a_cancelled_fetch_does_not_take_the_others_with_it(self, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", delay=1.0))
        client = connect()

        async def work() -> Any:
            async with client:
                first = asyncio.create_task(client.asend(UNKNOWN_JOB))
                await asyncio.sleep(0.1)
                others = [asyncio.create_task(client.asend(UNKNOWN_JOB)) for _ in range(5)]
                await asyncio.sleep(0.1)
                first.cancel()
                started = time.monotonic()
                return await asyncio.gather(first, *others, return_exceptions=True), time.monotonic() - started

        (first, *others), took = asyncio.run(work())
        assert isinstance(first, asyncio.CancelledError)
        assert [type(other) for other in others] == [AdobeNotFoundError] * 5
        assert took < 0.9
        assert tokens(adobe) <= 1 + 5

    def test_a_cancelled_waiter_does_not_hold_up_the_others(self, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault(path="/ims/", delay=0.2))
        client = connect()

        async def work() -> list[Any]:
            async with client:
                tasks = [asyncio.create_task(client.asend(UNKNOWN_JOB)) for _ in range(5)]
                await asyncio.sleep(0.1)
                tasks[1].cancel()
                tasks[2].cancel()
                return await asyncio.gather(*tasks, return_exceptions=True)

        results = asyncio.run(work())
        assert [type(result) for result in results].count(AdobeNotFoundError) == 3
        assert tokens(adobe) == 1


WEIRD = [
    b"",
    b"null",
    b"[]",
    b"5",
    b'"token"',
    b"{}",
    b"<html>sign in</html>",
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"access_token": null, "expires_in": 5}',
    b'{"access_token": "", "expires_in": 5}',
    b'{"access_token": 5, "expires_in": 5}',
    b'{"access_token": ["t0ken"], "expires_in": 5}',
    b'{"access_token": "t0\\r\\nx-sandbox-name: prod", "expires_in": 5}',
    b'{"access_token": "t0ken ", "expires_in": 5}',
    b'{"access_token": " t0ken", "expires_in": 5}',
    b'{"access_token": "t0 ken", "expires_in": 5}',
    b'{"access_token": "t0\\u0000ken", "expires_in": 5}',
    b'{"access_token": "t\\u043eken", "expires_in": 5}',
    b'{"access_token": "t\\ud800ken", "expires_in": 5}',
    b'{"token_type": "bearer", "refresh_token": "t0ken", "expires_in": 5}',
]


@pytest.mark.parametrize("body", WEIRD, ids=range(len(WEIRD)))
def test_success_without_a_token(drive: Driver, adobe: Any, connect: Any, body: bytes) -> None:
    adobe.faults.add(Fault(path="/ims/", times=None, status=200, body=body, content_type="application/json"))
    with pytest.raises(AdobeAuthError, match="with success but without a token") as raised:
        drive.send(connect(policy=ONCE), CREATE)
    assert (raised.value.status, raised.value.transient) == (200, True)
    assert "t0" not in str(raised.value)
    assert service(adobe) == 0


class TestSecrecy:
    """Nothing secret in a text of ours, however Adobe answers, and whatever is logged at the lowest level."""

    @pytest.fixture
    def log(self, caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
        for name in ("airflow_provider_adobe_deletion", "httpx", "httpcore", "hpack", "asyncio", "tenacity", "jwt"):
            caplog.set_level(logging.DEBUG, logger=name)
        caplog.set_level(logging.DEBUG)
        return lambda: caplog.text + "".join(str(record.__dict__) for record in caplog.records)

    @pytest.fixture
    def echo(self) -> Iterator[Any]:
        """An IMS that repeats in its refusal whatever it was sent."""
        how: dict[str, Any] = {"status": 400}

        def answer(heard: Heard) -> tuple[int, dict[str, str], bytes]:
            form = {name: value for name, (value,) in parse_qs(heard.body.decode()).items()}
            every = " and ".join(form.values())
            shapes = {
                "description": {"error": "invalid_token", "error_description": f"cannot use {every}"},
                "code": {"error": form.get("jwt_token", form["client_secret"])},
                "secret as code": {"errorCode": form["client_secret"], "requestId": form["client_secret"]},
                "type": {"type": f"x/{form['client_secret']}", "title": every},
                "id": {"errorId": form.get("jwt_token"), "message": "no"},
                "list": {"errors": [{"message": every}]},
                "success": {"error_description": every},
            }
            if how["shape"] == "text":
                return how["status"], {}, every.encode()
            return how["status"], {}, json.dumps(shapes[how["shape"]]).encode()

        with stranger(answer) as ims:
            yield ims, how

    @pytest.mark.parametrize(
        "shape", ["description", "code", "secret as code", "type", "id", "list", "text", "success"]
    )
    @pytest.mark.parametrize("status", [400, 200])
    def test_an_ims_that_echoes(self, connect: Any, echo: Any, log: Any, jwt: bool, shape: str, status: int) -> None:
        ims, how = echo
        how.update(shape=shape, status=status)
        secrets: list[str] = []
        client = connect(jwt=jwt, ims_url=ims.url, on_secret=secrets.append, policy=ONCE)
        with pytest.raises(AdobeError) as raised:
            client.send(CREATE)
        assert len(secrets) == (len(ims.heard) if jwt else 0)
        self.check(client, secrets, raised.value, log())

    def test_a_life_with_everything_in_it(self, drive: Driver, adobe: Any, connect: Any, log: Any, jwt: bool) -> None:
        secrets: list[str] = []
        client = connect(jwt=jwt, on_secret=secrets.append)
        drive.send(client, CREATE)
        adobe.revoke_tokens()
        ask(drive, client)
        errors = []
        for fault in (
            Fault(path="/system/jobs", times=None, status=401),
            Fault(path="/system/jobs", times=None, abort=True),
            Fault(path="/system/jobs", times=None, status=503),
            Fault(path="/ims/", times=None, abort=True),
            Fault(path="/ims/", times=None, status=403, body="x"),
        ):
            adobe.faults.clear()
            adobe.faults.add(fault)
            if "ims" in fault.path:
                adobe.revoke_tokens()
            with pytest.raises(AdobeError) as raised:
                drive.send(client, CREATE)
            errors.append(raised.value)
        assert len(secrets) >= 3
        for error in errors:
            self.check(client, secrets, error, log())

    def check(self, client: AdobeClient, secrets: list[str], error: BaseException, logged: str) -> None:
        chain: list[BaseException] = []
        link: BaseException | None = error
        while link is not None and link not in chain:
            chain.append(link)
            link = link.__cause__ or link.__context__
        told = "".join(
            [
                *("".join(traceback.format_exception(each)) for each in chain),
                *(f"{each}{each!r}{each.args}{vars(each)}" for each in chain),
                f"{client!r}{client.config!r}{client._auth!r}{vars(client)}{token_cache(client.config)!r}",
                logged,
            ]
        )
        key = client.config.private_key.splitlines()[1:-1]
        # Texts are cut, so that a part of a long secret is looked for; what begins a JWT is no secret.
        for secret in [client.config.client_secret, *key, *(secret[40:72] for secret in secrets)]:
            assert len(secret) > 20
            assert secret not in told

    @pytest.mark.parametrize("cancel", [False, True])
    def test_each_secret_is_registered_before_its_first_use(
        self, drive: Driver, adobe: Any, connect: Any, jwt: bool, cancel: bool
    ) -> None:
        seen: list[tuple[str, int, int, str]] = []

        def register(secret: str) -> None:
            seen.append((secret, tokens(adobe), service(adobe), threading.current_thread().name))

        client = connect(jwt=jwt, on_secret=register)
        ask(drive, client)
        adobe.revoke_tokens()
        ask(drive, client)
        names = ["jwt", "token"] * 2 if jwt else ["token"] * 2
        assert ["jwt" if secret.count(".") == 2 else "token" for secret, *_ in seen] == names
        assert [counts[1:3] for counts in seen] == ([(0, 0), (1, 0), (1, 2), (2, 2)] if jwt else [(1, 0), (2, 2)])
        assert len({secret for secret, *_ in seen}) == len(seen) or jwt
        on_main = {name == "MainThread" for *_, name in seen}
        assert on_main == {drive.kind == "sync"}

    def test_a_masker_that_fails_does_not_leave_the_token_locked(self, drive: Driver, connect: Any, jwt: bool) -> None:
        def broken(secret: str) -> None:
            raise RuntimeError("no masker")

        for _ in range(2):
            with pytest.raises(RuntimeError, match="no masker"):
                drive.send(connect(jwt=jwt, on_secret=broken), UNKNOWN_JOB)
        ask(drive, connect(jwt=jwt))
