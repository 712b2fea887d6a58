"""Write a Data Repair job definition in Python instead of JSON.

::

    Repair().delete("ipaddress").set("evar74", "Turtles", where=contains("turtle"))

The builder only spells; :func:`~airflow_provider_adobe_deletion.adobe.data_repair_definition.parse_definition`
checks what it has spelt. This module imports the standard library alone, so a DAG file may import it.

Adobe: *Data Repair API*, job definition reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Where:
    """A filter: the rows that an action touches. Made by :func:`contains`, :func:`in_list` and the others here.

    :param condition: the condition as Adobe spells it.
    :param match_value: the text to compare with, for the conditions that take one.
    :param match_values: the texts to compare with, for ``inList``.
    :param variable: the variable to look at; left out, it is the one that is repaired.
    """

    condition: str
    match_value: str | None = field(default=None, repr=False)
    match_values: Sequence[str] | None = field(default=None, repr=False)
    variable: str | None = None

    def to_request(self) -> dict[str, Any]:
        """Return the filter as Adobe reads it."""
        members = {
            "condition": self.condition,
            "matchValue": self.match_value,
            "matchValues": None if self.match_values is None else list(self.match_values),
            "variable": self.variable,
        }
        return {name: value for name, value in members.items() if value is not None}


def in_list(values: Iterable[str], *, variable: str | None = None) -> Where:
    """Rows whose value is exactly one of ``values``, of which there are at most 1,000.

    :raises TypeError: ``values`` is one string, which would be read as its letters.
    """
    return Where("inList", match_values=_texts(values, "values"), variable=variable)


def contains(text: str, *, variable: str | None = None) -> Where:
    """Rows whose value contains ``text``."""
    return Where("contains", text, variable=variable)


def does_not_contain(text: str, *, variable: str | None = None) -> Where:
    """Rows whose value does not contain ``text``."""
    return Where("doesNotContain", text, variable=variable)


def starts_with(text: str, *, variable: str | None = None) -> Where:
    """Rows whose value starts with ``text``."""
    return Where("startsWith", text, variable=variable)


def does_not_start_with(text: str, *, variable: str | None = None) -> Where:
    """Rows whose value does not start with ``text``."""
    return Where("doesNotStartWith", text, variable=variable)


def ends_with(text: str, *, variable: str | None = None) -> Where:
    """Rows whose value ends with ``text``."""
    return Where("endsWith", text, variable=variable)


def does_not_end_with(text: str, *, variable: str | None = None) -> Where:
    """Rows whose value does not end with ``text``."""
    return Where("doesNotEndWith", text, variable=variable)


def is_empty(*, variable: str | None = None) -> Where:
    """Rows that have no value. Not for ``delete``."""
    return Where("isEmpty", variable=variable)


def is_url(*, variable: str | None = None) -> Where:
    """Rows whose value Adobe recognises as a URL."""
    return Where("isURL", variable=variable)


def is_not_url(*, variable: str | None = None) -> Where:
    """Rows whose value Adobe does not recognise as a URL."""
    return Where("isNotURL", variable=variable)


def is_numeric(*, variable: str | None = None) -> Where:
    """Rows whose value has no characters but the digits 0 to 9."""
    return Where("isNumeric", variable=variable)


def is_not_numeric(*, variable: str | None = None) -> Where:
    """Rows whose value has characters other than digits."""
    return Where("isNotNumeric", variable=variable)


@dataclass(frozen=True)
class Repair:
    """A job definition under construction. Each method returns a new one, so a common start can be shared.

    ``where`` is one filter, or a list of filters that must all match; without it every row is touched.

    :raises ValueError: from each method: the variable has an action already, and Adobe takes one per
        variable; or ``where`` is an empty list, which would touch every row.
    """

    variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        # Airflow writes the repr of a template field to its database, so it holds no values.
        actions = ", ".join(f"{name}: {entry['action']}" for name, entry in self.variables.items())
        return f"Repair({actions})"

    def set(self, variable: str, value: str, *, where: Where | Sequence[Where] | None = None) -> Repair:
        """Overwrite the variable with ``value``."""
        return self._with(variable, {"action": "set", "setValue": value, **_filters(variable, where)})

    def delete(self, variable: str, *, where: Where | Sequence[Where] | None = None) -> Repair:
        """Clear the variable."""
        return self._with(variable, {"action": "delete", **_filters(variable, where)})

    def delete_query_string(self, variable: str) -> Repair:
        """Remove the whole query string from the URLs in the variable."""
        return self._with(variable, {"action": "deleteQueryString"})

    def delete_query_string_parameters(self, variable: str, parameters: Iterable[str]) -> Repair:
        """Remove up to 10 query string parameters, case-sensitive, from the URLs in the variable.

        :raises TypeError: ``parameters`` is one string, which would be read as its letters.
        """
        entry = {"action": "deleteQueryStringParameters", "parameters": _texts(parameters, "parameters")}
        return self._with(variable, entry)

    def to_request(self) -> dict[str, Any]:
        """Return the job definition as the plain dict that Adobe, and the operators, take."""
        return {"variables": deepcopy(dict(self.variables))}

    def _with(self, variable: str, entry: Mapping[str, Any]) -> Repair:
        if variable in self.variables:
            raise ValueError(
                f"{variable} has the action {self.variables[variable]['action']} already, and a job definition "
                "holds one action per variable; put the second one into a job of its own."
            )
        return Repair({**self.variables, variable: entry})


def _filters(variable: str, where: Where | Sequence[Where] | None) -> dict[str, Any]:
    if where is None:
        return {}
    if isinstance(where, Where):
        return {"filter": where.to_request()}
    if not where:
        raise ValueError(f"where is empty for {variable}; leave it out to touch every row.")
    return {"filters": [entry.to_request() for entry in where]}


def _texts(values: Iterable[str], name: str) -> list[str]:
    if isinstance(values, str):
        raise TypeError(f"{name} must be a list of strings, not one string.")
    return list(values)
