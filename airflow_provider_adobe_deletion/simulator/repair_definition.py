"""What Data Repair accepts as a job definition.

Follows "Data Repair API: JSON body" (variables, actions, filters), not the OpenAPI document, which was
not kept up to date.
"""

from __future__ import annotations

from typing import Any, NamedTuple

SET, DELETE, QUERY, PARAMETERS = (
    "set",
    "delete",
    "deleteQueryString",
    "deleteQueryStringParameters",
)
NO_VALUE = frozenset({"isEmpty", "isURL", "isNotURL", "isNumeric", "isNotNumeric"})
ONE_VALUE = frozenset({"contains", "doesNotContain", "startsWith", "doesNotStartWith", "endsWith", "doesNotEndWith"})
ALL = NO_VALUE | ONE_VALUE | {"inList"}
ALL_BUT_EMPTY = ALL - {"isEmpty"}
IN_LIST = frozenset({"inList"})
NONE: frozenset[str] = frozenset()
MAX_PARAMETERS = 10
MAX_VALUES = 1000


class InvalidDefinition(ValueError):
    """The definition is refused; the text says why."""


class Rule(NamedTuple):
    """What may be done to a variable, and which filter conditions may go with it."""

    actions: frozenset[str]
    set_filters: frozenset[str] = NONE
    delete_filters: frozenset[str] = NONE


_FULL = Rule(frozenset({SET, DELETE, QUERY, PARAMETERS}), ALL, ALL_BUT_EMPTY)
_MOBILE = Rule(_FULL.actions, ALL, NONE)
_PAGE = Rule(frozenset({SET, QUERY, PARAMETERS}), ALL_BUT_EMPTY)
_VIDEO = Rule(frozenset({SET, QUERY, PARAMETERS}), ALL)
_URL = Rule(frozenset({QUERY, PARAMETERS}))
_PLACE = Rule(frozenset({DELETE}), NONE, IN_LIST)
_MOBILE_ACTION = Rule(frozenset({DELETE}), NONE, ALL_BUT_EMPTY)
_DELETE_ONLY = Rule(frozenset({DELETE}))

_NAMES: tuple[tuple[Rule, str], ...] = (
    (_FULL, "campaign entrypage entrypageoriginal sitesections"),
    (_FULL, " ".join(f"evar{n}" for n in range(1, 251))),
    (_FULL, " ".join(f"prop{n}" for n in range(1, 76))),
    (
        _FULL,
        "videoadname videoadplayername videoadadvertiser videoadcampaign videoaudioalbum videoaudioartist "
        "videoaudioauthor videoaudiolabel videoaudiopublisher videoaudiostation videochannel videochapter "
        "videocontenttype videoepisode videofeedtype videomvpd videoname videonetwork videopath "
        "videoplayername videoseason videoshow videoshowtype videostreamtype",
    ),
    (
        _MOBILE,
        "mobileappid mobilemessagebuttonname mobilemessageid mobilerelaunchcampaigncontent "
        "mobilerelaunchcampaignmedium mobilerelaunchcampaignsource mobilerelaunchcampaignterm "
        "mobilerelaunchcampaigntrackingcode",
    ),
    (_PAGE, "page pageeventvar1 pageeventvar2"),
    (_VIDEO, "video videoad"),
    (_URL, "pageurl pageurlfirsthit pageurlvisitstart referrer referrerfirsthit referrervisit"),
    (
        _PLACE,
        "geodma geocity geocountry geolatitude geolongitude georegion geozip ipaddress latitude longitude zip",
    ),
    (_MOBILE_ACTION, "mobileaction"),
    (_DELETE_ONLY, "latlon1 latlon23 latlon45 pointofinterest pointofinterestdistance activitymap"),
)
RULES: dict[str, Rule] = {name: rule for rule, names in _NAMES for name in names.split()}


def check(definition: Any) -> None:
    """Raise ``InvalidDefinition`` unless Data Repair would run this definition."""
    if not isinstance(definition, dict) or set(definition) != {"variables"}:
        raise InvalidDefinition("The job definition must have the single member 'variables'.")
    variables = definition["variables"]
    if not isinstance(variables, dict) or not variables:
        raise InvalidDefinition("'variables' must name at least one variable.")
    for name, change in variables.items():
        rule = RULES.get(name)
        if rule is None:
            raise InvalidDefinition(f"Variable '{name}' is not supported.")
        if not isinstance(change, dict):
            raise InvalidDefinition(f"Variable '{name}' must be an object.")
        _check_change(name, change, rule)


def _check_change(name: str, change: dict[str, Any], rule: Rule) -> None:
    action = change.get("action")
    if action not in rule.actions:
        raise InvalidDefinition(f"Action '{action}' is not supported for variable '{name}'.")
    members = {
        SET: {"action", "setValue", "filter", "filters"},
        DELETE: {"action", "filter", "filters"},
        QUERY: {"action"},
        PARAMETERS: {"action", "parameters"},
    }[action]
    for member in change:
        if member not in members:
            raise InvalidDefinition(f"'{member}' is not allowed with action '{action}' ({name}).")
    if action == SET and not isinstance(change.get("setValue"), str):
        raise InvalidDefinition(f"Action 'set' requires 'setValue' ({name}).")
    if action == PARAMETERS:
        _check_texts(change.get("parameters"), MAX_PARAMETERS, f"'parameters' ({name})")
    if "filter" in change and "filters" in change:
        raise InvalidDefinition(f"'filter' and 'filters' exclude each other ({name}).")
    filters = [change["filter"]] if "filter" in change else change.get("filters", [])
    if not isinstance(filters, list):
        raise InvalidDefinition(f"'filters' must be an array ({name}).")
    allowed = rule.set_filters if action == SET else rule.delete_filters
    for item in filters:
        _check_filter(name, item, allowed)


def _check_filter(name: str, item: Any, allowed: frozenset[str]) -> None:
    if not isinstance(item, dict):
        raise InvalidDefinition(f"A filter must be an object ({name}).")
    condition = item.get("condition")
    if condition not in ALL:
        raise InvalidDefinition(f"Filter condition '{condition}' is not supported ({name}).")
    if condition not in allowed:
        raise InvalidDefinition(f"Filter condition '{condition}' is not allowed here ({name}).")
    members = {"condition", "variable"}
    if condition == "inList":
        members.add("matchValues")
        _check_texts(item.get("matchValues"), MAX_VALUES, f"'matchValues' ({name})")
    elif condition in ONE_VALUE:
        members.add("matchValue")
        if not isinstance(item.get("matchValue"), str):
            raise InvalidDefinition(f"Condition '{condition}' requires 'matchValue' ({name}).")
    for member in item:
        if member not in members:
            raise InvalidDefinition(f"'{member}' is not allowed with condition '{condition}' ({name}).")
    if "variable" in item and item["variable"] not in RULES:
        raise InvalidDefinition(f"Filter variable '{item['variable']}' is not supported ({name}).")


def _check_texts(value: Any, most: int, what: str) -> None:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= most
        or not all(isinstance(text, str) and text for text in value)
    ):
        raise InvalidDefinition(f"{what} must hold 1 to {most} non-empty strings.")
