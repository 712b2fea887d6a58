"""What a connection can reach: its sandbox and its Analytics company. Changes nothing.

Adobe: *Sandbox API*, *Analytics Discovery API*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Reply, Service, path_id
from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
from airflow_provider_adobe_deletion.adobe.data_repair import Company, choose_company, discover
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError


@dataclass(frozen=True)
class Sandbox:
    """One sandbox.

    :param kind: ``production`` or ``development``, where Adobe says so.
    :param state: ``active`` where it can be used.
    """

    name: str
    id: str
    kind: str
    state: str


def list_sandboxes() -> Call[tuple[Sandbox, ...]]:
    """Return the sandboxes that the credential may use; needs no administrator's right."""
    return Call(Service.SANDBOX, "GET", "/", "list the sandboxes", _read_sandboxes)


def get_sandbox(name: str) -> Call[Sandbox]:
    """Look one sandbox up."""
    path = f"/sandboxes/{path_id(name, 'sandbox_name')}"
    return Call(Service.SANDBOX, "GET", path, f"look up sandbox {name}", lambda reply: _sandbox(reply.body))


def check_sandbox(config: AdobeConfig) -> Flow[str]:
    """Make sure that the configured sandbox can be used, and say so in a sentence.

    :raises AdobeConfigError: ``sandbox_id`` is another sandbox's.
    :raises AdobeAPIError: Adobe does not let the credential see the sandbox.
    """
    if config.cloud == "aws":
        config.require_for(Service.PROFILE, "use Profile jobs on AWS")
    listed: tuple[Sandbox, ...] = yield list_sandboxes()
    found = next((box for box in listed if config.sandbox_name in (box.name, "") and _is(box, config)), None)
    if found is None and config.sandbox_name:
        # The list comes in pages of undocumented size.
        found = yield get_sandbox(config.sandbox_name)
    if found is None or not _is(found, config):
        raise AdobeConfigError(
            f"The Adobe connection's sandbox_id is not the id of {_wanted(config)} that the credential may use."
        )
    return f"Sandbox {found.name} ({found.kind}, {found.state}) is reachable."


def _is(sandbox: Sandbox, config: AdobeConfig) -> bool:
    return not config.sandbox_id or not sandbox.id or sandbox.id == config.sandbox_id


def _wanted(config: AdobeConfig) -> str:
    return f"sandbox {config.sandbox_name}" if config.sandbox_name else "a sandbox"


def check_company(config: AdobeConfig) -> Flow[str]:
    """Make sure that the organisation's Analytics company is known, and say so in a sentence.

    :raises AdobeConfigError: the configured company is not one of the organisation's, or none is configured
        and there is not exactly one.
    """
    companies: tuple[Company, ...] = yield discover()
    if not config.global_company_id:
        return f"Data Repair company {choose_company(companies, config.org_id).id} was found."
    ours = [company for company in companies if company.org_id == config.org_id]
    if config.global_company_id not in [company.id for company in ours]:
        known = ", ".join(company.id for company in ours) or "none"
        raise AdobeConfigError(
            f"The Adobe connection's global_company_id {config.global_company_id} is not a company that the "
            f"credential may use in the connection's organisation (it may use: {known})."
        )
    return f"Data Repair company {config.global_company_id} is reachable."


def _read_sandboxes(reply: Reply) -> tuple[Sandbox, ...]:
    entries = reply.body.get("sandboxes", []) if isinstance(reply.body, dict) else reply.body
    return tuple(_sandbox(entry) for entry in entries or [])


def _sandbox(body: Any) -> Sandbox:
    return Sandbox(
        name=str(body["name"]),
        id=str(body.get("id") or ""),
        kind=str(body.get("type") or "of unknown type"),
        state=str(body.get("state") or "of unknown state"),
    )
