"""Airflow connections that point at a running simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_deletion.simulator.ims import (
    JWT_CLIENT_ID,
    OAUTH_CLIENT_ID,
    TECHNICAL_ACCOUNT_ID,
    private_key_pem,
)

if TYPE_CHECKING:
    from airflow_provider_adobe_deletion.simulator.app import Adobe

_TOP_LEVEL = ("conn_type", "login", "password", "description")


def connection(adobe: Adobe, url: str, *, auth: str = "oauth", **overrides: Any) -> dict[str, Any]:
    """A connection in Airflow's JSON form.

    ``overrides`` go to the top level when Airflow has such a field, to ``extra`` otherwise; None
    leaves the field out.
    """
    settings = adobe.state.settings
    fields: dict[str, Any] = {
        "conn_type": "adobe",
        "login": OAUTH_CLIENT_ID,
        "password": adobe.ims.secret,
    }
    extra: dict[str, Any] = {
        "org_id": settings.org_id,
        "sandbox_name": "dev",
        "ims_url": url,
        "platform_url": url,
        "analytics_url": url,
    }
    if auth == "jwt":
        fields["login"] = JWT_CLIENT_ID
        extra |= {
            "auth": "jwt",
            "technical_account_id": TECHNICAL_ACCOUNT_ID,
            "private_key": private_key_pem(),
            "metascopes": ",".join(settings.metascopes),
        }
    elif auth == "oauth":
        extra["scopes"] = ",".join(settings.scopes)
    else:
        raise ValueError(f'auth must be "oauth" or "jwt", not {auth!r}')
    for name, value in overrides.items():
        where = fields if name in _TOP_LEVEL else extra
        where[name] = value
        if value is None:
            del where[name]
    return {**fields, "extra": extra}
