"""The job definition of a Data Repair job: which variables to change, how, and in which rows.

Adobe: *Data Repair API*, job definition reference. A repair cannot be taken back and is billed by the
rows that it scans, so everything that can be known without Adobe is checked here, and all that is wrong
is reported at once. Messages name variables, members, actions and conditions, and never a value to match
or to set, or a query parameter: those may be personal data.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from airflow_provider_adobe_deletion.adobe.data_repair_builder import Repair

MAX_PARAMETERS = 10
MAX_MATCH_VALUES = 1000


class Action(StrEnum):
    """What is done with a variable."""

    SET = "set"
    DELETE = "delete"
    DELETE_QUERY_STRING = "deleteQueryString"
    DELETE_QUERY_STRING_PARAMETERS = "deleteQueryStringParameters"


class Condition(StrEnum):
    """What a filter asks of a row's value. Adobe compares case-sensitively."""

    IN_LIST = "inList"
    IS_EMPTY = "isEmpty"
    CONTAINS = "contains"
    DOES_NOT_CONTAIN = "doesNotContain"
    STARTS_WITH = "startsWith"
    DOES_NOT_START_WITH = "doesNotStartWith"
    ENDS_WITH = "endsWith"
    DOES_NOT_END_WITH = "doesNotEndWith"
    IS_URL = "isURL"
    IS_NOT_URL = "isNotURL"
    IS_NUMERIC = "isNumeric"
    IS_NOT_NUMERIC = "isNotNumeric"


_ANY = frozenset(Condition)
_NOT_EMPTY = _ANY - {Condition.IS_EMPTY}
_LIST_ONLY = frozenset({Condition.IN_LIST})
_NO_FILTER: frozenset[Condition] = frozenset()
_QUERY_STRINGS = {Action.DELETE_QUERY_STRING: _NO_FILTER, Action.DELETE_QUERY_STRING_PARAMETERS: _NO_FILTER}
_STANDARD = {Action.SET: _ANY, Action.DELETE: _NOT_EMPTY, **_QUERY_STRINGS}

_NUMBERED = [f"evar{number}" for number in range(1, 251)] + [f"prop{number}" for number in range(1, 76)]
_NAMED: Mapping[str, Mapping[Action, frozenset[Condition]]] = {
    "campaign entrypage entrypageoriginal sitesections": _STANDARD,
    """videoadadvertiser videoadcampaign videoadname videoadplayername videoaudioalbum videoaudioartist
    videoaudioauthor videoaudiolabel videoaudiopublisher videoaudiostation videochannel videochapter
    videocontenttype videoepisode videofeedtype videomvpd videoname videonetwork videopath videoplayername
    videoseason videoshow videoshowtype videostreamtype""": _STANDARD,
    """mobileappid mobilemessagebuttonname mobilemessageid mobilerelaunchcampaigncontent
    mobilerelaunchcampaignmedium mobilerelaunchcampaignsource mobilerelaunchcampaignterm
    mobilerelaunchcampaigntrackingcode""": {**_STANDARD, Action.DELETE: _NO_FILTER},
    "page pageeventvar1 pageeventvar2": {Action.SET: _NOT_EMPTY, **_QUERY_STRINGS},
    "video videoad": {Action.SET: _ANY, **_QUERY_STRINGS},
    "pageurl pageurlfirsthit pageurlvisitstart referrer referrerfirsthit referrervisit": _QUERY_STRINGS,
    """geocity geocountry geodma geolatitude geolongitude georegion geozip ipaddress latitude longitude
    zip""": {Action.DELETE: _LIST_ONLY},
    "mobileaction": {Action.DELETE: _NOT_EMPTY},
    "activitymap latlon1 latlon23 latlon45 pointofinterest pointofinterestdistance": {Action.DELETE: _NO_FILTER},
}
MATRIX: Mapping[str, Mapping[Action, frozenset[Condition]]] = {
    **dict.fromkeys(_NUMBERED, _STANDARD),
    **{name: actions for names, actions in _NAMED.items() for name in names.split()},
}
"""What Adobe supports: variable → action → the conditions that a filter of that action may have."""

_VALUE_MEMBER: Mapping[Condition, str | None] = {
    **dict.fromkeys(Condition, "matchValue"),
    Condition.IN_LIST: "matchValues",
    **dict.fromkeys(
        (
            Condition.IS_EMPTY,
            Condition.IS_URL,
            Condition.IS_NOT_URL,
            Condition.IS_NUMERIC,
            Condition.IS_NOT_NUMERIC,
        )
    ),
}
# Only Adobe's outdated OpenAPI document has this condition; its reference writes it as contains "@".
_AT_SIGN = "containsAtSign"
_RENAMED = {
    "videocampaign": "videoadcampaign",
    "videoadvertiser": "videoadadvertiser",
    "page_event_var1": "pageeventvar1",
    "page_event_var2": "pageeventvar2",
    "mobilerelaunchcampaigntrackingcode.name": "mobilerelaunchcampaigntrackingcode",
}
_WITHDRAWN = {
    "mobilecampaigncontent",
    "mobilecampaignmedium",
    "mobilecampaignname",
    "mobilecampaignsource",
    "mobilecampaignterm",
    "mobilemessagepushoptin",
    "videogenre",
    "videoplayersdkerrors",
    "videoqoeexternalerrors",
}
_REPAIR_MEMBERS = ("action", "setValue", "parameters", "filter", "filters")
_FILTER_MEMBERS = ("condition", "matchValue", "matchValues", "variable")
_UNNUMBERED = sorted(MATRIX.keys() - {*_NUMBERED})
# Names are words. An @, five digits in a row or a long hexadecimal are somebody's address or number.
_LIKE_A_VALUE = re.compile(r"@|\d{5}|^[0-9A-Fa-f-]{16,}$")
_VARIABLE_NAMES = ", ".join(["evar1 to evar250", "prop1 to prop75", *_UNNUMBERED])


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a job definition.

    :param variable: the variable that it is about, as the definition spells it; empty where it is about the whole.
    :param path: where in the definition, such as ``variables.evar1.filters[0].condition``.
    :param message: what is wrong, and what is allowed.
    """

    variable: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class DefinitionError(ValueError):
    """A job definition that must not be sent. Its text holds no values of the definition.

    :param violations: everything that is wrong with it.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__(self.violations)

    def __str__(self) -> str:
        if len(self.violations) == 1:
            return f"The job_definition has an error: {self.violations[0]}"
        lines = [f"The job_definition has {len(self.violations)} errors:"]
        return "\n".join([*lines, *(f"- {violation}" for violation in self.violations)])


class _Member(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


class Filter(_Member):
    """Which rows an action touches.

    :param condition: what is asked of the value.
    :param match_value: the text to compare with, for the conditions that take one.
    :param match_values: the texts to compare with, for ``inList``.
    :param variable: whose value; without it, that of the repaired variable.
    """

    condition: Condition
    match_value: str | None = Field(None, repr=False)
    match_values: list[str] | None = Field(None, repr=False)
    variable: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _at_sign(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("condition") == _AT_SIGN:
            return {**raw, "condition": Condition.CONTAINS, "matchValue": "@"}
        return raw


class VariableRepair(_Member):
    """What is done with one variable.

    :param action: what is done.
    :param set_value: the new value, for ``set``.
    :param parameters: the query parameters to remove, for ``deleteQueryStringParameters``.
    :param filter: the one filter; without ``filter`` and ``filters`` every row is touched.
    :param filters: several filters, which must all match.
    """

    action: Action
    set_value: str | None = Field(None, repr=False)
    parameters: list[str] | None = Field(None, repr=False)
    filter: Filter | None = None
    filters: list[Filter] | None = None

    @field_validator("filters", mode="before")
    @classmethod
    def _always_an_array(cls, raw: Any) -> Any:
        """Adobe's samples of 2021 write a single filter without the brackets."""
        return [raw] if isinstance(raw, dict) else raw


class JobDefinition(_Member):
    """A job definition that follows all rules. :func:`parse_definition` makes it, and checks them.

    :param variables: what is done, by variable.
    """

    variables: dict[str, VariableRepair]

    def to_request(self) -> dict[str, Any]:
        """Return the JSON that Adobe takes."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def digest(self) -> str:
        """Return the SHA-256 of what the definition means, in hexadecimal; see :func:`definition_digest`."""
        return definition_digest(self.to_request())


@dataclass(frozen=True)
class UncheckedDefinition:
    """A job definition that Adobe is to judge; :func:`unchecked_definition` makes it.

    :param request: the JSON object as the user wrote it.
    """

    request: Mapping[str, Any] = field(repr=False)

    def to_request(self) -> dict[str, Any]:
        """Return the JSON that Adobe takes."""
        return dict(_plain(self.request))

    def digest(self) -> str:
        """Return the SHA-256 of what the definition means, in hexadecimal; see :func:`definition_digest`."""
        return definition_digest(self.to_request())


RawDefinition: TypeAlias = Mapping[str, Any] | str | Repair
"""What a user may write: a mapping, JSON text, or the builder's :class:`Repair`."""


def parse_definition(raw: RawDefinition) -> JobDefinition:
    """Read a job definition and check it against everything that Adobe's Data Repair API documents.

    :param raw: a mapping, JSON text, or a :class:`Repair`.
    :raises DefinitionError: with all that is wrong.
    """
    definition, violations = _loaded(raw)
    violations.extend(_violations(definition))
    if violations:
        raise DefinitionError(violations)
    return JobDefinition.model_validate(definition)


def unchecked_definition(raw: RawDefinition) -> UncheckedDefinition:
    """Read a job definition whose rules Adobe is to check, with ``validateOnly``.

    Only its frame is checked: a JSON object whose ``variables`` is an object with at least one entry.

    :param raw: a mapping, JSON text, or a :class:`Repair`.
    :raises DefinitionError: it has not that frame, or is no JSON.
    """
    definition, violations = _loaded(raw)
    violations.extend(_frame_violations(definition))
    if violations:
        raise DefinitionError(violations)
    try:
        unchecked = UncheckedDefinition(json.loads(json.dumps(definition, allow_nan=False)))
        unchecked.digest()
    except RecursionError:
        raise _too_deep() from None
    except (TypeError, ValueError):
        raise DefinitionError([Violation("", "", "It holds something that JSON cannot express.")]) from None
    return unchecked


def definition_digest(definition: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a job definition means, in hexadecimal.

    The order of members, and the choice between ``filter`` and ``filters`` for a single filter, make no
    difference; everything else does.
    """
    text = json.dumps(_canonical(definition), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def same_definition(sent: Any, echo: Any) -> bool:
    """Whether ``echo``, from Adobe's list of jobs, is the definition that was ``sent``.

    The order of members makes no difference, nor do ``filter`` or ``filters`` for a single filter, empty
    members, and members that Adobe may add to an action or filter and that these documents do not know.

    :param sent: the request's JSON.
    :param echo: the ``jobDefinition`` of a job.
    """
    if not isinstance(sent, Mapping) or not isinstance(echo, Mapping):
        return False
    ours, theirs = _canonical(sent).get("variables"), _canonical(echo).get("variables")
    if not isinstance(ours, dict) or not isinstance(theirs, dict) or ours.keys() != theirs.keys():
        return False
    return all(_agrees(repair, theirs[name]) for name, repair in ours.items())


def _agrees(sent: Any, echo: Any) -> bool:
    if isinstance(sent, dict) and isinstance(echo, dict):
        added = echo.keys() - sent.keys()
        # A filter that we did not send is no addition but another job.
        return added.isdisjoint((*_REPAIR_MEMBERS, *_FILTER_MEMBERS)) and all(
            name in echo and _agrees(value, echo[name]) for name, value in sent.items()
        )
    if isinstance(sent, list) and isinstance(echo, list):
        return len(sent) == len(echo) and all(map(_agrees, sent, echo))
    return bool(sent == echo)


def _canonical(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one form of all spellings of a definition; what is not understood stays as it is."""
    plain = _plain(definition)
    variables = plain.get("variables")
    if isinstance(variables, dict):
        plain["variables"] = {name: _canonical_repair(name, repair) for name, repair in variables.items()}
    return dict(plain)


def _canonical_repair(name: str, repair: Any) -> Any:
    if not isinstance(repair, dict):
        return repair
    members = _filled(repair)
    filters = members.get("filters", [])
    filters = filters if isinstance(filters, list) else [filters]
    if "filter" in members and not filters:
        filters = [members.pop("filter")]
    if filters:
        members["filters"] = [_canonical_filter(name, entry) for entry in filters]
    return members


def _canonical_filter(name: str, entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    members = _filled(entry)
    if members.get("variable") == name:
        del members["variable"]
    return members


def _filled(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None and value != []}


def _loaded(raw: RawDefinition) -> tuple[Any, list[Violation]]:
    """Return plain JSON values, and the keys that JSON text repeats, of which Adobe would see one."""
    if isinstance(raw, Repair):
        return raw.to_request(), []
    if not isinstance(raw, str):
        try:
            return _plain(raw), []
        except RecursionError:
            raise _too_deep() from None
    repeated: list[str] = []

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        repeated.extend(name for name, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        definition = json.loads(raw, object_pairs_hook=as_object)
    except json.JSONDecodeError as error:
        message = f"It is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise DefinitionError([Violation("", "", message)]) from None
    except RecursionError:
        raise _too_deep() from None
    return definition, [
        Violation(
            _shown(name) if name in MATRIX else "",
            "",
            f"'{_shown(name)}' occurs more than once in one object, and only one of them would count.",
        )
        for name in repeated
    ]


def _too_deep() -> DefinitionError:
    return DefinitionError([Violation("", "", "It is nested too deeply.")])


def _plain(value: Any) -> Any:
    """Return ``value`` with every mapping as a dict and every sequence as a list, as JSON would read it."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _violations(definition: Any) -> Iterator[Violation]:
    yield from _frame_violations(definition)
    if not isinstance(definition, dict) or "variables" not in definition:
        return
    for name in definition:
        if name != "variables":
            yield Violation("", _shown(name), "is unknown here; a job definition has only 'variables'.")
    variables = definition["variables"]
    for name, repair in variables.items() if isinstance(variables, dict) else ():
        for path, message in _repair_problems(name, repair):
            yield Violation(_shown(name), f"variables.{_shown(name)}{path}", message)


def _frame_violations(definition: Any) -> Iterator[Violation]:
    if not isinstance(definition, dict):
        yield Violation("", "", "It must be a JSON object with the member 'variables'.")
    elif "variables" not in definition:
        hint = " Put the variables into it." if any(_meant_variable(name) for name in definition) else ""
        yield Violation("", "variables", f"is missing.{hint}")
    elif not isinstance(definition["variables"], dict):
        yield Violation("", "variables", "must be an object: variable names, each with what is done to it.")
    elif not definition["variables"]:
        yield Violation("", "variables", "is empty; name at least one variable.")


# The checks below yield (path below the variable, message) and go on where they can, so that one run finds
# everything. What is misspelt only by case, or by its old name, is checked as what was meant.
Problem: TypeAlias = tuple[str, str]


def _repair_problems(name: Any, repair: Any) -> Iterator[Problem]:
    variable = _meant_variable(name)
    if variable != name:
        yield "", _unknown_variable(name, "is")
    actions = MATRIX[variable] if variable else _STANDARD
    if not isinstance(repair, dict):
        yield "", f"must be an object with an 'action'; allowed: {_listed(actions)}."
        return
    yield from _member_problems(repair, _REPAIR_MEMBERS)

    action = _meant(repair.get("action"), Action)
    if "action" not in repair:
        yield ".action", f"is missing; allowed: {_listed(actions)}."
    elif action is None or action != repair["action"]:
        yield ".action", _unknown(repair["action"], "an action", action, actions)
    if action is not None and action not in actions:
        yield ".action", f"{_shown(name)} does not support {action}; allowed: {_listed(actions)}."

    if repair.get("setValue") == "":
        way = "to clear the variable use the action delete" if Action.DELETE in actions else "it cannot be cleared"
        yield ".setValue", f"is empty, which Adobe does not document; {way}."
    yield from _value_problems(repair, action)
    yield from _filters_problems(name, repair, action, actions)


def _value_problems(repair: Mapping[str, Any], action: Action | None) -> Iterator[Problem]:
    owners = {"setValue": Action.SET, "parameters": Action.DELETE_QUERY_STRING_PARAMETERS}
    for member, owner in owners.items():
        if member not in repair:
            if action is owner:
                yield f".{member}", f"is missing; the action {action} needs it."
        elif action is not None and action is not owner:
            yield f".{member}", f"does not go with the action {action}, only with {owner}."
        elif member == "setValue":
            yield from _text_problems(".setValue", repair[member])
        else:
            yield from _texts_problems(".parameters", repair[member], MAX_PARAMETERS)


def _filters_problems(
    name: Any,
    repair: Mapping[str, Any],
    action: Action | None,
    actions: Mapping[Action, frozenset[Condition]],
) -> Iterator[Problem]:
    given = [member for member in ("filter", "filters") if repair.get(member) is not None]
    if len(given) > 1:
        yield ".filters", "cannot go with 'filter'; put all filters into 'filters'."
    allowed = actions.get(action, _ANY) if action is not None else _ANY
    if not allowed:
        for member in given:
            yield f".{member}", f"{action} of {_shown(name)} takes no filters."
    for member in given:
        value = repair[member]
        if member == "filters" and isinstance(value, list):
            if not value:
                yield ".filters", "is empty; leave it out to touch every row."
            entries = [(f".filters[{position}]", entry) for position, entry in enumerate(value)]
        elif member == "filters" and not isinstance(value, dict):
            yield ".filters", "must be an array of objects, each with a 'condition'."
            entries = []
        else:
            entries = [(f".{member}", value)]
        for path, entry in entries:
            for below, message in _filter_problems(name, action, allowed or _ANY, entry):
                yield path + below, message


def _filter_problems(name: Any, action: Action | None, allowed: frozenset[Condition], entry: Any) -> Iterator[Problem]:
    if not isinstance(entry, dict):
        yield "", "must be an object with a 'condition'."
        return
    yield from _member_problems(entry, _FILTER_MEMBERS)

    written = entry.get("condition")
    at_sign = isinstance(written, str) and written == _AT_SIGN
    condition = Condition.CONTAINS if at_sign else _meant(written, Condition)
    if "condition" not in entry:
        yield ".condition", f"is missing; allowed: {_listed(allowed)}."
    elif not at_sign and (condition is None or condition != written):
        yield ".condition", _unknown(written, "a condition", condition, allowed)
    if condition is not None and condition not in allowed:
        what = f"{action} of {_shown(name)}"
        yield ".condition", f"{what} does not support the filter {condition}; allowed: {_listed(allowed)}."

    needed = _VALUE_MEMBER[condition] if condition is not None and not at_sign else None
    for member in ("matchValue", "matchValues"):
        if member not in entry:
            if member == needed:
                yield f".{member}", f"is missing; the condition {condition} needs it."
        elif condition is not None and member != needed:
            takes = f"it takes {needed}" if needed else "it takes no value"
            yield f".{member}", f"does not go with the condition {_AT_SIGN if at_sign else condition}; {takes}."
        elif member == "matchValue":
            if entry[member] == "":
                yield ".matchValue", "is empty, which every value would match; give the text to compare with."
            yield from _text_problems(".matchValue", entry[member])
        else:
            yield from _texts_problems(".matchValues", entry[member], MAX_MATCH_VALUES)

    other = entry.get("variable")
    if other is not None and _meant_variable(other) != other:
        yield ".variable", _unknown_variable(other, "names")


def _member_problems(members: Mapping[Any, Any], known: tuple[str, ...]) -> Iterator[Problem]:
    for name, value in members.items():
        if name not in known:
            meant = {entry.lower(): entry for entry in known}.get(str(name).lower())
            hint = f" Names are case-sensitive: write '{meant}'." if meant else ""
            yield f".{_shown(name)}", f"is unknown here; allowed: {', '.join(known)}.{hint}"
        elif value is None:
            # A filter that a template left null would otherwise turn into "every row".
            yield f".{name}", "is null; give it a value or leave it out."


def _text_problems(path: str, value: Any) -> Iterator[Problem]:
    if value is not None and not _is_text(value):
        yield path, "must be text."


def _texts_problems(path: str, value: Any, limit: int) -> Iterator[Problem]:
    if value is None:
        return
    if not isinstance(value, list):
        yield path, f"must be an array of 1 to {limit} texts."
        return
    if not value:
        yield path, f"is empty; give 1 to {limit} texts."
    if len(value) > limit:
        yield path, f"has {len(value)} entries; at most {limit} are allowed."
    if wrong := sum(not _is_text(entry) for entry in value):
        yield path, f"has {wrong} of {len(value)} entries that are not text."
    if empty := sum(entry == "" for entry in value):
        yield path, f"has {empty} of {len(value)} entries that are empty."


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _meant(written: Any, names: type[Action] | type[Condition]) -> Any:
    """Return the member of ``names`` that ``written`` is, or would be in another case."""
    if not isinstance(written, str):
        return None
    return next((name for name in names if name.lower() == written.lower()), None)


def _meant_variable(written: Any) -> str | None:
    if not isinstance(written, str):
        return None
    lowered = written.lower()
    lowered = _RENAMED.get(lowered, lowered)
    return lowered if lowered in MATRIX else None


def _unknown_variable(written: Any, verb: str) -> str:
    shown, meant = _shown(written), _meant_variable(written)
    lowered = str(written).lower()
    if lowered in _RENAMED:
        return f"{verb} '{shown}', an old name: write '{meant}'."
    if meant:
        return f"{verb} '{shown}', and names are case-sensitive: write '{meant}'."
    if lowered in _WITHDRAWN:
        return f"{verb} '{shown}', which Adobe no longer supports; nothing replaces it."
    for stem, last in (("evar", 250), ("prop", 75)):
        if re.fullmatch(rf"{stem}\d+", lowered):
            return f"{verb} '{shown}', which does not exist; allowed: {stem}1 to {stem}{last}."
    if near := get_close_matches(shown.lower(), _UNNUMBERED, n=1, cutoff=0.85):
        return f"{verb} '{shown}', which Data Repair does not know; did you mean '{near[0]}'?"
    return f"{verb} '{shown}', which Data Repair does not know; allowed: {_VARIABLE_NAMES}."


def _unknown(written: Any, what: str, meant: str | None, allowed: Collection[str]) -> str:
    if not isinstance(written, str):
        return f"must be the name of {what}; allowed: {_listed(allowed)}."
    hint = f" Names are case-sensitive: write '{meant}'." if meant in allowed else ""
    return f"'{_shown(written)}' is not {what}; allowed: {_listed(allowed)}.{hint}"


def _listed(names: Iterable[str]) -> str:
    """List actions or conditions in the order in which Adobe documents them."""
    chosen = set(names)
    return ", ".join(name for name in (*Action, *Condition) if name in chosen)


def _shown(name: Any) -> str:
    """Return what a user wrote in the place of a name, in a form that is fit for a message.

    A value in the wrong place, such as a match value for a condition, may be personal data.
    """
    name = name if isinstance(name, str) else type(name).__name__
    if _LIKE_A_VALUE.search(name):
        return "(not shown, as it looks like a value)"
    text = "".join(letter if letter.isprintable() else "?" for letter in name[:61])
    return text if len(text) <= 60 else f"{text[:59]}…"
