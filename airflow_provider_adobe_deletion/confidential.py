"""Keeps what a DAG author wrote out of Airflow's database."""

from __future__ import annotations

import hashlib
import json
from typing import Any


class Confidential:
    """Holds a value that Airflow must not store.

    Airflow writes the text of a template field that it does not know how to serialize into the serialized
    DAG and the rendered view. This one's text is a description with a digest, never the value.

    :param value: what is held; not rendered by Airflow, but by the operator that holds it.
    :param noun: what it is, such as "job definition".
    """

    def __init__(self, value: Any, noun: str) -> None:
        self.value = value
        self._text = f"<{noun}, {_size(value)}sha256 {_digest(value)}>"

    def __repr__(self) -> str:
        return self._text


def _size(value: Any) -> str:
    return f"{len(value)} entries, " if isinstance(value, dict | list | tuple) else ""


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
