"""Keeps what a DAG author wrote out of Airflow's database."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

# What a template or a value in it can be the reason of. An upstream task's output that cannot be fetched now is not.
_TEMPLATE_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Confidential:
    """Holds a value that Airflow must not store.

    Airflow writes the text of a template field that it does not know how to serialize into the serialized
    DAG and the rendered view. This one's text is a description with a digest, never the value.

    :param value: what is held; not rendered by Airflow, but by the operator that holds it.
    :param name: the parameter that it was given as.
    """

    def __init__(self, value: Any, name: str) -> None:
        self.value = value
        self._text = f"<{name}, {_size(value)}sha256 {_digest(value)}>"

    def __repr__(self) -> str:
        return self._text


def held(operator: BaseOperator, value: Any, name: str) -> Confidential | None:
    """Hold the value of an operator's template field, if it has one.

    :raises ValueError: it holds what JSON cannot express, or itself.
    """
    if value is None:
        return None
    try:
        # Airflow looks for upstream tasks in plain template fields only.
        XComArg.apply_upstream_relationship(operator, value)
        return Confidential(value, name)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply, or holds itself.") from None
    except (TypeError, ValueError):
        raise ValueError(f"{name} holds something that JSON cannot express.") from None


def _size(value: Any) -> str:
    """Say how many entries there are: of lists by name, such as identities by namespace, those in all the lists."""
    if not isinstance(value, dict | list | tuple):
        return ""
    lists = list(value.values()) if isinstance(value, dict) else []
    count = sum(map(len, lists)) if lists and all(isinstance(entry, list | tuple) for entry in lists) else len(value)
    return f"{count:,} {'entry' if count == 1 else 'entries'}, "


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _plain(value: Any) -> Any:
    return value.to_request() if hasattr(value, "to_request") else repr(value)


def rendered(operator: BaseOperator, value: Any, context: Any, name: str) -> Any:
    """Render what an operator holds, and keep values out of the errors.

    Only a text as a whole can be the path of a template file; a value inside a dict or list never is.

    :raises ValueError: a template cannot be rendered.
    """
    from jinja2 import TemplateError

    renderer = operator
    if not isinstance(value, str):
        renderer = copy.copy(operator)
        renderer.template_ext = ()
    try:
        return renderer.render_template(value, context)
    except (TemplateError, *_TEMPLATE_FAULTS) as error:
        raise ValueError(f"{name} cannot be rendered as a template ({type(error).__name__}).") from None
