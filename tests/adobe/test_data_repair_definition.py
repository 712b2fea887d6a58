"""Job definitions: the matrix of what Adobe supports, the rules, the builder, and the comparisons."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe.data_repair_builder import (
    Repair,
    Where,
    contains,
    does_not_contain,
    does_not_end_with,
    does_not_start_with,
    ends_with,
    in_list,
    is_empty,
    is_not_numeric,
    is_not_url,
    is_numeric,
    is_url,
    starts_with,
)
from airflow_provider_adobe_deletion.adobe.data_repair_definition import (
    DefinitionError,
    JobDefinition,
    Violation,
    parse_definition,
    same_definition,
    unchecked_definition,
)

# Transcribed from Adobe's job definition reference, not from the implementation:
# variables | filters with set | filters with delete | deleteQueryString and deleteQueryStringParameters
REFERENCE = """
campaign entrypage entrypageoriginal sitesections | all | not-isEmpty | yes
evar1-250                                         | all | not-isEmpty | yes
prop1-75                                          | all | not-isEmpty | yes
videoadname videoadplayername videoadadvertiser videoadcampaign | all | not-isEmpty | yes
videoaudioalbum videoaudioartist videoaudioauthor videoaudiolabel | all | not-isEmpty | yes
videoaudiopublisher videoaudiostation videochannel videochapter   | all | not-isEmpty | yes
videocontenttype videoepisode videofeedtype videomvpd videoname   | all | not-isEmpty | yes
videonetwork videopath videoplayername videoseason                | all | not-isEmpty | yes
videoshow videoshowtype videostreamtype                           | all | not-isEmpty | yes
mobileappid mobilemessagebuttonname mobilemessageid               | all | none | yes
mobilerelaunchcampaigncontent mobilerelaunchcampaignmedium        | all | none | yes
mobilerelaunchcampaignsource mobilerelaunchcampaignterm           | all | none | yes
mobilerelaunchcampaigntrackingcode                | all | none | yes
page pageeventvar1 pageeventvar2                  | not-isEmpty | - | yes
video videoad                                     | all | - | yes
pageurl pageurlfirsthit pageurlvisitstart referrer referrerfirsthit referrervisit | - | - | yes
geodma geocity geocountry geolatitude geolongitude georegion geozip ipaddress     | - | inList | no
latitude longitude zip                            | - | inList | no
mobileaction                                      | - | not-isEmpty | no
latlon1 latlon23 latlon45 pointofinterest pointofinterestdistance activitymap     | - | none | no
"""
FILTERS: dict[str, dict[str, Any]] = {
    "inList": {"matchValues": ["x"]},
    "isEmpty": {},
    "contains": {"matchValue": "x"},
    "doesNotContain": {"matchValue": "x"},
    "startsWith": {"matchValue": "x"},
    "doesNotStartWith": {"matchValue": "x"},
    "endsWith": {"matchValue": "x"},
    "doesNotEndWith": {"matchValue": "x"},
    "isURL": {},
    "isNotURL": {},
    "isNumeric": {},
    "isNotNumeric": {},
}
ACTIONS: dict[str, dict[str, Any]] = {
    "set": {"setValue": "x"},
    "delete": {},
    "deleteQueryString": {},
    "deleteQueryStringParameters": {"parameters": ["x"]},
}
CONDITIONS = {
    "all": set(FILTERS),
    "not-isEmpty": set(FILTERS) - {"isEmpty"},
    "inList": {"inList"},
    "none": set(),
    "-": None,
    "yes": set(),
    "no": None,
}


def reference() -> list[tuple[str, dict[str, set[str] | None]]]:
    rows = []
    for line in REFERENCE.strip().splitlines():
        names, *supported = [cell.strip() for cell in line.split("|")]
        on_set, on_delete, query_strings = (CONDITIONS[cell] for cell in supported)
        actions = {
            "set": on_set,
            "delete": on_delete,
            "deleteQueryString": query_strings,
            "deleteQueryStringParameters": query_strings,
        }
        for name in names.split():
            stem, dash, last = name.partition("1-")
            numbered = [f"{stem}{number}" for number in range(1, int(last) + 1)] if dash else [name]
            rows += [(variable, actions) for variable in numbered]
    return rows


ALL_VARIABLES = dict(reference())


def violations(definition: Any) -> tuple[Violation, ...]:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(definition)
    return caught.value.violations


def one(definition: Any) -> Violation:
    (violation,) = violations(definition)
    return violation


def of(variable: str, **members: Any) -> dict[str, Any]:
    return {"variables": {variable: members}}


def test_reference_is_complete() -> None:
    assert len(reference()) == len(ALL_VARIABLES) == 4 + 250 + 75 + 24 + 8 + 3 + 2 + 6 + 11 + 1 + 6


@pytest.mark.parametrize("action", ACTIONS)
def test_every_variable_with_every_action(action: str) -> None:
    for variable, supported in ALL_VARIABLES.items():
        definition = of(variable, action=action, **ACTIONS[action])
        if supported[action] is not None:
            assert parse_definition(definition).to_request() == definition
            continue
        found = one(definition)
        assert (found.variable, found.path) == (variable, f"variables.{variable}.action")
        assert variable in found.message
        allowed = [name for name, filters in supported.items() if filters is not None]
        assert f"does not support {action}; allowed: {', '.join(allowed)}." in found.message


@pytest.mark.parametrize("action", ACTIONS)
def test_every_variable_with_every_action_and_filter(action: str) -> None:
    for variable, supported in ALL_VARIABLES.items():
        allowed = supported[action]
        if allowed is None:
            continue
        for condition, value in FILTERS.items():
            entry = {"condition": condition, **value}
            for members in ({"filter": entry}, {"filters": [entry]}):
                definition = of(variable, action=action, **ACTIONS[action], **members)
                if condition in allowed:
                    assert parse_definition(definition).to_request() == definition
                    continue
                found = one(definition)
                assert found.variable == variable
                if allowed:
                    assert found.path.endswith(".condition")
                    assert f"does not support the filter {condition}; allowed: " in found.message
                    assert set(found.message.partition("allowed: ")[2].strip(".").split(", ")) == allowed
                else:
                    assert found.message == f"{action} of {variable} takes no filters."


DISAGREEMENTS_ACCEPTED = {
    "new name videoadcampaign": (of("videoadcampaign", action="delete"), None),
    "new name videoadadvertiser": (of("videoadadvertiser", action="delete"), None),
    "videochapter": (of("videochapter", action="delete"), None),
    "the last prop": (of("prop75", action="delete"), None),
    "the last evar": (of("evar250", action="delete"), None),
    "query strings of campaign": (of("campaign", action="deleteQueryString"), None),
    "query strings of evars": (of("evar4", action="deleteQueryStringParameters", parameters=["a"]), None),
    "several filters": (
        of("evar1", action="delete", filters=[{"condition": "isNumeric"}, {"condition": "isNotNumeric"}]),
        None,
    ),
    "filter on another variable": (
        of("evar2", action="delete", filter={"condition": "contains", "matchValue": "@", "variable": "evar3"}),
        None,
    ),
    "containsAtSign": (
        of("evar1", action="delete", filter={"condition": "containsAtSign"}),
        of("evar1", action="delete", filter={"condition": "contains", "matchValue": "@"}),
    ),
    "containsAtSign on another variable": (
        of("evar1", action="delete", filters=[{"condition": "containsAtSign", "variable": "prop1"}]),
        of("evar1", action="delete", filters=[{"condition": "contains", "matchValue": "@", "variable": "prop1"}]),
    ),
    "filters as an object": (
        of("evar1", action="delete", filters={"condition": "doesNotContain", "matchValue": "x"}),
        of("evar1", action="delete", filters=[{"condition": "doesNotContain", "matchValue": "x"}]),
    ),
}


@pytest.mark.parametrize(("definition", "request_body"), DISAGREEMENTS_ACCEPTED.values(), ids=DISAGREEMENTS_ACCEPTED)
def test_where_the_documents_disagree_it_is_accepted(definition: Any, request_body: Any) -> None:
    assert parse_definition(definition).to_request() == (request_body or definition)


DISAGREEMENTS_REFUSED = {
    "videocampaign": (of("videocampaign", action="delete"), "", "an old name: write 'videoadcampaign'"),
    "videoadvertiser": (of("videoadvertiser", action="delete"), "", "an old name: write 'videoadadvertiser'"),
    "page_event_var1": (of("page_event_var1", action="set", setValue="x"), "", "write 'pageeventvar1'"),
    "page_event_var2": (of("page_event_var2", action="set", setValue="x"), "", "write 'pageeventvar2'"),
    "trackingcode.name": (
        of("mobilerelaunchcampaigntrackingcode.name", action="delete"),
        "",
        "write 'mobilerelaunchcampaigntrackingcode'",
    ),
    **{
        name: (of(name, action="delete"), "", "Adobe no longer supports")
        for name in (
            *(f"mobilecampaign{end}" for end in ("content", "medium", "name", "source", "term")),
            "mobilemessagepushoptin",
            "videogenre",
            "videoplayersdkerrors",
            "videoqoeexternalerrors",
        )
    },
    "prop82": (of("prop82", action="delete"), "", "prop1 to prop75"),
    "prop76": (of("prop76", action="delete"), "", "prop1 to prop75"),
    "evar251": (of("evar251", action="delete"), "", "evar1 to evar250"),
    "evar0": (of("evar0", action="delete"), "", "evar1 to evar250"),
    "evar01": (of("evar01", action="delete"), "", "evar1 to evar250"),
    "filter on query strings": (
        of("pageurl", action="deleteQueryString", filter={"condition": "isURL"}),
        ".filter",
        "takes no filters",
    ),
    "filter and filters": (
        of("evar1", action="delete", filter={"condition": "isURL"}, filters=[{"condition": "isURL"}]),
        ".filters",
        "cannot go with 'filter'",
    ),
    "empty matchValues": (
        of("evar1", action="delete", filter={"condition": "inList", "matchValues": []}),
        ".filter.matchValues",
        "give 1 to 1000",
    ),
    "empty setValue": (of("evar1", action="set", setValue=""), ".setValue", "use the action delete"),
    "empty setValue, no delete": (of("page", action="set", setValue=""), ".setValue", "it cannot be cleared"),
    "containsAtSign with a value": (
        of("evar1", action="delete", filter={"condition": "containsAtSign", "matchValue": "x"}),
        ".filter.matchValue",
        "does not go with the condition containsAtSign; it takes no value",
    ),
    "containsAtSign where contains is not": (
        of("ipaddress", action="delete", filter={"condition": "containsAtSign"}),
        ".filter.condition",
        "allowed: inList",
    ),
}


@pytest.mark.parametrize(("definition", "below", "says"), DISAGREEMENTS_REFUSED.values(), ids=DISAGREEMENTS_REFUSED)
def test_where_the_documents_disagree_it_is_refused(definition: Any, below: str, says: str) -> None:
    (name,) = definition["variables"]
    found = one(definition)
    assert (found.variable, found.path) == (name, f"variables.{name}{below}")
    assert says in found.message


REFUSED = {
    "variable in another case": (of("eVar74", action="delete"), "", "case-sensitive: write 'evar74'"),
    "misspelt variable": (of("page_url", action="deleteQueryString"), "", "did you mean 'pageurl'?"),
    "unknown variable": (of("product", action="delete"), "", "allowed: evar1 to evar250, prop1 to prop75, activitymap"),
    "action in another case": (of("evar1", action="Delete"), ".action", "case-sensitive: write 'delete'"),
    "unknown action": (of("zip", action="clear"), ".action", "'clear' is not an action; allowed: delete."),
    "no action": (of("zip"), ".action", "is missing; allowed: delete."),
    "action of another type": (of("zip", action=["delete"]), ".action", "allowed: delete."),
    "no object": ({"variables": {"zip": "delete"}}, "", "must be an object with an 'action'"),
    "no setValue": (of("evar1", action="set"), ".setValue", "is missing"),
    "null setValue": (of("evar1", action="set", setValue=None), ".setValue", "is null"),
    "setValue of another type": (of("evar1", action="set", setValue=5), ".setValue", "must be text"),
    "setValue that is no Unicode": (of("evar1", action="set", setValue="\ud800"), ".setValue", "must be text"),
    "setValue with delete": (of("evar1", action="delete", setValue="x"), ".setValue", "only with set"),
    "parameters with delete": (of("evar1", action="delete", parameters=["x"]), ".parameters", "only with"),
    "no parameters": (of("pageurl", action="deleteQueryStringParameters"), ".parameters", "is missing"),
    "empty parameters": (
        of("pageurl", action="deleteQueryStringParameters", parameters=[]),
        ".parameters",
        "give 1 to 10",
    ),
    "one parameter without brackets": (
        of("pageurl", action="deleteQueryStringParameters", parameters="email"),
        ".parameters",
        "must be an array",
    ),
    "parameters of another type": (
        of("pageurl", action="deleteQueryStringParameters", parameters=["a", 1, None]),
        ".parameters",
        "2 of 3 entries that are not text",
    ),
    "empty parameter": (
        of("pageurl", action="deleteQueryStringParameters", parameters=["a", ""]),
        ".parameters",
        "1 of 2 entries that are empty",
    ),
    "unknown member": (of("evar1", action="delete", why="x"), ".why", "allowed: action, setValue, parameters, filter"),
    "member in another case": (of("evar1", action="delete", setvalue="x"), ".setvalue", "write 'setValue'"),
    "null filter": (of("evar1", action="delete", filter=None), ".filter", "is null"),
    "null filters": (of("evar1", action="delete", filters=None), ".filters", "is null"),
    "empty filters": (of("evar1", action="delete", filters=[]), ".filters", "leave it out to touch every row"),
    "filters of another type": (of("evar1", action="delete", filters="x"), ".filters", "must be an array"),
    "filter of another type": (of("evar1", action="delete", filter="x"), ".filter", "must be an object"),
    "no condition": (of("zip", action="delete", filter={}), ".filter.condition", "is missing; allowed: inList."),
    "unknown condition": (
        of("zip", action="delete", filter={"condition": "matches"}),
        ".filter.condition",
        "'matches' is not a condition; allowed: inList.",
    ),
    "condition in another case": (
        of("evar1", action="delete", filter={"condition": "isUrl"}),
        ".filter.condition",
        "write 'isURL'",
    ),
    "no matchValue": (
        of("evar1", action="delete", filter={"condition": "contains"}),
        ".filter.matchValue",
        "the condition contains needs it",
    ),
    "empty matchValue": (
        of("evar1", action="delete", filter={"condition": "contains", "matchValue": ""}),
        ".filter.matchValue",
        "which every value would match",
    ),
    "matchValue of another type": (
        of("evar1", action="delete", filter={"condition": "contains", "matchValue": 5}),
        ".filter.matchValue",
        "must be text",
    ),
    "matchValue for isURL": (
        of("evar1", action="delete", filter={"condition": "isURL", "matchValue": "x"}),
        ".filter.matchValue",
        "it takes no value",
    ),
    "matchValues too": (
        of("evar1", action="delete", filter={"condition": "contains", "matchValue": "x", "matchValues": ["x"]}),
        ".filter.matchValues",
        "it takes matchValue",
    ),
    "matchValues without brackets": (
        of("evar1", action="delete", filter={"condition": "inList", "matchValues": "x"}),
        ".filter.matchValues",
        "must be an array",
    ),
    "unknown filter member": (
        of("evar1", action="delete", filter={"condition": "isURL", "operator": "or"}),
        ".filter.operator",
        "allowed: condition, matchValue, matchValues, variable",
    ),
    "unknown filter variable": (
        of("evar1", action="delete", filters=[{"condition": "isURL"}, {"condition": "isURL", "variable": "evar251"}]),
        ".filters[1].variable",
        "evar1 to evar250",
    ),
    "filter variable in another case": (
        of("evar1", action="delete", filter={"condition": "isURL", "variable": "Prop1"}),
        ".filter.variable",
        "write 'prop1'",
    ),
    "null filter variable": (
        of("evar1", action="delete", filter={"condition": "isURL", "variable": None}),
        ".filter.variable",
        "is null",
    ),
    "name of another type": ({"variables": {5: {"action": "delete"}}}, "", "'int', which Data Repair does not know"),
}


@pytest.mark.parametrize(("definition", "below", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(definition: Any, below: str, says: str) -> None:
    (name,) = definition["variables"]
    name = name if isinstance(name, str) else type(name).__name__
    found = one(definition)
    assert (found.variable, found.path) == (name, f"variables.{name}{below}")
    assert says in found.message


@pytest.mark.parametrize(
    ("definition", "path", "says"),
    [
        ([], "", "must be a JSON object"),
        ("[]", "", "must be a JSON object"),
        ("{", "", "is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        ("[" * 100_000, "", "nested too deeply"),
        ({}, "variables", "is missing."),
        ({"evar1": {"action": "delete"}}, "variables", "Put the variables into it."),
        ({"variables": {}}, "variables", "is empty"),
        ({"variables": []}, "variables", "must be an object"),
        ({"variables": None}, "variables", "must be an object"),
        ({"variables": {"evar1": {"action": "delete"}}, "filter": {}}, "filter", "has only 'variables'"),
        ('{"variables": {"evar1": {"action": "delete"}, "evar1": {"action": "delete"}}}', "", "more than once"),
    ],
)
def test_wrong_frame(definition: Any, path: str, says: str) -> None:
    found = one(definition)
    assert found.path == path
    assert says in found.message


def test_limits() -> None:
    def parameters(count: int) -> dict[str, Any]:
        return of("pageurl", action="deleteQueryStringParameters", parameters=["x"] * count)

    def match_values(count: int) -> dict[str, Any]:
        return of("ipaddress", action="delete", filter={"condition": "inList", "matchValues": ["x"] * count})

    parse_definition(parameters(10))
    parse_definition(match_values(1000))
    assert one(parameters(11)).message == "has 11 entries; at most 10 are allowed."
    assert one(match_values(1001)).message == "has 1001 entries; at most 1000 are allowed."


def test_everything_that_is_wrong_is_told_at_once() -> None:
    definition = {
        "comment": "x",
        "variables": {
            "eVar1": {"action": "Set", "filter": {"condition": "inlist", "matchValues": ["x"] * 1000 + [1]}},
            "ipaddress": {
                "action": "delete",
                "setValue": "x",
                "filters": [
                    {"condition": "contains", "variable": "evar999"},
                    {"condition": "inList", "matchValues": []},
                ],
            },
            "pageurl": {
                "action": "deleteQueryStringParameters",
                "parameters": ["x"] * 11,
                "filter": {"condition": "nonsense"},
                "filters": [],
            },
            "prop1": {"action": "remove", "parameters": "x", "setValue": 1},
            "prop2": {"action": "delete"},
            "nonsense": {"action": "set"},
        },
    }
    with pytest.raises(DefinitionError) as caught:
        parse_definition(definition)
    assert [violation.path for violation in caught.value.violations] == [
        "comment",
        "variables.eVar1",
        "variables.eVar1.action",
        "variables.eVar1.setValue",
        "variables.eVar1.filter.condition",
        "variables.eVar1.filter.matchValues",
        "variables.eVar1.filter.matchValues",
        "variables.ipaddress.setValue",
        "variables.ipaddress.filters[0].condition",
        "variables.ipaddress.filters[0].matchValue",
        "variables.ipaddress.filters[0].variable",
        "variables.ipaddress.filters[1].matchValues",
        "variables.pageurl.parameters",
        "variables.pageurl.filters",
        "variables.pageurl.filter",
        "variables.pageurl.filters",
        "variables.pageurl.filter.condition",
        "variables.pageurl.filters",
        "variables.prop1.action",
        "variables.prop1.setValue",
        "variables.prop1.parameters",
        "variables.nonsense",
        "variables.nonsense.setValue",
    ]
    text = str(caught.value)
    assert text.startswith("The job_definition has 23 errors:\n- comment: ")
    assert text.count("\n- ") == 23
    assert not any(violation.variable == "prop2" for violation in caught.value.violations)


def test_no_value_is_ever_repeated() -> None:
    secret = "alice@example.com"
    filters = [
        {"condition": "contains", "matchValues": [secret], "matchValue": {"x": secret}},
        {"condition": "inList", "matchValue": secret, "matchValues": [secret] * 1001},
        {"condition": "isURL", "matchValue": [secret], "variable": [secret]},
        secret,
        [secret],
    ]
    wrong: list[Any] = [
        of("evar1", action="delete", setValue=secret, parameters=secret, filters=filters),
        of("evar1", action="set", setValue=[secret], parameters=[secret]),
        of("evar1", action=[secret], filters=secret, filter=[secret]),
        of("pageurl", action="deleteQueryStringParameters", parameters=[secret] * 11, filter=filters[0]),
        {"variables": {"evar1": secret}},
        {"variables": secret},
        json.dumps(of("evar1", action="set", setValue=secret))[:-1],
        json.dumps(of("evar1", setValue=secret)),
    ]
    for definition in wrong:
        with pytest.raises(DefinitionError) as caught:
            parse_definition(definition)
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value)
        assert caught.value.__cause__ is None

    where = [contains(secret), in_list([secret])]
    builder = Repair().set("evar1", secret, where=where).delete_query_string_parameters("pageurl", [secret])
    for held in (builder, where, parse_definition(builder), unchecked_definition(builder)):
        assert secret not in f"{held!r} {held}"


@pytest.mark.parametrize("value", ["jane@example.com", "0170 1234567", "9f86d081884c7d659a2feaa0c55ad015"])
def test_a_value_in_the_place_of_a_name_is_not_shown(value: str) -> None:
    repair = {"action": value, "filter": {"condition": value, "variable": value, value: 1}, value: 1}
    with pytest.raises(DefinitionError) as caught:
        parse_definition({"variables": {value: repair}, value: 1})
    assert value not in str(caught.value)
    assert str(caught.value).count("(not shown, as it looks like a value)") >= 6


def test_names_in_messages_are_cut_and_printable() -> None:
    for found in violations(of("x\n" * 100, action="y" * 100)):
        assert len(found.variable) == 60
        assert "\n" not in found.path + found.message
        assert "y" * 60 not in found.message


EVERYTHING: dict[str, Any] = {
    "variables": {
        "activitymap": {"action": "delete"},
        "prop12": {"action": "delete"},
        "evar74": {"action": "set", "setValue": "Turtles"},
        "evar107": {"action": "delete", "filter": {"condition": "inList", "matchValues": ["Fox", "Dog"]}},
        "evar110": {
            "action": "delete",
            "filters": [
                {"condition": "startsWith", "matchValue": "Horse"},
                {"condition": "startsWith", "matchValue": "Zebra", "variable": "evar111"},
            ],
        },
    }
}


def test_spellings_of_the_same_definition() -> None:
    builder = (
        Repair()
        .delete("activitymap")
        .delete("prop12")
        .set("evar74", "Turtles")
        .delete("evar107", where=in_list(["Fox", "Dog"]))
        .delete("evar110", where=[starts_with("Horse"), starts_with("Zebra", variable="evar111")])
    )
    tuples = json.loads(json.dumps(EVERYTHING))
    tuples["variables"]["evar107"]["filter"]["matchValues"] = ("Fox", "Dog")
    spellings: list[Any] = [EVERYTHING, json.dumps(EVERYTHING), builder, builder.to_request(), tuples]
    for spelling in spellings:
        definition = parse_definition(spelling)
        assert isinstance(definition, JobDefinition)
        assert definition.to_request() == EVERYTHING
        assert unchecked_definition(spelling).to_request() == EVERYTHING
        assert unchecked_definition(spelling).digest() == definition.digest()


def test_builder() -> None:
    start = Repair().delete("ipaddress")
    repair = (
        start.set("evar74", "Turtles", where=contains("x"))
        .delete_query_string("pageurl")
        .delete_query_string_parameters("referrer", ("email", "name"))
    )
    assert repair.to_request() == {
        "variables": {
            "ipaddress": {"action": "delete"},
            "evar74": {
                "action": "set",
                "setValue": "Turtles",
                "filter": {"condition": "contains", "matchValue": "x"},
            },
            "pageurl": {"action": "deleteQueryString"},
            "referrer": {"action": "deleteQueryStringParameters", "parameters": ["email", "name"]},
        }
    }
    assert start.to_request() == of("ipaddress", action="delete")
    assert repr(start.set("evar1", "x")) == "Repair(ipaddress: delete, evar1: set)"
    repair.to_request()["variables"]["ipaddress"]["filter"] = "changed"
    assert parse_definition(repair)


def test_builder_has_every_condition() -> None:
    valued = [contains, does_not_contain, starts_with, does_not_start_with, ends_with, does_not_end_with]
    bare = [is_empty, is_url, is_not_url, is_numeric, is_not_numeric]
    wheres: list[Where] = [make("x", variable="evar2") for make in valued]
    wheres += [make(variable="evar2") for make in bare]
    wheres.append(in_list(["x"], variable="evar2"))
    assert {where.condition for where in wheres} == set(FILTERS)
    for where in wheres:
        assert where.to_request() == {
            "condition": where.condition,
            **FILTERS[where.condition],
            "variable": "evar2",
        }
        parse_definition(Repair().set("evar1", "x", where=where))


def test_builder_refuses_what_would_be_lost_or_touch_every_row() -> None:
    with pytest.raises(ValueError, match="pageurl has the action deleteQueryString already"):
        Repair().delete_query_string("pageurl").delete_query_string_parameters("pageurl", ["email"])
    with pytest.raises(ValueError, match="where is empty for evar1"):
        Repair().delete("evar1", where=[])
    with pytest.raises(TypeError, match="parameters must be a list"):
        Repair().delete_query_string_parameters("pageurl", "email")
    with pytest.raises(TypeError, match="values must be a list"):
        in_list("Fox")


def test_builder_is_cheap_to_import() -> None:
    program = (
        "import sys, airflow_provider_adobe_deletion.adobe.data_repair_builder; "
        "print([name for name in ('pydantic', 'httpx', 'airflow') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_unchecked_definition_checks_the_frame_alone() -> None:
    novel = {"variables": {"evar999": {"action": "mask", "strength": 3, "filters": []}}, "comment": "x"}
    assert unchecked_definition(novel).to_request() == novel
    assert unchecked_definition(json.dumps(novel)).digest() == unchecked_definition(novel).digest()
    frames: tuple[Any, ...] = (
        {},
        [],
        {"evar1": {"action": "delete"}},
        {"variables": {}},
        {"variables": "x"},
        "{",
        "NaN",
    )
    for wrong in frames:
        with pytest.raises(DefinitionError):
            unchecked_definition(wrong)
    for unserialisable in ({1, 2}, float("nan"), b"x"):
        with pytest.raises(DefinitionError, match="JSON cannot express"):
            unchecked_definition(of("evar1", action="set", setValue=unserialisable))


def test_digest_tells_meanings_apart_and_spellings_not() -> None:
    def digest(**members: Any) -> str:
        return parse_definition(of("evar1", **members)).digest()

    isurl, numeric = {"condition": "isURL"}, {"condition": "isNumeric"}
    base = digest(action="delete", filter=isurl)
    # A digest that a release changes would part tasks from what they submitted before.
    assert base == "0c203733a1539808a254ebf2a2aca386ce35df9621cf7e4c45eac9b5f34e9012"
    assert base == digest(filter=isurl, action="delete")
    assert base == digest(action="delete", filters=[isurl])
    assert base == digest(action="delete", filter={**isurl, "variable": "evar1"})
    different = [
        digest(action="delete"),
        digest(action="delete", filter=numeric),
        digest(action="delete", filters=[isurl, numeric]),
        digest(action="delete", filter={**isurl, "variable": "evar2"}),
        digest(action="set", setValue="a", filter=isurl),
        digest(action="set", setValue="b", filter=isurl),
        parse_definition(of("evar2", action="delete", filter=isurl)).digest(),
    ]
    assert len({base, *different}) == 8


ISURL = {"condition": "isURL"}


@pytest.mark.parametrize(
    "echo",
    [
        of("evar1", filter={"condition": "isURL"}, action="delete"),
        of("evar1", action="delete", filters=[ISURL]),
        of("evar1", action="delete", filter=ISURL, filters=None, setValue=None, parameters=[]),
        of("evar1", action="delete", filter={**ISURL, "matchValue": None, "variable": None}),
        of("evar1", action="delete", filter={**ISURL, "variable": "evar1"}),
        of("evar1", action="delete", filter={**ISURL, "caseSensitive": True}, scope="hit"),
        {**of("evar1", action="delete", filter=ISURL), "version": 1},
    ],
)
def test_an_echo_that_is_the_same(echo: dict[str, Any]) -> None:
    assert same_definition(of("evar1", action="delete", filter=ISURL), echo)


@pytest.mark.parametrize(
    "echo",
    [
        None,
        {},
        {"variables": None},
        of("evar2", action="delete", filter=ISURL),
        of("evar1", action="delete"),
        of("evar1", action="set", setValue="x", filter=ISURL),
        of("evar1", action="delete", filter=ISURL, setValue="x"),
        of("evar1", action="delete", filters=[ISURL, {"condition": "isNumeric"}]),
        of("evar1", action="delete", filter={**ISURL, "variable": "evar2"}),
        of("evar1", action="delete", filter={**ISURL, "matchValue": "x"}),
        {"variables": {"evar1": {"action": "delete", "filter": ISURL}, "evar2": {"action": "delete"}}},
        {"variables": {"evar1": None}},
    ],
)
def test_an_echo_that_is_another_job(echo: Any) -> None:
    assert not same_definition(of("evar1", action="delete", filter=ISURL), echo)


def test_an_echo_with_a_filter_is_not_a_job_without_one() -> None:
    unfiltered = of("evar1", action="delete")
    assert not same_definition(unfiltered, of("evar1", action="delete", filter=ISURL))
    assert not same_definition(unfiltered, of("evar1", action="delete", filters=[ISURL]))
    assert same_definition(EVERYTHING, json.loads(json.dumps(EVERYTHING)))
