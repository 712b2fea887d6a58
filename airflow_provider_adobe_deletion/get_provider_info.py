"""What Airflow needs to know about this provider."""

from __future__ import annotations

from typing import Any

from airflow_provider_adobe_deletion import __version__
from airflow_provider_adobe_deletion.connection_form import conn_fields, ui_field_behaviour

_NAME = "Adobe (delete and repair data)"
_DATA_REPAIR = "Adobe Analytics Data Repair"
_HYGIENE = "Adobe Experience Platform Data Hygiene"
_PROFILE = "Adobe Real-Time Customer Profile"
_DOCUMENTS = {
    _NAME: "https://developer.adobe.com/experience-platform-apis/",
    _DATA_REPAIR: "https://developer.adobe.com/analytics-apis/docs/2.0/guides/endpoints/data-repair/",
    _HYGIENE: "https://experienceleague.adobe.com/en/docs/experience-platform/data-lifecycle/home",
    _PROFILE: "https://experienceleague.adobe.com/docs/experience-platform/profile/api/profile-system-jobs.html",
}
_PACKAGE = "airflow_provider_adobe_deletion"


def get_provider_info() -> dict[str, Any]:
    """Return the provider info; Airflow 2.11 ignores the keys that it does not know."""
    return {
        "package-name": "airflow-provider-adobe-deletion",
        "name": _NAME,
        "description": "Delete and repair data in Adobe: Data Repair, Data Hygiene and Real-Time Customer Profile.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": name, "external-doc-url": url, "tags": ["service"]} for name, url in _DOCUMENTS.items()
        ],
        "connection-types": [
            {
                "connection-type": "adobe",
                "hook-class-name": f"{_PACKAGE}.hooks.adobe.AdobeHook",
                "hook-name": _NAME,
                "conn-fields": conn_fields(),
                "ui-field-behaviour": ui_field_behaviour(),
            }
        ],
        "hooks": [_modules(_NAME, "hooks.adobe")],
        "operators": [
            _modules(_DATA_REPAIR, "operators.data_repair"),
            _modules(_HYGIENE, "operators.hygiene"),
            _modules(_PROFILE, "operators.profile"),
        ],
        "sensors": [
            _modules(_DATA_REPAIR, "sensors.data_repair"),
            _modules(_HYGIENE, "sensors.hygiene"),
            _modules(_PROFILE, "sensors.profile"),
        ],
        "triggers": [
            _modules(_NAME, "triggers.job"),
            _modules(_HYGIENE, "triggers.moment", "triggers.quota"),
        ],
        "config": {
            "adobe_deletion": {
                "description": "Options of the Adobe deletion provider.",
                "options": {
                    "minimum_deferral": {
                        "description": "Seconds before which no trigger fires. Airflow 3.3 can fail a task whose "
                        "trigger fires within seconds of the deferral; lower it in tests only.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "10",
                    },
                    "settle_time": {
                        "description": "Seconds after an attempt with unknown outcome before its job counts as never "
                        "created, if three look-ups in a row did not see it. Adobe's gateway gives up at 60.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "180",
                    },
                },
            }
        },
    }


def _modules(integration: str, *names: str) -> dict[str, Any]:
    return {"integration-name": integration, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}
