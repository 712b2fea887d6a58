"""Every way in which Adobe says no becomes one readable, typed error; nothing that it says can break the parser."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.calls import Call, Service
from airflow_provider_adobe_deletion.adobe.client import RetryPolicy
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeDuplicateError,
    AdobeNotFoundError,
    AdobeRateLimitError,
    AdobeServerError,
    api_error,
)
from airflow_provider_adobe_deletion.simulator import Fault

from .driving import Driver

ONCE = RetryPolicy(attempts=1)
CHAIN = {"serviceId": "HYGN", "errorCode": "HYGN-3102-400", "invokingServiceId": "x", "unixTimeStampMs": 1}
HTML = "<html>\n<head><title>404 Not Found</title></head><body>openresty</body></html>"

# shape, HTTP status, body, type, code, request id, what the sentence says
SHAPES = [
    (
        "E1",
        403,
        {"error_code": "403025", "message": "Profile is not valid"},
        AdobeAPIError,
        "403025",
        None,
        "Profile is",
    ),
    ("E1 number", 400, {"error_code": 400003, "message": "no org"}, AdobeAPIError, "400003", None, "no org"),
    (
        "E2",
        404,
        {"errorCode": "not_found", "errorDescription": "No such suite.", "errorId": "auth-1"},
        AdobeNotFoundError,
        "not_found",
        "auth-1",
        "No such suite",
    ),
    (
        "E3",
        400,
        {
            "type": "http://ns.adobe.com/aep/errors/HYGN-3102-400",
            "title": "Dataset not found",
            "status": 500,
            "report": {"tenantInfo": {"sandboxName": "prod"}},
            "error-chain": [CHAIN],
        },
        AdobeAPIError,
        "HYGN-3102-400",
        None,
        "Dataset not found",
    ),
    ("E3 chain only", 400, {"error-chain": [CHAIN]}, AdobeAPIError, "HYGN-3102-400", None, "HYGN-3102-400"),
    (
        "E3 sandbox",
        404,
        {"status": 200, "title": "Sandbox x not found", "type": "http://ns.adobe.com/aep/errors/SMS-2001-404"},
        AdobeNotFoundError,
        "SMS-2001-404",
        None,
        "Sandbox x not found",
    ),
    (
        "E4",
        400,
        {"type": "/placeholder/type/uri", "status": 400, "title": "BAD_REQUEST", "detail": "No Content-Type"},
        AdobeAPIError,
        "uri",
        None,
        "No Content-Type",
    ),
    (
        "E4 429",
        429,
        {"title": "RequestRateTooLarge", "status": 200, "detail": "slow down"},
        AdobeRateLimitError,
        None,
        None,
        "slow down",
    ),
    (
        "E5",
        400,
        {"requestId": "bc4eb29f", "errors": {"400": [{"code": "500", "message": "Batch refused"}]}},
        AdobeAPIError,
        None,
        "bc4eb29f",
        "Batch refused",
    ),
    (
        "E5 duplicate",
        422,
        {"requestId": "r", "errors": {"422": [{"code": "422", "message": "already exists"}]}},
        AdobeDuplicateError,
        None,
        "r",
        "already exists",
    ),
    (
        "E6",
        429,
        {"message": "Too many requests", "cause": "quota", "statusCode": "200", "retryAfterMs": "1500"},
        AdobeRateLimitError,
        None,
        None,
        "Too many requests",
    ),
    (
        "E7",
        403,
        {"error": "invalid_client", "error_description": "client unknown"},
        AdobeAPIError,
        "invalid_client",
        None,
        "client unknown",
    ),
    ("E7 bare", 403, {"error": "Forbidden"}, AdobeAPIError, "Forbidden", None, "Forbidden"),
    ("E8", 500, {"errorMessage": "flow broke"}, AdobeServerError, None, None, "flow broke"),
    ("E8 HTML", 404, HTML, AdobeNotFoundError, None, None, "an HTML page instead of an answer"),
    ("E8 doctype", 503, "\n<!DOCTYPE html><p>x", AdobeServerError, None, None, "an HTML page instead of an answer"),
    ("E8 text", 502, "upstream\n  connect   error", AdobeServerError, None, None, "upstream connect error"),
    ("E8 empty", 403, None, AdobeAPIError, None, None, "to look up Profile job j-1 (HTTP 403, "),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "request_id", "said"),
    [row[1:] for row in SHAPES],
    ids=[row[0] for row in SHAPES],
)
def test_every_shape_becomes_a_typed_error(
    drive: Driver,
    adobe: Any,
    connect: Any,
    status: int,
    body: Any,
    kind: type[AdobeAPIError],
    code: str | None,
    request_id: str | None,
    said: str,
) -> None:
    adobe.faults.add(Fault("GET", "/system/jobs", status=status, body=body))
    with pytest.raises(AdobeAPIError) as raised:
        drive.send(connect(policy=ONCE), profile.get_job("j-1"))
    error, text = raised.value, str(raised.value)
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert text.startswith(f"Adobe {'failed' if status >= 500 else 'refused'} to look up Profile job j-1")
    assert f"(HTTP {status}" in text
    assert said in text
    assert text.endswith(".")
    assert ")." in text
    assert "\n" not in text
    if request_id:
        assert error.request_id == request_id
        assert f"request id {request_id}" in text
    else:
        # The simulator, like Adobe, always names the exchange in a header.
        assert error.request_id
        assert error.request_id in text
    if code:
        assert f"code {code}" in text


def test_the_status_outranks_a_body_that_claims_another(drive: Driver, adobe: Any, connect: Any) -> None:
    body = {"status": 404, "statusCode": "422", "error_code": "404003", "message": "not found", "errors": {"429": []}}
    adobe.faults.add(Fault("GET", "/system/jobs", status=400, body=body))
    with pytest.raises(AdobeAPIError) as raised:
        drive.send(connect(), profile.get_job("j-1"))
    assert type(raised.value) is AdobeAPIError
    assert raised.value.status == 400


def test_an_error_body_with_a_success_status_is_no_refusal(drive: Driver, adobe: Any, connect: Any) -> None:
    body = {"id": "j-1", "status": "NEW", "error_code": "500001", "message": "broken"}
    adobe.faults.add(Fault("GET", "/system/jobs", status=200, body=body))
    assert drive.send(connect(), profile.get_job("j-1")).status == "NEW"


@pytest.mark.parametrize("shape", [lambda text: text, lambda text: {"message": text}, lambda text: {"error": text}])
def test_long_texts_are_cut(drive: Driver, adobe: Any, connect: Any, shape: Any) -> None:
    adobe.faults.add(Fault("GET", "/system/jobs", status=400, body=shape("long " * 10_000)))
    with pytest.raises(AdobeAPIError) as raised:
        drive.send(connect(), profile.get_job("j-1"))
    assert 400 < len(raised.value.detail) <= 500
    assert len(str(raised.value)) < 800


def test_a_text_is_one_printable_line(adobe: Any, connect: Any) -> None:
    body = b'{"message": "a\\r\\n\\u001b[31mb\\u0000c\\u2028d\\ud800e", "error_code": "x\\ny", "requestId": "r\\ns"}'
    adobe.faults.add(Fault("GET", "/system/jobs", status=400, body=body, content_type="application/json"))
    with pytest.raises(AdobeAPIError) as raised:
        connect().send(profile.get_job("j-1"))
    assert str(raised.value).isprintable()
    assert raised.value.detail == "a [31mb c d e"
    assert (raised.value.code, raised.value.request_id) == ("x y", "r s")


MAIL = "poul.anderson@example.com"
PLACES = [
    {"message": f"cannot delete {MAIL}"},
    {"error_code": MAIL, "message": "no"},
    {"errorCode": MAIL, "errorDescription": MAIL, "errorId": MAIL},
    {"type": f"http://ns.adobe.com/aep/errors/{MAIL}", "title": MAIL},
    {"error-chain": [{"errorCode": MAIL}]},
    {"requestId": MAIL, "errors": {"400": [{"message": MAIL}]}},
    {"error": MAIL},
    f"plain {MAIL} text",
    f"{'x' * 490} {MAIL}",
    "x " * 240 + MAIL,
]


@pytest.mark.parametrize("body", PLACES, ids=range(len(PLACES)))
@pytest.mark.parametrize("confidential", [(MAIL,), ("poul", MAIL, "example.com"), (MAIL, "", "n")])
def test_what_is_confidential_is_not_repeated_wherever_it_stands(
    adobe: Any, connect: Any, body: Any, confidential: tuple[str, ...]
) -> None:
    adobe.faults.add(Fault(status=400, path="/workorder", body=body, headers={"x-request-id": MAIL}))
    call = Call(
        Service.HYGIENE, "POST", "/workorder", "delete 1 identity", lambda reply: None, confidential=confidential
    )
    with pytest.raises(AdobeAPIError) as raised:
        connect().send(call)
    error = raised.value
    for text in (str(error), repr(error), error.detail, error.code, error.request_id):
        assert "anderson" not in str(text)
        assert "poul" not in str(text)


def wait(text: str | None = None, body: Any = None) -> float | None:
    return api_error("x", 429, body, {} if text is None else {"retry-after": text}, now=NOW).retry_after


NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("30", None, 30.0),
        (" 30 ", None, 30.0),
        ("0", None, 0.0),
        ("2400", None, 2400.0),
        (format_datetime(NOW + timedelta(minutes=40), usegmt=True), None, 2400.0),
        (format_datetime(NOW - timedelta(minutes=40), usegmt=True), None, 0.0),
        ("Thu, 01 Jan 2026 13:00:10 +0100", None, 10.0),
        (None, {"retryAfterMs": "1500"}, 1.5),
        (None, {"retryAfterMs": 1500}, 1.5),
        (None, {"retryAfterMs": "-5"}, 0.0),
        ("7", {"retryAfterMs": "1500"}, 7.0),
        ("soon", {"retryAfterMs": "1500"}, 1.5),
        (None, None, None),
        (None, {}, None),
        (None, {"retryAfterMs": None}, None),
        (None, {"retryAfterMs": "soon"}, None),
        (None, {"retryAfterMs": [1]}, None),
        (None, {"retryAfterMs": 10**400}, None),
        (None, {"retryAfterMs": "nan"}, None),
        (None, {"retryAfterMs": "inf"}, None),
        ("9" * 400, None, None),
        ("", None, None),
        (" ", None, None),
        ("-30", None, None),
        ("3.5", None, None),
        ("soon", None, None),
        ("Thu, 01 Jan 2026 13:00:10 -0000", None, None),
        ("Thu, 01 Jan 99999 13:00:10 GMT", None, None),
        ("Thu, 01 Jan 2026 13:00:10 +99999999999999", None, None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None, 251635118339.0),
    ],
)
def test_the_wait_that_adobe_asks_for(header: str | None, body: Any, seconds: float | None) -> None:
    assert wait(header, body) == seconds


LEAVES: list[Any] = [None, True, 0, -1, 1.5, 10**400, "", " ", "x", "400", "\ud800", "nan", "inf", [], {}, b"x", ["x"]]
KEYS = [
    "errorDescription",
    "error_description",
    "detail",
    "message",
    "errorMessage",
    "title",
    "errors",
    "error-chain",
    "errorCode",
    "error_code",
    "type",
    "error",
    "errorId",
    "requestId",
    "retryAfterMs",
    "status",
    "statusCode",
    "400",
    "code",
]


def weird(dice: random.Random, depth: int = 0) -> Any:
    choice = dice.random()
    if depth > 3 or choice < 0.4:
        return dice.choice(LEAVES)
    if choice < 0.6:
        return [weird(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(KEYS): weird(dice, depth + 1) for _ in range(dice.randrange(6))}


def test_no_body_breaks_the_parser() -> None:
    dice = random.Random(1)
    for _ in range(20_000):
        body, status = weird(dice), dice.choice([300, 304, 400, 401, 403, 404, 408, 409, 422, 429, 500, 503, 599])
        headers = {"retry-after": dice.choice(["", "x", "1", "Thu, 01", ",", "1 2 3 4 5 6", "::::", "0" * 50])}
        error = api_error("do it", status, body, headers, confidential=("x", "", "400"))
        assert error.status == status
        assert str(error).startswith(("Adobe refused to do it", "Adobe failed to do it"))
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        assert error.retry_after is None or 0 <= error.retry_after < float("inf")


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"true",
        b'{"errors": "text"}',
        b'{"errors": ["text"]}',
        b'{"errors": {"400": "text"}}',
        b'{"errors": {"400": ["text"]}}',
        b'{"errors": [{"message": 5}]}',
        b'{"error-chain": {"errorCode": "x"}}',
        b'{"error-chain": ["x"]}',
        b'{"message": {"text": "x"}}',
        b'{"requestId": {"a": ["b"]}, "errorCode": ["x"]}',
        b'{"message": "cut',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe\x00\xd8",
        b"\x00" * 1000,
        b"9" * 100_000,
    ],
    ids=range(20),
)
@pytest.mark.parametrize("status", [400, 503])
def test_no_body_breaks_a_call(adobe: Any, connect: Any, body: bytes, status: int) -> None:
    adobe.faults.add(Fault("GET", "/system/jobs", status=status, body=body, content_type="application/json"))
    with pytest.raises(AdobeAPIError) as raised:
        connect(policy=ONCE).send(profile.get_job("j-1"))
    assert raised.value.status == status
    assert len(str(raised.value)) < 800


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Invalid identity jane.canary@example.com", "Invalid identity [redacted]"),
        ("Invalid JANE.CANARY@EXAMPLE.COM, and <other@example.org>", "Invalid [redacted], and <[redacted]>"),
        ("nothing to hide for 8B1F@AdobeOrg", "nothing to hide for 8B1F@AdobeOrg"),
    ],
)
def test_what_adobe_writes_in_other_letters_is_redacted_too(text: str, left: str) -> None:
    error = api_error("do it", 400, {"message": text}, {}, confidential=["Jane.Canary@example.com"])
    assert error.detail == left
