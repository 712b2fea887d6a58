from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_adobe_deletion.simulator import AdobeSimulator

TOKEN = "/ims/token/v3"
EXCHANGE = "/ims/exchange/jwt"
IMS_HOST = "https://ims-na1.adobelogin.com"


def oauth_form(adobe: AdobeSimulator, **changes: str) -> dict[str, str]:
    connection = adobe.connection()
    return {
        "grant_type": "client_credentials",
        "client_id": connection["login"],
        "client_secret": connection["password"],
        "scope": connection["extra"]["scopes"],
        **changes,
    }


def jwt_form(
    adobe: AdobeSimulator,
    key: Any = None,
    algorithm: str = "RS256",
    form: dict[str, str] | None = None,
    **changes: Any,
) -> dict[str, str]:
    connection = adobe.jwt_connection()
    extra = connection["extra"]
    claims: dict[str, Any] = {
        "exp": int(time.time()) + 300,
        "iss": extra["org_id"],
        "sub": extra["technical_account_id"],
        "aud": f"{IMS_HOST}/c/{connection['login']}",
        **{f"{IMS_HOST}/s/{scope}": True for scope in extra["metascopes"].split(",")},
        **changes,
    }
    signed = jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        key or extra["private_key"],
        algorithm=algorithm,
    )
    return {
        "client_id": connection["login"],
        "client_secret": connection["password"],
        "jwt_token": signed,
        **(form or {}),
    }


def test_oauth_grant_answers_in_seconds(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    answer = plain.post(TOKEN, data=oauth_form(adobe))
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 86399)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_id": "nobody"}, 400, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"scope": "openid,too_much"}, 400, "invalid_scope"),
        ({"scope": "openid, AdobeID"}, 400, "invalid_scope"),
        ({"scope": ""}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_oauth_refusals(
    adobe: AdobeSimulator, plain: httpx.Client, changes: dict[str, str], status: int, error: str
) -> None:
    answer = plain.post(TOKEN, data=oauth_form(adobe, **changes))
    assert answer.status_code == status
    assert answer.json()["error"] == error
    assert answer.json()["error_description"]


def test_parameters_in_the_query_work_but_are_seen(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    assert plain.post(TOKEN, params=oauth_form(adobe)).status_code == 200
    entry = adobe.journal[-1]
    assert entry.query["client_secret"] == "***"
    assert entry.query["grant_type"] == "client_credentials"


@pytest.mark.parametrize("multipart", [False, True])
def test_jwt_grant_answers_in_milliseconds(adobe: AdobeSimulator, plain: httpx.Client, multipart: bool) -> None:
    form = jwt_form(adobe)
    if multipart:
        answer = plain.post(EXCHANGE, files={name: (None, value) for name, value in form.items()})
    else:
        answer = plain.post(EXCHANGE, data=form)
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 86399 * 1000


def test_jwt_may_name_the_simulator_as_ims(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    login = adobe.jwt_connection()["login"]
    changes: dict[str, Any] = {
        "aud": f"{adobe.url}/c/{login}",
        f"{IMS_HOST}/s/ent_analytics_bulk_ingest_sdk": None,
        f"{IMS_HOST}/s/ent_dataservices_sdk": None,
        f"{adobe.url}/s/ent_dataservices_sdk": True,
    }
    assert plain.post(EXCHANGE, data=jwt_form(adobe, **changes)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"aud": "https://ims-na1.adobelogin.com/c/other"}, 400, "invalid_client"),
        ({"form": {"client_id": "other"}}, 400, "invalid_client"),
        ({"form": {"client_secret": "wrong"}}, 401, "invalid_client"),
        ({"form": {"jwt_token": "no.jwt"}}, 400, "invalid_token"),
        ({"form": {"jwt_token": ""}}, 400, "invalid_token"),
        ({"exp": 1_600_000_000}, 400, "invalid_token"),
        ({"exp": time.time() + 300.5}, 400, "invalid_token"),
        ({"exp": None}, 400, "invalid_token"),
        ({"jti": "text"}, 400, "invalid_token"),
        ({"iss": "someone@AdobeOrg"}, 400, "bad_request"),
        ({"sub": "someone@techacct.adobe.com"}, 400, "bad_request"),
        ({f"{IMS_HOST}/s/ent_gdpr_sdk": True}, 400, "invalid_scope"),
        ({"key": "s" * 32, "algorithm": "HS256"}, 400, "invalid_signature"),
    ],
)
def test_jwt_refusals(
    adobe: AdobeSimulator, plain: httpx.Client, changes: dict[str, Any], status: int, error: str
) -> None:
    answer = plain.post(EXCHANGE, data=jwt_form(adobe, **changes))
    assert answer.status_code == status
    assert answer.json()["error"] == error


def test_jwt_signed_with_another_key_is_refused(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    answer = plain.post(EXCHANGE, data=jwt_form(adobe, key=stranger))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_signature"


def test_each_credential_has_one_grant(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    answer = plain.post(TOKEN, data=oauth_form(adobe, client_id=adobe.jwt_connection()["login"]))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    wrong = {"client_id": adobe.connection()["login"]}
    answer = plain.post(EXCHANGE, data=jwt_form(adobe, form=wrong))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_jwt_token_opens_only_the_services_of_its_metascopes(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    without: dict[str, Any] = {f"{IMS_HOST}/s/ent_dataservices_sdk": None}
    form = jwt_form(adobe, **without)
    token = plain.post(EXCHANGE, data=form).json()["access_token"]
    headers = {
        "authorization": f"Bearer {token}",
        "x-api-key": adobe.jwt_connection()["login"],
        "x-gw-ims-org-id": adobe.settings.org_id,
    }
    answer = plain.get("/data/core/ups/system/jobs", headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "403025")


def test_rotated_secret_ends_the_old_one(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    old = oauth_form(adobe)
    adobe.rotate_secret("brand-new")
    assert plain.post(TOKEN, data=old).status_code == 401
    assert plain.post(TOKEN, data=oauth_form(adobe)).status_code == 200
    assert adobe.connection()["password"] == "brand-new"


def test_tokens_are_revoked_and_expire(adobe: AdobeSimulator, client: httpx.Client, access_token: str) -> None:
    path = "/data/core/ups/system/jobs"
    assert client.get(path).status_code == 200
    adobe.advance(86400)
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (
        401,
        {"error_code": "401013", "message": "Oauth token is not valid"},
    )
    adobe.reset()
    assert client.get(path).status_code == 200
    adobe.revoke_tokens()
    assert client.get(path).status_code == 401


def test_journal_holds_no_secret(
    adobe: AdobeSimulator, plain: httpx.Client, client: httpx.Client, access_token: str
) -> None:
    plain.post(TOKEN, data=oauth_form(adobe))
    form = jwt_form(adobe)
    plain.post(EXCHANGE, data=form)
    client.get("/data/core/ups/system/jobs", params={"validationToken": "gAAAAAB"})
    text = repr(list(adobe.journal))
    assert len(adobe.journal) >= 3
    for secret in (form["client_secret"], form["jwt_token"], access_token, "gAAAAAB"):
        assert secret not in text


def test_all_secrets_are_told_to_tests(adobe: AdobeSimulator, plain: httpx.Client, client: httpx.Client) -> None:
    token = plain.post(TOKEN, data=oauth_form(adobe)).json()["access_token"]
    form = jwt_form(adobe)
    by_jwt = plain.post(EXCHANGE, data=form).json()["access_token"]
    days = {"dateRangeStart": "2026-01-01", "dateRangeEnd": "2026-01-02"}
    estimate = client.get("/api/exampl0/datarepair/v1/suite/serverCallEstimate", params=days).json()
    wanted = {token, by_jwt, form["jwt_token"], form["client_secret"], estimate["validationToken"]}
    adobe.reset()
    assert wanted | {adobe.jwt_connection()["extra"]["private_key"]} <= adobe.secrets()
    adobe.rotate_secret("another")
    assert "another" in adobe.secrets()
