"""What a connection may say: every wrong value is refused before any request, in a sentence that names the field."""

from __future__ import annotations

import dataclasses
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.auth import signed_jwt
from airflow_provider_adobe_deletion.adobe.calls import Call, Service
from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError

from .driving import Driver

SECRET = "p8e-very-secret-value"
LOGIN = "login (client id)"
PASSWORD = "password (client secret)"


def pem(key: Any, kind: Any = serialization.PrivateFormat.PKCS8, password: bytes | None = None) -> str:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    text: bytes = key.private_bytes(serialization.Encoding.PEM, kind, how)
    return text.decode()


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PKCS8 = pem(RSA)
PKCS1 = pem(RSA, serialization.PrivateFormat.TraditionalOpenSSL)
PUBLIC = (
    RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)


def config(login: Any = "client", password: Any = SECRET, **extra: Any) -> AdobeConfig:
    return AdobeConfig.from_connection(login, password, extra)


BAD_URLS = [
    "http://platform.adobe.io",
    "HTTP://platform.adobe.io",
    "http://127.0.0.1.evil.com",
    "http://127.0.0.1@evil.com",
    "http://localhost@evil.com:80",
    "http://localhost.evil.com",
    "http://localhost%2eevil.com",
    "http://127.1",
    "http://2130706433",
    "http://0.0.0.0",
    "http://[::ffff:127.0.0.1]",
    "http://127.0.0.1\\@evil.com",
    "http://localhost\\.evil.com",
    "http://localhost#@evil.com",
    "http://localhost?@evil.com",
    "https://user:pw@platform.adobe.io",
    "https://user@platform.adobe.io",
    "https://@platform.adobe.io",
    "https://:@platform.adobe.io",
    "https://platform.adobe.io/data",
    "https://platform.adobe.io/../x",
    "https://platform.adobe.io//x",
    "https://platform.adobe.io?x=1",
    "https://platform.adobe.io?",
    "https://platform.adobe.io/?",
    "https://platform.adobe.io#x",
    "https://platform.adobe.io#",
    "https://platform.adobe.io/#/",
    "https://platform.adobe.io;x",
    "https://platform.adobe.io:port",
    "https://platform.adobe.io:99999",
    "https://platform.adobe.io:-1",
    "https://",
    "https:",
    "https:platform.adobe.io",
    "https:///platform.adobe.io",
    "//platform.adobe.io",
    "platform.adobe.io",
    "platform.adobe.io:443",
    "ftp://platform.adobe.io",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/html,x",
    "httpss://platform.adobe.io",
    "https://platform.\u0430dobe.io",
    "https://platform\uff0eadobe.io",
    "https://platform.adobe.io\u2044@evil.com",
    "https://platform.adobe.io\r\nHost: evil.com",
    "https://platform.adobe.io\nx",
    "https://platform.ado\tbe.io",
    "https://platform.adobe.io\x00.evil.com",
    "https://platform.adobe.io\x7f",
    "https://platform adobe.io",
    "https://platform.adobe.io\\@evil.com",
    "https:\\\\platform.adobe.io",
    "https://platform..adobe.io",
    "https://.adobe.io",
    "https://.",
    "https://" + "a" * 64 + ".adobe.io",
    "https://*.adobe.io",
    "https://a,b.adobe.io",
    "https://plat%66orm.adobe.io",
    "https://%00",
    "https://a'b",
    'https://a"b',
    "https://a<b>",
    "https://[::1",
    "https://[::1]x",
    "https://[v1.x]",
    "https://[::1%25eth0]",
]


@pytest.mark.parametrize("field", ["ims_url", "platform_url", "analytics_url"])
@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_is_not_a_bare_https_host_is_refused(field: str, url: str) -> None:
    with pytest.raises(AdobeConfigError, match=rf"The Adobe connection's {field} must be an https address") as refused:
        config(**{field: url})
    assert "pw" not in str(refused.value)
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://platform.adobe.io", "https://platform.adobe.io"),
        ("https://platform.adobe.io/", "https://platform.adobe.io"),
        ("  https://platform.adobe.io  ", "https://platform.adobe.io"),
        ("https://platform-stage.adobe.io:8443", "https://platform-stage.adobe.io:8443"),
        ("https://a_b.internal", "https://a_b.internal"),
        ("https://10.0.0.1", "https://10.0.0.1"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://LOCALHOST:8080", "http://LOCALHOST:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_proper_address_is_kept(url: str, kept: str) -> None:
    assert config(platform_url=url).platform_url == kept


INJECTIONS = [
    "a b",
    "a\r\nx-sandbox-name: prod",
    "a\nb",
    "a\tb",
    "a\x00b",
    "a\x7fb",
    "\u0430",
    "a\u00a0b",
    "a\ud800",
    "a" * 1025,
]


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize(("field", "label"), [("org_id", "org_id"), ("sandbox_id", "sandbox_id"), ("client_id", LOGIN)])
def test_what_cannot_be_a_header_value_is_refused(field: str, label: str, value: str) -> None:
    with pytest.raises(AdobeConfigError) as refused:
        config(login=value) if field == "client_id" else config(**{field: value})
    assert label in str(refused.value)
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        *INJECTIONS,
        "Prod",
        "PROD",
        "My Sandbox",
        "prod,dev",
        "prod;",
        "prod/..",
        "-prod",
        "prod_1",
        "prod.",
        "*",
        "\u017f",
    ],
)
def test_a_sandbox_title_is_no_sandbox_name(value: str) -> None:
    with pytest.raises(AdobeConfigError, match="sandbox_name must be"):
        config(sandbox_name=value)


@pytest.mark.parametrize("value", ["a/b", "a b", "a?b", "..", "a%2fb", "\u0435xampl0", "a\n", "a" * 256])
def test_a_company_id_that_could_leave_its_place_in_the_path_is_refused(value: str) -> None:
    bad = AdobeConfig if value.endswith("\n") else config
    with pytest.raises(AdobeConfigError, match="global_company_id must be"):
        bad(global_company_id=value)


@pytest.mark.parametrize("value", ["OAuth", "OAUTH", "oauth2", "service", "jwt,oauth", "none"])
def test_an_unknown_way_to_authenticate_is_refused(value: str) -> None:
    with pytest.raises(AdobeConfigError, match="auth must be oauth or jwt"):
        config(auth=value)


@pytest.mark.parametrize("value", ["Azure", "AWS", "gcp", "azure|aws"])
def test_an_unknown_cloud_is_refused(value: str) -> None:
    with pytest.raises(AdobeConfigError, match="cloud must be azure or aws"):
        config(cloud=value)


@pytest.mark.parametrize("value", [5, 0, 1.5, True, False, ["oauth"], {"a": 1}, b"oauth", ()])
@pytest.mark.parametrize(
    "field",
    [entry.name for entry in dataclasses.fields(AdobeConfig) if entry.name not in ("client_id", "client_secret")],
)
def test_every_extra_must_be_text(field: str, value: Any) -> None:
    with pytest.raises(AdobeConfigError, match=rf"The Adobe connection's {field} must be text\."):
        config(**{field: value})


@pytest.mark.parametrize("value", [None, "", "   ", "\n"])
def test_blank_extras_count_as_absent(value: str | None) -> None:
    made = config(auth=value, cloud=value, sandbox_name=value, ims_url=value, private_key=value)
    assert made == config()
    assert (made.auth, made.cloud, made.ims_url) == ("oauth", "azure", "https://ims-na1.adobelogin.com")


def test_extras_that_are_not_ours_are_ignored_and_cannot_replace_login_and_password() -> None:
    made = config(client_id="other", client_secret="other", anything=5, __class__="x")
    assert (made.client_id, made.client_secret) == ("client", SECRET)


class TestPrivateKey:
    @pytest.mark.parametrize("original", [PKCS8, PKCS1], ids=["pkcs8", "pkcs1"])
    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: text,
            lambda text: text.strip(),
            lambda text: text.replace("\n", " "),
            lambda text: text.replace("\n", "\\n"),
            lambda text: text.replace("\n", "\\r\\n"),
            lambda text: text.replace("\n", "\r\n"),
            lambda text: text.replace("\n", "\n\n"),
            lambda text: text.replace("\n", ""),
            lambda text: "\n  ".join(text.splitlines()),
            lambda text: "\t".join(text.splitlines()),
        ],
        ids=[
            "whole",
            "stripped",
            "blanks",
            "backslash-n",
            "backslash-rn",
            "crlf",
            "double",
            "joined",
            "indent",
            "tabs",
        ],
    )
    def test_lost_line_breaks_are_restored_and_the_key_signs(self, original: str, damage: Any) -> None:
        made = config(
            auth="jwt",
            org_id="o@AdobeOrg",
            technical_account_id="t@x",
            metascopes="m1, m2",
            private_key=damage(original),
        )
        assert made.private_key == original
        claims = jwt.decode(
            signed_jwt(made), RSA.public_key(), algorithms=["RS256"], audience="https://ims-na1.adobelogin.com/c/client"
        )
        assert claims["iss"] == "o@AdobeOrg"
        assert claims["sub"] == "t@x"
        assert claims["https://ims-na1.adobelogin.com/s/m1"] is True
        assert claims["https://ims-na1.adobelogin.com/s/m2"] is True
        assert type(claims["exp"]) is int

    @pytest.mark.parametrize(
        "text",
        [
            "not a key",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----",
            PKCS8.replace("-----END PRIVATE KEY-----", ""),
            PKCS8.replace("-----BEGIN PRIVATE KEY-----", ""),
            PKCS8.replace("END PRIVATE", "END RSA PRIVATE"),
            PKCS8.replace("PRIVATE", "PUBLIC"),
            PKCS8.replace("\n", "*", 3),
            PKCS8 + PKCS8,
            PKCS8.lower(),
            PUBLIC,
            f'"{PKCS8}"',
            "x" + PKCS8,
            PKCS8.encode().hex(),
            pem(RSA, serialization.PrivateFormat.TraditionalOpenSSL, b"pw"),
        ],
        ids=range(15),
    )
    def test_what_is_no_pem_is_refused_without_quoting_it(self, text: str) -> None:
        with pytest.raises(AdobeConfigError, match="private_key is not a PEM private key") as refused:
            config(private_key=text)
        assert PKCS8.splitlines()[2] not in str(refused.value)

    @pytest.mark.parametrize(
        "text",
        [
            pem(RSA, password=b"pw"),
            pem(ec.generate_private_key(ec.SECP256R1())),
            pem(ec.generate_private_key(ec.SECP256R1()), serialization.PrivateFormat.TraditionalOpenSSL),
            pem(ed25519.Ed25519PrivateKey.generate()),
            pem(RSA, serialization.PrivateFormat.OpenSSH),
            "-----BEGIN PRIVATE KEY-----\nbm8ga2V5IGF0IGFsbA==\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\n=\n-----END PRIVATE KEY-----",
            PKCS8.replace(PKCS8.splitlines()[5], PKCS8.splitlines()[6]),
        ],
        ids=["encrypted", "ec", "ec-sec1", "ed25519", "openssh", "garbage", "empty", "damaged"],
    )
    def test_a_key_that_cannot_sign_is_refused_before_any_request(
        self, drive: Driver, adobe: Any, connect: Any, text: str
    ) -> None:
        client = connect(jwt=True, private_key=text)
        with pytest.raises(
            AdobeConfigError, match="private_key cannot sign: it must be an unencrypted RSA key"
        ) as refused:
            drive.send(client, profile.get_job("j-1"))
        assert len(adobe.journal) == 0
        assert text.splitlines()[1] not in "".join(map(str, (refused.value, refused.value.__cause__)))


PLATFORM = (Service.PROFILE, Service.HYGIENE)
COMMON = {"login": LOGIN, "password": PASSWORD, "org_id": "org_id"}
OAUTH = {**COMMON, "scopes": "scopes"}
JWT = {
    **COMMON,
    "technical_account_id": "technical_account_id",
    "private_key": "private_key",
    "metascopes": "metascopes",
}
MISSING = [
    *[(service, {}, name, label) for service in Service for name, label in OAUTH.items()],
    *[(service, {"jwt": True}, name, label) for service in Service for name, label in JWT.items()],
    *[(service, {}, "sandbox_name", "sandbox_name") for service in PLATFORM],
    (Service.PROFILE, {"cloud": "aws"}, "sandbox_id", "sandbox_id"),
]


@pytest.mark.parametrize(("service", "kind", "field", "label"), MISSING)
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_missing_field_is_named_before_any_request(
    drive: Driver,
    adobe: Any,
    connect: Any,
    service: Service,
    kind: dict[str, Any],
    field: str,
    label: str,
    blank: str,
) -> None:
    client = connect(**kind, **{field: blank})
    call = Call(service, "GET", "/x", "do something", lambda reply: None)
    with pytest.raises(AdobeConfigError, match="The Adobe connection has no ") as refused:
        drive.send(client, call)
    assert str(refused.value).startswith(f"The Adobe connection has no {label}, needed to do something.")
    assert len(adobe.journal) == 0


def test_a_missing_sandbox_is_explained(connect: Any) -> None:
    with pytest.raises(AdobeConfigError, match="no default, because Adobe works on the production sandbox"):
        connect(sandbox_name=None).send(profile.get_job("j-1"))


def test_nothing_secret_is_in_what_a_configuration_shows_of_itself() -> None:
    made = config(private_key=PKCS8, auth="jwt")
    shown = f"{made!r}{made}{made.credential_key}"
    assert SECRET not in shown
    assert PKCS8.splitlines()[1] not in shown
    assert "PRIVATE" not in shown


@pytest.mark.parametrize(
    "change",
    [
        {"login": "other"},
        {"password": "other"},
        {"org_id": "other@AdobeOrg"},
        {"scopes": "openid"},
        {"auth": "jwt"},
        {"metascopes": "m"},
        {"technical_account_id": "t"},
        {"private_key": PKCS8},
        {"ims_url": "https://ims-na1-stg1.adobelogin.com"},
    ],
)
def test_whatever_belongs_to_a_credential_tells_it_from_others(change: dict[str, Any]) -> None:
    assert config(**change).credential_key != config().credential_key


def test_what_does_not_belong_to_a_credential_does_not_multiply_its_tokens() -> None:
    one = config(scopes="openid, AdobeID", sandbox_name="dev", cloud="azure")
    other = config(scopes="openid,AdobeID", sandbox_name="prod", cloud="aws", sandbox_id="x", global_company_id="c")
    assert one.credential_key == other.credential_key
    assert one.scope == "openid,AdobeID"


@pytest.mark.parametrize("field", ["password", "scopes", "metascopes", "technical_account_id"])
@pytest.mark.parametrize("value", ["a\ud800b", "a\x00b"])
def test_text_that_cannot_be_sent_is_refused(field: str, value: str) -> None:
    with pytest.raises(AdobeConfigError) as refused:
        config(**{field: value})
    assert (PASSWORD if field == "password" else field) in str(refused.value)
    assert value not in str(refused.value)
