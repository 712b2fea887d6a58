"""The connection form: one table, from which both Airflow 3's and Airflow 2.11's forms are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_adobe_deletion.adobe.config import ANALYTICS_URL, IMS_URL, PLATFORM_URL


@dataclass(frozen=True)
class FormField:
    """One extra of the connection as people see it.

    :param suggestion: a value that suits many; Airflow 3 offers it while one types, Airflow 2 shows it in the empty
        field.
    """

    name: str
    label: str
    help: str
    secret: bool = False
    choices: tuple[str, ...] = ()
    suggestion: str = ""

    @property
    def default(self) -> str | None:
        """The first choice, where there are choices."""
        return self.choices[0] if self.choices else None


_ADDRESS = "Leave empty for Adobe's. https only, except on loopback."
FIELDS = (
    FormField("org_id", "Organization id", "Required. The IMS organisation, ending in @AdobeOrg."),
    FormField(
        "sandbox_name",
        "Sandbox name",
        "Required for Experience Platform (Data Hygiene, Profile). There is no default: without it, Adobe "
        "deletes in production. The lower-case name, not the title.",
    ),
    FormField(
        "scopes",
        "OAuth scopes",
        "Comma separated, as the developer console shows them for the server-to-server credential.",
        suggestion="openid,AdobeID,read_organizations,additional_info.projectedProductContext,session",
    ),
    FormField(
        "global_company_id",
        "Analytics global company id",
        "For Data Repair. Discovered when left empty, if the organisation has exactly one company.",
    ),
    FormField("auth", "Authentication", "oauth, or jwt for a legacy service account.", choices=("oauth", "jwt")),
    FormField("cloud", "Platform cloud", "Where the organisation's Platform is hosted.", choices=("azure", "aws")),
    FormField("sandbox_id", "Sandbox id", "The sandbox's UUID. Required for Profile jobs on AWS."),
    FormField("technical_account_id", "Technical account id (JWT)", "Ends in @techacct.adobe.com. Only for jwt."),
    FormField(
        "private_key",
        "Private key (JWT)",
        "PEM, from BEGIN to END. Lost line breaks are restored. Only for jwt.",
        secret=True,
    ),
    FormField(
        "metascopes",
        "Metascopes (JWT)",
        "Comma separated, such as ent_dataservices_sdk. Only for jwt.",
        suggestion="ent_dataservices_sdk",
    ),
    FormField("ims_url", "IMS address", _ADDRESS, suggestion=IMS_URL),
    FormField("platform_url", "Platform address", _ADDRESS, suggestion=PLATFORM_URL),
    FormField("analytics_url", "Analytics address", _ADDRESS, suggestion=ANALYTICS_URL),
)


def conn_fields() -> dict[str, Any]:
    """Return the declarative form of Airflow 3's provider info."""
    return {field.name: _declared(field) for field in FIELDS}


def ui_field_behaviour() -> dict[str, Any]:
    """Return which standard fields to hide and how to name the others, as Airflow 3 spells it."""
    return {
        # Airflow 3.3.1 and 3.3.2 refuse to test a connection that has no port (apache/airflow#73298).
        "hidden-fields": ["host", "schema", "extra"],
        "relabeling": {"login": "Client id (API key)", "password": "Client secret", "port": "Port (not used)"},
        "placeholders": {
            "login": "client id of the developer-console project",
            "password": "client secret of the same credential",
            "port": "443, for the button that tests (Airflow 3.3.2)",
            **{field.name: field.suggestion for field in FIELDS if field.suggestion},
        },
    }


def widgets() -> dict[str, Any]:
    """Return the form of Airflow 2.11; flask-appbuilder and wtforms exist only there."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import PasswordField, StringField
    from wtforms.validators import Optional, any_of

    def widget(field: FormField) -> Any:
        kind, look = (PasswordField, BS3PasswordFieldWidget()) if field.secret else (StringField, BS3TextFieldWidget())
        checks = [Optional(), any_of(field.choices)] if field.choices else [Optional()]
        return kind(
            lazy_gettext(field.label), widget=look, description=field.help, validators=checks, default=field.default
        )

    return {field.name: widget(field) for field in FIELDS}


def _declared(field: FormField) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["string", "null"]}
    if field.secret:
        schema["format"] = "password"
    if field.suggestion:
        schema["examples"] = [field.suggestion]
    if field.choices:
        schema |= {"enum": list(field.choices), "default": field.default}
    return {"label": field.label, "description": field.help, "schema": schema}
