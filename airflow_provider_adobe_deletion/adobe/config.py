"""What a connection says about an Adobe organisation: credentials, organisation, sandbox, addresses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from airflow_provider_adobe_deletion.adobe.calls import Service
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError

IMS_URL = "https://ims-na1.adobelogin.com"
PLATFORM_URL = "https://platform.adobe.io"
ANALYTICS_URL = "https://analytics.adobe.io"

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>{_LABEL}(\.{_LABEL})*\.?))(:(?P<port>[0-9]{{1,5}}))?/?",
    re.ASCII | re.IGNORECASE,
)
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_VISIBLE = re.compile(r"[\x21-\x7e]{1,1024}", re.ASCII)
_SINGLE_WORDS = ("client_id", "org_id", "sandbox_name", "sandbox_id", "technical_account_id")
# As RFC 6749 has it.
_SECRET = re.compile(r"[\x20-\x7e]{1,1024}", re.ASCII)
_ORG_ID = re.compile(r"[A-Za-z0-9._-]+@AdobeOrg", re.ASCII)
_SANDBOX_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,255}", re.ASCII)
_SANDBOX_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_COMPANY_ID = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_METASCOPE = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_LONGEST_LIST = 4_096


@dataclass(frozen=True)
class AdobeConfig:
    """Credentials and addresses of one Adobe organisation, checked on creation.

    :param client_id: the API key of the developer-console project (*login* of the connection).
    :param client_secret: its secret (*password* of the connection).
    :param org_id: the organisation, ``…@AdobeOrg``.
    :param auth: ``oauth`` (server-to-server) or ``jwt`` (legacy service account).
    :param scopes: OAuth scopes, comma separated, as the developer console shows them.
    :param sandbox_name: the sandbox of every Experience Platform call. It has no default, because Adobe
        deletes in the production sandbox where a request names none.
    :param sandbox_id: the sandbox's UUID; required for Profile jobs where ``cloud`` is ``aws``.
    :param cloud: the cloud that hosts the organisation's Platform, ``azure`` or ``aws``.
    :param global_company_id: the Analytics company; discovered when absent and unambiguous.
    :param technical_account_id: the JWT's subject.
    :param private_key: the JWT's signing key, PEM. Line breaks lost to a one-line form are restored.
    :param metascopes: the JWT's metascopes, comma separated, such as ``ent_dataservices_sdk``.
    :param ims_url: Adobe's identity service; https, except on loopback.
    :param platform_url: Experience Platform; https, except on loopback.
    :param analytics_url: Analytics; https, except on loopback.
    :raises AdobeConfigError: a value cannot be right. The message names the field, never the value of a secret.
    """

    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    org_id: str = ""
    auth: str = "oauth"
    scopes: str = ""
    sandbox_name: str = ""
    sandbox_id: str = ""
    cloud: str = "azure"
    global_company_id: str = ""
    technical_account_id: str = ""
    private_key: str = field(default="", repr=False)
    metascopes: str = ""
    ims_url: str = IMS_URL
    platform_url: str = PLATFORM_URL
    analytics_url: str = ANALYTICS_URL

    def __post_init__(self) -> None:
        for entry in fields(self):
            if not isinstance(getattr(self, entry.name), str):
                raise AdobeConfigError(f"The Adobe connection's {field_label(entry.name)} must be text.")
        _one_of("auth", self.auth, ("oauth", "jwt"))
        _one_of("cloud", self.cloud, ("azure", "aws"))
        for name in ("ims_url", "platform_url", "analytics_url"):
            object.__setattr__(self, name, _checked_url(name, getattr(self, name)))
        for name in _SINGLE_WORDS:
            if (value := getattr(self, name)) and not _VISIBLE.fullmatch(value):
                raise AdobeConfigError(
                    f"The Adobe connection's {field_label(name)} must be visible ASCII without spaces, "
                    "at most 1,024 characters."
                )
        if self.client_secret and not _SECRET.fullmatch(self.client_secret):
            raise AdobeConfigError(
                f"The Adobe connection's {field_label('client_secret')} must be printable ASCII, "
                "at most 1,024 characters."
            )
        if self.org_id and not _ORG_ID.fullmatch(self.org_id):
            raise AdobeConfigError("The Adobe connection's org_id must be an IMS organisation, ending in @AdobeOrg.")
        if self.sandbox_name and not _SANDBOX_NAME.fullmatch(self.sandbox_name):
            raise AdobeConfigError(
                "The Adobe connection's sandbox_name must be the sandbox's name, not its title: "
                "lower-case letters, digits and hyphens."
            )
        if self.sandbox_id and not _SANDBOX_ID.fullmatch(self.sandbox_id):
            raise AdobeConfigError(
                "The Adobe connection's sandbox_id must be the sandbox's UUID: digits, letters and -."
            )
        if self.global_company_id and not _COMPANY_ID.fullmatch(self.global_company_id):
            raise AdobeConfigError("The Adobe connection's global_company_id must be letters, digits, - or _.")
        _check_list("scopes", self.scopes, _VISIBLE)
        _check_list("metascopes", self.metascopes, _METASCOPE)
        if self.private_key:
            object.__setattr__(self, "private_key", normalised_pem(self.private_key))

    @classmethod
    def from_connection(cls, login: str | None, password: str | None, extra: Mapping[str, Any]) -> AdobeConfig:
        """Build it from an Airflow connection's login, password and extras.

        Blank extras count as absent, since forms store them so; extras that are not ours are ignored.
        """
        known = {entry.name for entry in fields(cls)} - {"client_id", "client_secret"}
        values = {name: _stripped(value) for name, value in extra.items() if name in known}
        values = {name: value for name, value in values.items() if value != ""}
        return cls(client_id=_stripped(login), client_secret=_stripped(password), **values)

    def require(self, names: tuple[str, ...], purpose: str) -> None:
        """Refuse unless every named field is set.

        :raises AdobeConfigError: the first one that is missing, by its name in the connection form.
        """
        for name in names:
            if not getattr(self, name):
                hint = (
                    " It has no default, because Adobe works on the production sandbox where a request names none."
                    if name == "sandbox_name"
                    else ""
                )
                raise AdobeConfigError(f"The Adobe connection has no {field_label(name)}, needed to {purpose}.{hint}")

    def require_for(self, service: Service, purpose: str) -> None:
        """Refuse unless all fields are set that a call to ``service`` needs, credentials included."""
        self.require(("client_id", "client_secret", "org_id"), purpose)
        if self.auth == "jwt":
            self.require(("technical_account_id", "private_key", "metascopes"), purpose)
        else:
            self.require(("scopes",), purpose)
        if service is Service.HYGIENE:
            self.require(("sandbox_name",), purpose)
        if service is Service.PROFILE:
            self.require(("sandbox_id" if self.cloud == "aws" else "sandbox_name",), purpose)

    @property
    def place(self) -> dict[str, str]:
        """Where the connection deletes: what a wait must keep to, should the connection be changed meanwhile."""
        names = ("org_id", "sandbox_name", "sandbox_id", "cloud", "global_company_id")
        return {name: getattr(self, name) for name in names}

    @property
    def scope(self) -> str:
        """The scopes as they are asked for: comma separated, without the console's blanks."""
        return ",".join(_listed(self.scopes))

    @property
    def metascope_names(self) -> tuple[str, ...]:
        """The JWT's metascopes, by name."""
        return _listed(self.metascopes)

    @property
    def credential_key(self) -> tuple[str, ...]:
        """What tells one credential from another: two connections that agree in it share a token."""
        secret = hashlib.sha256(f"{self.client_secret}\0{self.private_key}".encode()).hexdigest()
        return (
            self.ims_url,
            self.client_id,
            self.org_id,
            self.auth,
            self.scope,
            self.metascopes,
            self.technical_account_id,
            secret,
        )


def field_label(name: str) -> str:
    """Name a field as the connection form does."""
    return {"client_id": "login (client id)", "client_secret": "password (client secret)"}.get(name, name)


def _stripped(value: Any) -> Any:
    return "" if value is None else value.strip() if isinstance(value, str) else value


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[\s,]+", text) if part)


def _check_list(name: str, text: str, entry: re.Pattern[str]) -> None:
    entries = _listed(text)
    if text and (not entries or len(text) > _LONGEST_LIST or not all(map(entry.fullmatch, entries))):
        raise AdobeConfigError(
            f"The Adobe connection's {name} must be names as the developer console shows them, separated by commas, "
            f"at most {_LONGEST_LIST:,} characters."
        )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise AdobeConfigError(f"The Adobe connection's {name} must be {' or '.join(allowed)}.")


def _checked_url(name: str, value: str) -> str:
    problem = f"The Adobe connection's {name} must be an https address without path, query or credentials"
    match = _URL.fullmatch(value)
    if not match or int(match["port"] or 0) > 65535:
        raise AdobeConfigError(f"{problem}.")
    try:
        host = str(IPv6Address(match["ipv6"])) if match["ipv6"] else match["name"].lower()
    except AddressValueError:
        raise AdobeConfigError(f"{problem}.") from None
    if match["scheme"].lower() == "http" and host not in _LOOPBACK:
        raise AdobeConfigError(f"{problem}; plain http is for loopback only.")
    return value.rstrip("/")


_PEM = re.compile(r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----(?P<body>[A-Za-z0-9+/=\s]+)-----END (?P=kind)-----")


def normalised_pem(text: str) -> str:
    """Return a private key with the line breaks that a PEM needs.

    A password field keeps one line, so a pasted key arrives with blanks, or with a backslash and an n.

    :raises AdobeConfigError: it is not a PEM private key. The key is not in the message.
    """
    match = _PEM.fullmatch(text.replace("\\n", "\n").replace("\\r", "").strip())
    if not match:
        raise AdobeConfigError(
            "The Adobe connection's private_key is not a PEM private key: it must be whole, "
            "from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----."
        )
    body = "".join(match["body"].split())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {match['kind']}-----", *lines, f"-----END {match['kind']}-----", ""])
