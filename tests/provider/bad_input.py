"""Bad inputs, as a table: a class, one of its parameters, a value, and what kind of mistake it is; and good ones.

What is secret in a value holds ``CANARY``, which must never come out again.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_adobe_deletion.connection_form import FIELDS
from airflow_provider_adobe_deletion.get_provider_info import get_provider_info
from airflow_provider_adobe_deletion.operators import data_repair as repair_operators
from airflow_provider_adobe_deletion.operators import hygiene as hygiene_operators
from airflow_provider_adobe_deletion.operators import profile as profile_operators
from airflow_provider_adobe_deletion.sensors import data_repair as repair_sensors
from airflow_provider_adobe_deletion.sensors import hygiene as hygiene_sensors
from airflow_provider_adobe_deletion.sensors import profile as profile_sensors

from .conftest import BATCH, DATASET

CANARY = "canary-7f3e"
JOB = "3f225e7e-ac8c-4904-b1d5-0ce79e03c2ec"
SUITE = "examplersid"
LAST_DAY = date.today().replace(day=1) - timedelta(days=1)
FIRST_DAY = LAST_DAY.replace(day=1)
RANGE = {"report_suite_id": SUITE, "date_range_start": str(FIRST_DAY), "date_range_end": str(LAST_DAY)}
DEFINITION = {"variables": {"evar74": {"action": "set", "setValue": CANARY}}}
IDENTITIES = {"Email": [f"{CANARY}@example.com"]}
USERS = [{"key": f"{CANARY}-key", "userIDs": [{"namespace": "Email", "value": f"{CANARY}@x.com", "type": "standard"}]}]
EXPIRY = datetime.now(UTC) + timedelta(days=30)

Kinds = Mapping[str, list[Any]]


class Csv:
    """Stands for the path of a good file, which each test makes."""

    def __repr__(self) -> str:
        return "<a CSV file>"


CSV = Csv()

WAITING = {"deferrable": False, "poll_interval": 0.05, "completion_timeout": 5}
LOOKING = {"deferrable": False, "poke_interval": 0.05, "timeout": 5}
GOOD: Mapping[type[BaseOperator], Mapping[str, Any]] = {
    profile_operators.AdobeProfileDeleteJobOperator: {**WAITING, "dataset_id": DATASET},
    profile_operators.AdobeProfileDeleteJobRemoveOperator: {"job_id": JOB, "missing_ok": True},
    repair_operators.AdobeDataRepairEstimateOperator: RANGE,
    repair_operators.AdobeDataRepairJobOperator: {**WAITING, **RANGE, "job_definition": DEFINITION},
    hygiene_operators.AdobeHygieneWorkOrderOperator: {**WAITING, "dataset_id": DATASET, "identities": IDENTITIES},
    hygiene_operators.AdobeDatasetExpirationOperator: {
        **WAITING,
        "dataset_id": DATASET,
        "expiry": EXPIRY,
        "display_name": "x",
    },
    hygiene_operators.AdobeDatasetExpirationCancelOperator: {"dataset_id": DATASET},
    hygiene_operators.AdobeHygieneDeleteJobOperator: {"users": USERS},
    profile_sensors.AdobeProfileDeleteJobSensor: {**LOOKING, "job_id": JOB},
    repair_sensors.AdobeDataRepairJobSensor: {**LOOKING, "report_suite_id": SUITE, "job_id": "1"},
    hygiene_sensors.AdobeHygieneWorkOrderSensor: {**LOOKING, "workorder_id": "DI-1"},
    hygiene_sensors.AdobeDatasetExpirationSensor: {**LOOKING, "dataset_id": DATASET},
    hygiene_sensors.AdobeHygieneQuotaSensor: {**LOOKING, "identities": 10},
}
"""Arguments with which each class works."""

NO_TEXT = [5, 1.5, True, b"bytes", {"a": 1}, object()]
LOOK_ALIKE = "\u0435xample"
CONTROL = ["a\x00b", "a\x7fb", "a\tb", "a\u202eb", "a\u200bb", "a\ud800", "a\u2028b", "a\n\n", "\x1b[31mred"]
INJECTION = ["a\r\nx-sandbox-name: prod", "a\nAuthorization: Bearer x", "a\rb"]

IDS: Kinds = {
    "wrong type": [*NO_TEXT, None],
    "empty": ["", " ", "\t\n", "None", "null", "nan", "undefined"],
    "too long": ["a" * 256, "a" * 10_000],
    "control character": CONTROL,
    "path trick": ["a/b", "../secret", "..", ".", "a..b", "a%2Fb", "%2e%2e%2fx", "a\\b", "/a", "a?b=c", "a#b", "~"],
    "header injection": INJECTION,
    "look-alike": [LOOK_ALIKE, "\uff11\uff12", "a\u2044b", "\u0661"],
    "not one of them": [" a", "a ", "a b", "a,b", "a;b", "*", "'; drop table x", "-a"],
}
TIMES: Kinds = {
    "wrong type": ["60", "", True, [60], date(2026, 1, 1), b"60"],
    "zero or negative": [0, 0.0, -1, -0.5, timedelta(0), timedelta(seconds=-1), float("-inf")],
    "not a number": [float("nan")],
    "huge": [float("inf"), 1e12, 10**400, timedelta.max, 36_501 * 86_400],
}
FLAGS: Kinds = {"wrong type": ["True", "False", "", "yes", 1, 0, 1.0, [], object()]}
COUNTS: Kinds = {
    "wrong type": [1.5, "ten", "", True, None, [10], b"10"],
    "zero or negative": [0, -1],
    "not a number": [float("nan")],
    "huge": [float("inf"), 10**10, 10**400],
}
CONNECTION_IDS: Kinds = {
    "wrong type": [*NO_TEXT, None, ["adobe_default"]],
    "empty": ["", " "],
    "too long": ["a" * 251, "a" * 10_000],
    "control character": CONTROL,
    "path trick": ["../variables/x", "a/../b", "..", "a%2Fb", "a?b", "a#b\x00"],
    "header injection": INJECTION,
    "not one of them": [" adobe_default", "adobe_default ", "a b", "a=b", "a@b"],
}
KEYS: Kinds = {
    "wrong type": [*NO_TEXT, ["x"]],
    "empty": ["", " "],
    "too long": ["a" * 256, "a" * 10_000],
    "control character": CONTROL,
    "header injection": INJECTION,
}
DAYS: Kinds = {
    "wrong type": [5, 20260801, True, None, b"2026-08-01", ["2026-08-01"], datetime(2026, 8, 1), timedelta(1)],
    "empty": ["", " ", "None"],
    "too long": ["2026-08-01" * 1_000],
    "control character": ["2026-08-01\n\n", "2026-08-01\x00", "2026\u200b-08-01"],
    "header injection": ["2026-08-01\r\nx: y", "2026-08-01&validateOnly=false"],
    "look-alike": ["\uff12\uff10\uff12\uff16-08-01", "2026\u201108\u201101", "2026-O8-01"],
    "not one of them": ["2026-02-30", "01.08.2026", "20260801", "2026-8-1", "2026-08-01T00:00:00Z", " 2026-08-01"],
    "huge": ["9999-12-31", date.max, "99999-01-01"],
    "zero or negative": ["0000-00-00", "-2026-08-01"],
}
NAMES: Kinds = {
    "wrong type": [*NO_TEXT, ["x"]],
    "empty": ["", " ", "\n"],
    "too long": ["x" * 256, "x" * 10_000],
    "control character": ["a\x00b", "a\x7fb", "a\u202eb", "a\ud800", "a\u2028b", "a\n\n", "\x1b[31mred"],
    "header injection": INJECTION,
}
DESCRIPTIONS: Kinds = {
    "wrong type": [*NO_TEXT, ["x"], None],
    "too long": ["x" * 1_001, "x" * 10_000],
    "control character": ["a\x00b", "a\x7fb", "a\u202eb", "a\ud800", "a\u2028b", "\x1b[31mred"],
}


_CYRILLIC = str.maketrans("aceo", "\u0430\u0441\u0435\u043e")


def words(*right: str) -> Kinds:
    """Return what is none of some words."""
    first = right[0]
    return {
        "wrong type": [5, True, None, [first], {first: 1}],
        "empty": ["", " "],
        "too long": [first * 1_000],
        "control character": [f"{first}\n", f"{first}\x00"],
        "header injection": [f"{first}\r\nx: y"],
        "look-alike": [first.translate(_CYRILLIC)],
        "not one of them": [first.upper(), f" {first}", f"{first},{first}", "nonsense"],
    }


REPAIRS: Kinds = {
    "wrong type": [5, 1.5, True, b"{}", [DEFINITION], object(), {5}, {"variables": [CANARY]}, {"variables": CANARY}],
    "empty": ["", " ", {}, {"variables": {}}, "{}", "null", {"variables": None}],
    "control character": ["{\x00}", '{"variables": {"a\\u0000b": {"action": "delete"}}}', CANARY + "\x00"],
    "look-alike": [{"variables": {"\u0435var1": {"action": "delete"}}}, {"variables": {"eVar1": {"action": "delete"}}}],
    "path trick": [f"../{CANARY}.json", f"/etc/{CANARY}.json", "missing.json"],
    "too long": [
        {
            "variables": {
                "evar1": {"action": "delete", "filter": {"condition": "inList", "matchValues": [CANARY] * 1_001}}
            }
        },
        "[" * 100_000,
        '{"variables": {"evar1": ' + "[" * 500 + "]" * 500 + "}}",
    ],
    "not a number": [
        {"variables": {"evar1": {"action": "set", "setValue": float("nan")}}},
        '{"variables": {"evar1": {"action": "set", "setValue": NaN}}}',
    ],
    "huge": [{"variables": {"evar1": {"action": "set", "setValue": 10**400}}}],
    "not one of them": [
        f"not JSON {CANARY}",
        f'{{"variables": {{"evar1": {{"action": "set", "setValue": "{CANARY}"}}}}',
        {"variables": {"evar1": {"action": "set", "setValue": [CANARY]}}},
        {"variables": {"evar1": {"action": "set", "setValue": CANARY, "filter": CANARY}}},
        {"variables": {"evar1": {"action": "drop"}}},
        {"variables": {"evar251": {"action": "delete"}}},
        {"variables": {"evar1": {"action": "delete"}}, "comment": CANARY},
        {5: CANARY, **DEFINITION},
    ],
}
EVERYTHING_SENT = REPAIRS["not one of them"][4:6] + REPAIRS["look-alike"]
"""What ``definition_checks="server"`` leaves to Adobe; it is right only in its frame."""

PEOPLE: Kinds = {
    "wrong type": [
        5,
        True,
        f"{CANARY}@example.com",
        [f"{CANARY}@example.com"],
        {"Email": f"{CANARY}@example.com"},
        {"Email": {f"{CANARY}@example.com"}},
        {"Email": [5]},
        {"Email": [[CANARY]]},
        {"Email": [None]},
        {5: [CANARY]},
        {"Email": None},
        object(),
        {"Email": [b"canary"]},
        {5: [CANARY], "Email": [CANARY]},
    ],
    "empty": [{}, {"Email": []}, {"Email": [""]}, {"": [CANARY]}, {"Email": [" "]}, ""],
    "too long": [{"Email": [CANARY * 100]}, {"E" * 65: [CANARY]}],
    "control character": [
        {"Email": [f"{CANARY}\x00"]},
        {"Email": [f"{CANARY}\n\n"]},
        {"Em\x00ail": [CANARY]},
        {"Email": [f"{CANARY}\ud800"]},
        {"Email": [f"{CANARY}\u2028"]},
    ],
    "header injection": [{"Email": [f"{CANARY}\r\nx: y"]}, {"Email\r\nx: y": [CANARY]}],
    "look-alike": [{"\u0415mail": [CANARY]}, {"\uff25mail": [CANARY]}],
    "path trick": [{"../Email": [CANARY]}],
    "not one of them": [
        {"Email": [f" {CANARY}"]},
        {f"{CANARY}@example.com": ["Email"]},
        {"4711471147114711": [CANARY]},
        {"Email": [CANARY], "ECID": [CANARY]},
    ],
}
FILES: Kinds = {
    "wrong type": [5, True, b"x.csv", ["x.csv"], {"a": 1}, object()],
    "empty": ["", " "],
    "too long": ["x" * 5_000 + ".csv"],
    "control character": ["x\x00.csv", "x\n.csv", "x\ud800.csv", "x\u202e.csv"],
    "header injection": ["x.csv\r\nHost: evil.example"],
    "path trick": [f"weird://user:{CANARY}@host/x.csv", "/etc/passwd", "../../etc/shadow", "/"],
    "not one of them": ["list.xlsx", "list"],
}
NAMESPACES: Kinds = {
    "wrong type": [*NO_TEXT, ["Email"]],
    "empty": ["", " "],
    "too long": ["E" * 65, "E" * 10_000],
    "control character": ["Em\x00ail", "Email\n\n"],
    "header injection": ["Email\r\nx: y"],
    "path trick": ["../Email", "Em/ail"],
    "look-alike": ["\u0415mail"],
    "not one of them": [f"{CANARY}@example.com", " Email", "123456"],
}
COLUMNS: Kinds = {
    "wrong type": [*NO_TEXT, None, ["id"]],
    "empty": ["", " "],
    "too long": ["x" * 256],
    "control character": ["i\x00d", "id\n"],
    "not one of them": ["nonsense", "ID"],
}


def users(**members: Any) -> list[dict[str, Any]]:
    """Return one user, with other members."""
    return [{**USERS[0], **members}]


def user_id(**members: Any) -> list[dict[str, Any]]:
    """Return one user, whose only id has other members."""
    return users(userIDs=[{**USERS[0]["userIDs"][0], **members}])


ALPHA_USERS: Kinds = {
    "wrong type": [
        5,
        CANARY,
        {"key": CANARY},
        [CANARY],
        [5],
        None,
        users(key=5),
        users(userIDs=CANARY),
        users(userIDs=[CANARY]),
        user_id(value=5),
        user_id(namespace=5),
        user_id(type=[CANARY]),
        object(),
    ],
    "empty": [[], users(key=""), users(userIDs=[]), user_id(value=""), user_id(namespace=" "), user_id(type="")],
    "too long": [users(userIDs=USERS[0]["userIDs"] * 10), user_id(value=CANARY * 100)],
    "control character": [users(key=f"{CANARY}\x00"), user_id(value=f"{CANARY}\n\n"), user_id(namespace="a\x00")],
    "header injection": [user_id(value=f"{CANARY}\r\nx: y")],
    "look-alike": [user_id(namespace="\u0415mail"), user_id(type="st\u0430ndard")],
    "not one of them": [
        users() * 2,
        users(action=["drop"]),
        users(**{CANARY: 1}),
        user_id(**{CANARY: 1}),
        user_id(value=f" {CANARY}"),
    ],
}
SERVER_CALLS: Kinds = {
    "wrong type": [1.5, True, [5], b"5", {"a": 1}],
    "empty": ["", " ", "None"],
    "too long": ["9" * 5_000],
    "zero or negative": [-1, "-1"],
    "not a number": [float("nan"), "nan", "five", "1e6", "1_000", "1,000"],
    "huge": [float("inf"), "inf", 10**16, 10**400],
    "look-alike": ["\uff15\uff10\uff10\uff10", "\u0665"],
    "control character": ["5\x00", "5\n5"],
}
DIGESTS: Kinds = {
    "wrong type": [5, 0x0123456789ABCDEF, True, {"digest": "0123456789abcdef"}, b"0123456789abcdef"],
    "empty": ["", " ", "None"],
    "too long": ["0123456789abcdef0", "0" * 10_000],
    "control character": ["0123456789abcde\x00", "01234567\n9abcdef"],
    "header injection": ["0123456789abcdef\r\nx: y"],
    "look-alike": ["0123456789\u0430bcdef", "\uff10123456789abcdef"],
    "not one of them": ["0123456789ABCDEF", "g123456789abcdef", "0123456789abcdef"],
}
SERVICES: Kinds = {
    "wrong type": [5, True, "datalake", {"datalake": 1}, [5], object(), b"datalake"],
    "empty": [[], "", [""]],
    "too long": [["datalake"] * 1_000],
    "control character": [["datalake\n"]],
    "look-alike": [["d\u0430talake"]],
    "not one of them": [["profile"], ["datalake", "profile"], ["identity", "profile", "ajo"], ["DataLake"]],
}
DATASETS: Kinds = {
    **IDS,
    "wrong type": [5, True, None, {"a": 1}, object(), {DATASET}, [5], [None], [[DATASET]]],
    "empty": [*IDS["empty"], [], [""]],
    "path trick": [*IDS["path trick"], [DATASET, "../x"]],
    "not one of them": [*IDS["not one of them"], "ALL", "all", [DATASET, "ALL"], [DATASET, DATASET], f"{DATASET},x"],
}
ORDERS: Kinds = {
    **IDS,
    "wrong type": [5, True, None, {"a": 1}, object(), {"DI-1"}, [5], [None], [["DI-1"]]],
    "empty": [*IDS["empty"], [], [""]],
    "path trick": [*IDS["path trick"], ["DI-1", "../x"]],
}
EXPIRIES: Kinds = {
    "wrong type": [5, 1.5, True, None, [EXPIRY], timedelta(days=2), b"2030-01-01", object()],
    "empty": ["", " ", "None"],
    "too long": ["2030-01-01" * 1_000],
    "control character": ["2030-01-01\x00", "2030-01-01T00:00:00\n+00:00"],
    "header injection": ["2030-01-01\r\nx: y"],
    "not a number": ["NaN", float("nan")],
    "look-alike": ["2030\u201101\u201101"],
    "zero or negative": ["0000-00-00", datetime.min, date.min, "-2030-01-01", "2001-01-01T00:00:00Z", date(2026, 1, 1)],
    "huge": ["10000-01-01", "9999-12-31T23:59:59-12:00", 10**400, "2030-13-01", "2030-02-30"],
    "not one of them": ["tomorrow", "01.01.2030", datetime.now(UTC) + timedelta(hours=23, minutes=59)],
}
JOB_NUMBERS: Kinds = {
    **IDS,
    "wrong type": [1.5, True, None, b"1", {"a": 1}, [1]],
    "zero or negative": [0, -1],
    "not a number": [float("nan")],
    "huge": [10**19, 10**400, 10**5_000, float("inf")],
}
HOW_MANY: Kinds = {**COUNTS, "look-alike": ["\uff11\uff10", "\u0661"], "too long": ["9" * 5_000]}


@dataclass(frozen=True)
class Row:
    """One bad input.

    :param rest: what else must be given so that it is this parameter that counts.
    :param templated: whether it is what a template renders to, rather than written in the DAG.
    """

    subject: type[BaseOperator]
    parameter: str
    value: Any
    kind: str
    rest: Mapping[str, Any] = field(default_factory=dict)
    templated: bool = False

    def __str__(self) -> str:
        return f"{self.subject.__name__}-{self.parameter}-{shown(self.value)}{'-templated' if self.templated else ''}"


def shown(value: Any) -> str:
    """Return what a value looks like, for the name of a test."""
    if type(value) is object:
        return "object()"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return ascii(value)[:40]


COMMON: Mapping[str, Kinds] = {
    "adobe_conn_id": CONNECTION_IDS,
    "wait_for_completion": {"wrong type": [*FLAGS["wrong type"], None]},
    "deferrable": FLAGS,
    "poll_interval": TIMES,
    "max_poll_interval": TIMES,
    "completion_timeout": TIMES,
    "max_poll_failures": COUNTS,
    "on_ambiguous": words("resubmit", "fail"),
    "on_clear": words("adopt", "resubmit"),
    "submission_key": KEYS,
    "poke_interval": TIMES,
    "timeout": TIMES,
}
"""The parameters that mean the same in all classes that have them."""

_FROM_FILE = {"identities": None, "identities_path": CSV}
_ONLY_NAMESPACE_COLUMN = {**_FROM_FILE, "namespace": "Email"}
OWN: Mapping[type[BaseOperator], Mapping[str, tuple[Kinds, Mapping[str, Any]]]] = {
    profile_operators.AdobeProfileDeleteJobOperator: {
        "dataset_id": (IDS, {}),
        "batch_id": (IDS, {"dataset_id": None}),
        "batch_dataset_id": ({**IDS, "wrong type": NO_TEXT}, {"dataset_id": None, "batch_id": BATCH}),
        "remove_on_kill": (FLAGS, {}),
    },
    profile_operators.AdobeProfileDeleteJobRemoveOperator: {"job_id": (IDS, {}), "missing_ok": (FLAGS, {})},
    repair_operators.AdobeDataRepairEstimateOperator: {
        "report_suite_id": (IDS, {}),
        "date_range_start": (DAYS, {}),
        "date_range_end": (DAYS, {}),
        "job_definition": (REPAIRS, {}),
        "definition_checks": (words("local", "server"), {}),
    },
    repair_operators.AdobeDataRepairJobOperator: {
        "report_suite_id": (IDS, {}),
        "date_range_start": (DAYS, {}),
        "date_range_end": (DAYS, {}),
        "job_definition": ({**REPAIRS, "missing": [None]}, {}),
        "max_server_calls": (SERVER_CALLS, {}),
        "approved_digest": (DIGESTS, {}),
        "validate_only": (FLAGS, {}),
        "definition_checks": (words("local", "server"), {}),
        "if_busy": (words("wait", "fail"), {}),
        "resubmit_failed": (FLAGS, {}),
    },
    hygiene_operators.AdobeHygieneWorkOrderOperator: {
        "dataset_id": (DATASETS, {}),
        "identities": ({**PEOPLE, "missing": [None]}, {}),
        "identities_path": (FILES, {"identities": None}),
        "namespace": (NAMESPACES, _FROM_FILE),
        "id_column": (COLUMNS, _FROM_FILE),
        "namespace_column": (COLUMNS, _FROM_FILE),
        "file_format": ({**words("csv", "jsonl"), "wrong type": [5, True, b"csv", ["csv"]]}, _FROM_FILE),
        "display_name": (NAMES, {}),
        "description": (DESCRIPTIONS, {}),
        "target_services": (SERVICES, {}),
        "payload_format": (words("identities", "namespaces-ids", "namespaces-IDs"), {}),
        "allow_all_datasets": (FLAGS, {}),
        "on_bad_row": (words("fail", "skip"), {}),
        "on_quota": (words("fail", "warn", "pace"), {}),
    },
    hygiene_operators.AdobeDatasetExpirationOperator: {
        "dataset_id": (IDS, {}),
        "expiry": (EXPIRIES, {}),
        "display_name": ({**NAMES, "wrong type": [*NAMES["wrong type"], None]}, {}),
        "description": (DESCRIPTIONS, {}),
    },
    hygiene_operators.AdobeDatasetExpirationCancelOperator: {
        "dataset_id": (IDS, {}),
        "ttl_id": (IDS, {"dataset_id": None}),
    },
    hygiene_operators.AdobeHygieneDeleteJobOperator: {"users": (ALPHA_USERS, {})},
    profile_sensors.AdobeProfileDeleteJobSensor: {"job_id": (IDS, {})},
    repair_sensors.AdobeDataRepairJobSensor: {"report_suite_id": (IDS, {}), "job_id": (JOB_NUMBERS, {})},
    hygiene_sensors.AdobeHygieneWorkOrderSensor: {"workorder_id": (ORDERS, {})},
    hygiene_sensors.AdobeDatasetExpirationSensor: {"dataset_id": (IDS, {})},
    hygiene_sensors.AdobeHygieneQuotaSensor: {"identities": (HOW_MANY, {})},
}


def _together() -> Iterator[Row]:
    """Yield what is wrong only together with something else."""
    job, estimate = repair_operators.AdobeDataRepairJobOperator, repair_operators.AdobeDataRepairEstimateOperator
    for subject in (job, estimate):
        yield Row(subject, "date_range_start", str(LAST_DAY), "reversed", {"date_range_end": str(FIRST_DAY)})
        yield Row(subject, "date_range_end", FIRST_DAY, "reversed", {"date_range_start": LAST_DAY})
        yield Row(subject, "date_range_end", str(date.today()), "reversed")
        yield Row(subject, "date_range_start", "2001-01-01", "reversed")
        for value in (value for values in REPAIRS.values() for value in values if value not in EVERYTHING_SENT):
            frame = isinstance(value, dict) and isinstance(value.get("variables"), dict) and value["variables"]
            if not frame and not (isinstance(value, str) and '"variables"' in value):
                yield Row(subject, "job_definition", value, "wrong type", {"definition_checks": "server"})
    profile = profile_operators.AdobeProfileDeleteJobOperator
    yield Row(profile, "batch_id", BATCH, "both")
    yield Row(profile, "batch_dataset_id", DATASET, "both")
    yield Row(profile, "dataset_id", None, "neither")
    yield Row(profile, "dataset_id", DATASET, "both", {"batch_id": "{{ '' }}"})
    orders = hygiene_operators.AdobeHygieneWorkOrderOperator
    yield Row(orders, "identities_path", CSV, "both")
    yield Row(orders, "identities", None, "neither")
    yield Row(orders, "namespace", "Email", "both")
    yield Row(orders, "id_column", "namespace", "both", _FROM_FILE)
    yield Row(orders, "namespace_column", "id", "both", _FROM_FILE)
    yield Row(orders, "allow_all_datasets", False, "both", {"dataset_id": "ALL"})
    yield Row(orders, "target_services", ["identity", "profile", "ajo"], "both", {"allow_all_datasets": True})
    cancel = hygiene_operators.AdobeDatasetExpirationCancelOperator
    yield Row(cancel, "ttl_id", "SD-1", "both")
    yield Row(cancel, "dataset_id", None, "neither")
    expire = hygiene_operators.AdobeDatasetExpirationOperator
    waiting = {"wait_for_completion": True, "completion_timeout": timedelta(days=20)}
    yield Row(expire, "expiry", datetime(9999, 12, 31), "huge", waiting)
    for subject, arguments in GOOD.items():
        shortest = next((name for name in ("poll_interval", "poke_interval") if name in arguments), None)
        if shortest and "max_poll_interval" in parameters_of(subject):
            yield Row(subject, "max_poll_interval", 59, "reversed", {shortest: 60})
            yield Row(subject, shortest, timedelta(minutes=2), "reversed", {"max_poll_interval": 119.9})


def public(module: ModuleType) -> list[Any]:
    """Return what a module has that is not its own affair."""
    return [member for name, member in vars(module).items() if not name.startswith("_")]


def subjects() -> Iterator[type[BaseOperator]]:
    """Yield the public operators and sensors, from what the provider says of itself to Airflow."""
    info = get_provider_info()
    for entry in (*info["operators"], *info["sensors"]):
        for name in entry["python-modules"]:
            module = import_module(name)
            for member in public(module):
                if inspect.isclass(member) and issubclass(member, BaseOperator) and member.__module__ == name:
                    yield member


def parameters_of(subject: type[BaseOperator]) -> list[str]:
    """Return the parameters that this package gives to an operator or sensor, and those of Airflow's that it checks."""
    names: dict[str, None] = {}
    for base in subject.__mro__:
        if base.__module__.startswith("airflow_provider_adobe_deletion.") and "__init__" in vars(base):
            # **kwargs are Airflow's own parameters, which Airflow checks.
            for parameter in inspect.signature(base.__init__).parameters.values():
                if parameter.kind is not parameter.VAR_KEYWORD and parameter.name != "self":
                    names[parameter.name] = None
    if "poke_interval" in GOOD[subject]:
        names |= dict.fromkeys(("poke_interval", "timeout"))
    return list(names)


def _unrenderable() -> Iterator[Row]:
    """Yield templates that fail, in what Airflow does not render itself, and that hold what is secret."""
    templates = ["{{ nothing." + CANARY.replace("-", "") + " }}", "{{ '" + CANARY + "' + 1 }}", "{{ '" + CANARY + "'"]
    for template in templates:
        definition = {"variables": {"evar1": {"action": "set", "setValue": template}}}
        yield Row(repair_operators.AdobeDataRepairEstimateOperator, "job_definition", definition, "template")
        yield Row(repair_operators.AdobeDataRepairJobOperator, "job_definition", definition, "template")
        yield Row(hygiene_operators.AdobeHygieneWorkOrderOperator, "identities", {"Email": [template]}, "template")
        yield Row(hygiene_operators.AdobeHygieneDeleteJobOperator, "users", user_id(value=template), "template")


def _rows() -> Iterator[Row]:
    seen: set[int] = set()
    for subject in GOOD:
        own = OWN[subject]
        shared = {name: (COMMON[name], {}) for name in parameters_of(subject) if name in COMMON and name not in own}
        for name, (kinds, rest) in {**own, **shared}.items():
            # The first class gets all that is wrong in the same way, the others two of each kind.
            shown_before = id(kinds) in seen
            seen.add(id(kinds))
            for kind, values in kinds.items():
                for value in values[:2] if shown_before else values:
                    yield Row(subject, name, value, kind, rest)
                if name in subject.template_fields:
                    yield from (Row(subject, name, value, kind, rest, templated=True) for value in values[:2] if value)
    yield from _together()
    yield from _unrenderable()


ROWS = list(_rows())

_LIST_OF_NAMES: Kinds = {
    "wrong type": [5, True, ["openid"], {"a": 1}],
    "empty": [",", ", ,"],
    "too long": ["a" * 5_000, "openid," * 1_000],
    "control character": [f"openid\x00,{CANARY}", f"openid,{CANARY}\x1f\x00"],
    "look-alike": [f"\u043epenid,{CANARY}"],
}
_WORD: Kinds = {
    "wrong type": [5, True, ["x"], {"a": 1}],
    "too long": [CANARY * 100],
    "control character": [f"{CANARY}\x00a", f"{CANARY}\x7f", f"{CANARY}\u202e", f"{CANARY}\x00"],
    "header injection": [f"{CANARY}\r\nx-sandbox-name: prod", f"{CANARY}\nx"],
    "look-alike": [f"{CANARY}\u0430", f"{CANARY}\uff20"],
    "not one of them": [f"{CANARY} x", f"{CANARY}\u00a0x"],
}
_MISSING: Kinds = {"missing": [None, "", " ", "\n"]}
_URLS: Kinds = {
    "wrong type": [5, True, ["https://platform.adobe.io"], {"a": 1}],
    "too long": ["https://" + "a" * 10_000 + ".adobe.io"],
    "control character": ["https://platform.adobe.io\x00", "https://plat\tform.adobe.io"],
    "header injection": ["https://platform.adobe.io\r\nHost: evil.example"],
    "path trick": [
        "https://platform.adobe.io/../x",
        "https://platform.adobe.io/data",
        "https://platform.adobe.io?x=1",
        "https://platform.adobe.io#x",
        f"https://user:{CANARY}@platform.adobe.io",
        "file:///etc/passwd",
        "https://platform.adobe.io\\@evil.example",
    ],
    "look-alike": ["https://platform.\u0430dobe.io", "https://platform\uff0eadobe.io"],
    "not one of them": [
        "http://platform.adobe.io",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "platform.adobe.io",
        "https://",
        "https://platform.adobe.io:99999",
        "javascript:alert(1)",
    ],
}


def _one_of(*right: str) -> Kinds:
    """Return what is none of some words, where what surrounds them does not count, and nothing stands for the first."""
    kinds = {
        kind: [value for value in values if not _is_blank_or(value, right)] for kind, values in words(*right).items()
    }
    return {kind: values for kind, values in kinds.items() if values}


def _is_blank_or(value: Any, right: tuple[str, ...]) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", *right))


# A login or password that is no text does not get here: Airflow reads no such connection.
_TEXT_ONLY = {kind: values for kind, values in _WORD.items() if kind != "wrong type"}
CONNECTION: Mapping[str, Kinds] = {
    "login": {**_TEXT_ONLY, **_MISSING},
    "password": {**_TEXT_ONLY, **_MISSING, "not one of them": [f"{CANARY}\u00a0x", f"{CANARY}\tx"]},
    "org_id": {
        **_WORD,
        **_MISSING,
        "path trick": ["../x@AdobeOrg", "a/b@AdobeOrg"],
        "not one of them": ["8B1F5E6A57C7D2147F000101", "@AdobeOrg", "x@AdobeOrg.evil", "x@AdobeID", "a b@AdobeOrg"],
    },
    "auth": _one_of("oauth", "jwt"),
    "scopes": {**_LIST_OF_NAMES, **_MISSING},
    "sandbox_name": {
        **_WORD,
        **_MISSING,
        "path trick": ["../prod", "dev/..", "dev%2f..", "dev?x"],
        "not one of them": ["Dev", "Dev Sandbox", "dev,prod", "dev;", "*", "-dev", "dev_1"],
    },
    "sandbox_id": {**_WORD, "path trick": ["../x", "a/b", "a%2fb"], "not one of them": ["a b", "a,b", "*"]},
    "cloud": _one_of("azure", "aws"),
    "global_company_id": {
        **_WORD,
        "path trick": ["../x", "a/b", "..", "a%2fb", "a?b"],
        "not one of them": ["a b", "*"],
    },
    "technical_account_id": {**_WORD, **_MISSING},
    "private_key": {
        "wrong type": [5, True, ["x"], {"a": 1}],
        "too long": [CANARY * 200],
        "control character": [f"-----BEGIN PRIVATE KEY-----\n{CANARY}\x00\n-----END PRIVATE KEY-----"],
        "not one of them": [
            CANARY,
            f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
            "-----BEGIN PRIVATE KEY-----\ncanary7f3e==\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\ncanary7f3e==\n-----END PUBLIC KEY-----",
            f"/etc/{CANARY}.pem",
        ],
        "look-alike": ["\u2010\u2010\u2010\u2010\u2010BEGIN PRIVATE KEY-----\ncanary7f3e==\n-----END PRIVATE KEY-----"],
        **_MISSING,
    },
    "metascopes": {
        **_LIST_OF_NAMES,
        **_MISSING,
        "path trick": ["../ent_x_sdk", "https://ims-na1.adobelogin.com/s/ent_x_sdk", "ent_x_sdk?x"],
    },
    "ims_url": _URLS,
    "platform_url": _URLS,
    "analytics_url": _URLS,
    "extra": {"wrong type": [[1], 5, "text", ["org_id"]]},
}
CONNECTION_ROWS = [
    (name, kind, value) for name, kinds in CONNECTION.items() for kind, values in kinds.items() for value in values
]
CONNECTION_FIELDS = ["login", "password", *(entry.name for entry in FIELDS)]

OPTIONS: Mapping[str, list[str]] = {
    "settle_time": [
        "nan",
        "inf",
        "-inf",
        "-1",
        "0",
        "-0.5",
        "ten",
        "",
        " ",
        "1e9",
        "86401",
        "180 s",
        "\uff11,8",
        "[1]",
    ],
    "minimum_deferral": ["nan", "inf", "-inf", "-1", "-0.5", "ten", "", " ", "1e9", "3601", "10 s", "None", "1,0"],
}
OPTION_ROWS = [
    (subject, name, value)
    for subject, arguments in GOOD.items()
    # A sensor submits nothing that could have to settle, and who never defers needs neither.
    for name in ((() if "poke_interval" in arguments else ("settle_time",)) + ("minimum_deferral",))
    if "deferrable" in arguments
    for value in OPTIONS[name]
]
OPTION_NAMES = list(get_provider_info()["config"]["adobe_deletion"]["options"])


class Text(str):
    """A text of another class, such as Airflow's and pandas' are."""


_PROFILE, _REMOVE = (
    profile_operators.AdobeProfileDeleteJobOperator,
    profile_operators.AdobeProfileDeleteJobRemoveOperator,
)
_ESTIMATE, _REPAIR = repair_operators.AdobeDataRepairEstimateOperator, repair_operators.AdobeDataRepairJobOperator
_ORDERS = hygiene_operators.AdobeHygieneWorkOrderOperator
_EXPIRE = hygiene_operators.AdobeDatasetExpirationOperator
_REPAIR_SENSOR = repair_sensors.AdobeDataRepairJobSensor
ACCEPTED: list[tuple[type[BaseOperator], dict[str, Any]]] = [
    *((subject, {}) for subject in GOOD),
    *((_PROFILE, {"dataset_id": value}) for value in ("a", "a" * 255, "A.b_c:d@e-f", Text(DATASET), "Nones")),
    (_PROFILE, {"dataset_id": None, "batch_id": BATCH}),
    (_PROFILE, {"dataset_id": None, "batch_id": BATCH, "batch_dataset_id": DATASET}),
    *((_PROFILE, {"completion_timeout": value}) for value in (1, 0.5, timedelta(seconds=1), timedelta(days=36_500))),
    *((_PROFILE, {"poll_interval": value}) for value in (1, 3_600, 1e-3, timedelta(days=1))),
    (_PROFILE, {"poll_interval": 60, "max_poll_interval": timedelta(minutes=1)}),
    *((_PROFILE, {"max_poll_failures": value}) for value in (1, 10**9)),
    *((_PROFILE, {"submission_key": value}) for value in (None, "x", "x" * 255, "L\u00f6schung \u2116 1", "../x")),
    (_REMOVE, {"job_id": "j"}),
    *((_ESTIMATE, {"date_range_start": value, "date_range_end": value}) for value in (LAST_DAY, str(FIRST_DAY))),
    (_ESTIMATE, {"job_definition": None}),
    *((_REPAIR, {"max_server_calls": value}) for value in (0, 10**15, "10000", " 10000 ", "0" * 16)),
    (_REPAIR, {"job_definition": json.dumps(DEFINITION)}),
    *((_REPAIR, {"job_definition": value, "definition_checks": "server"}) for value in EVERYTHING_SENT),
    *((_REPAIR_SENSOR, {"job_id": value}) for value in (1, 10**18, "1", "a" * 255)),
    (_REPAIR_SENSOR, {"max_poll_interval": 60}),
    (_REPAIR_SENSOR, {"poke_interval": timedelta(days=36_500), "timeout": timedelta(days=36_500)}),
    *((_ORDERS, {"dataset_id": value}) for value in ([DATASET], (DATASET, BATCH), [f"d{n}" for n in range(1_000)])),
    (_ORDERS, {"dataset_id": "ALL", "allow_all_datasets": True}),
    (_ORDERS, {"identities": {"Email": ["x" * 1_000]}}),
    *((_ORDERS, {"identities": {code: ["1"]}}) for code in ("E", "Z" * 64, "my ns_1.x:y-z")),
    *(
        (_ORDERS, {"identities": {"Email": [value]}})
        for value in ("\u00e4\u00f6\u00fc@example.com", "\u0430\u0435", "a b", "5")
    ),
    *((_ORDERS, {**_FROM_FILE, "namespace": value}) for value in (None, "Email")),
    *((_ORDERS, {**_FROM_FILE, "file_format": value}) for value in (None, "csv")),
    *(
        (_ORDERS, {"display_name": value})
        for value in (None, "x", "x" * 255, "\U0001f468\u200d\U0001f469 clean-up", "a [b]")
    ),
    *((_ORDERS, {"description": value}) for value in ("", "x" * 1_000, "two\nlines\tand a tab")),
    *((_ORDERS, {"target_services": value}) for value in (None, ["datalake"], ("datalake",), {"datalake"})),
    *((_EXPIRE, {"expiry": value}) for value in (EXPIRY.isoformat(), EXPIRY.date(), EXPIRY.replace(tzinfo=None))),
    *((_EXPIRE, {"expiry": value}) for value in (f" {EXPIRY:%Y-%m-%d} ", "9999-12-31", datetime(9999, 12, 31, 23, 59))),
    (_EXPIRE, {"display_name": "x" * 255, "description": "x" * 1_000}),
    (hygiene_operators.AdobeHygieneDeleteJobOperator, {"users": users(userIDs=USERS[0]["userIDs"] * 9)}),
    (hygiene_operators.AdobeHygieneDeleteJobOperator, {"users": tuple(users(action=["delete"]))}),
    (hygiene_operators.AdobeDatasetExpirationCancelOperator, {"dataset_id": None, "ttl_id": "SD-1"}),
    (hygiene_sensors.AdobeHygieneWorkOrderSensor, {"workorder_id": ["DI-1", "DI-2", "DI-1"]}),
    (hygiene_sensors.AdobeHygieneWorkOrderSensor, {"workorder_id": ("DI-1",)}),
    *((hygiene_sensors.AdobeHygieneQuotaSensor, {"identities": value}) for value in (1, 10**9, "100", " 100 ")),
]
"""What is unusual, or as long or large as it may be, and right."""

ACCEPTED_CONNECTION: list[dict[str, Any]] = [
    {"login": " c0ffee5im0auth0000000000000000a1\n"},
    {"password": " p8e-simulator-not-a-real-secret "},
    {"password": "two words, s+c r/t&="},
    {"org_id": "x@AdobeOrg"},
    {"org_id": " 8B1F5E6A57C7D2147F000101@AdobeOrg "},
    {"scopes": "openid, AdobeID,\n session,"},
    {"scopes": "openid AdobeID"},
    {"scopes": ",".join(["additional_info.projectedProductContext"] * 100)},
    {"sandbox_name": "d"},
    {"sandbox_name": "d" * 256},
    {"sandbox_id": "2C9F1B6E-5a64-4b35-9a2d-6f0e8d7c4b11"},
    {"sandbox_id": ""},
    {"auth": " oauth "},
    {"auth": None},
    {"cloud": ""},
    {"global_company_id": "a" * 255},
    {"metascopes": "ent_dataservices_sdk, ent_analytics_bulk_ingest_sdk"},
    {"something_else": ["of", {"another": "plugin"}]},
]
ACCEPTED_OPTIONS = [
    *(("settle_time", value) for value in ("0.3", "180", " 180 ", "86400", "1e2")),
    *(("minimum_deferral", value) for value in ("0", "0.0", "10", "3600")),
]
