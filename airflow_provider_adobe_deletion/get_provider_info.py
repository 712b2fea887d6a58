"""What Airflow needs to know about this provider."""

from __future__ import annotations

from typing import Any

from airflow_provider_adobe_deletion import __version__
from airflow_provider_adobe_deletion.connection_form import conn_fields, ui_field_behaviour

_INTEGRATION = "Adobe (delete and repair data)"
_PACKAGE = "airflow_provider_adobe_deletion"


def get_provider_info() -> dict[str, Any]:
    """Return the provider info; Airflow 2.11 ignores the keys that it does not know."""
    return {
        "package-name": "airflow-provider-adobe-deletion",
        "name": _INTEGRATION,
        "description": "Delete and repair data in Adobe: Data Repair, Data Hygiene and Real-Time Customer Profile.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://developer.adobe.com/experience-platform-apis/",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "adobe",
                "hook-class-name": f"{_PACKAGE}.hooks.adobe.AdobeHook",
                "hook-name": _INTEGRATION,
                "conn-fields": conn_fields(),
                "ui-field-behaviour": ui_field_behaviour(),
            }
        ],
        "hooks": [_modules("hooks.adobe")],
        "operators": [_modules("operators.data_repair", "operators.hygiene", "operators.profile")],
        "sensors": [_modules("sensors.data_repair", "sensors.hygiene", "sensors.profile")],
        "triggers": [_modules("triggers.job", "triggers.moment", "triggers.quota")],
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


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}
