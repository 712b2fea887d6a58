"""The values that the DAG ``confidential_data`` works on, and the files that it reads."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.canaries import number, person

CONTROLS = {f"control {name}": person("control") for name in ("log", "Base64", "XCom")}
"""What the search has to find, or it would find nothing at all."""

IDENTITIES = {
    "literal email": person("literal"),
    "literal number": number(),
    "upstream email": person("upstream"),
    "email in CSV": person("in.csv"),
    "number in JSON lines": number(),
    "number in gzip": number(),
    "value in a bad row": number(),
    "swapped email": person("swapped"),
    "among many": person("among.many"),
    "user's email": person("user"),
    "user's number": number(),
    "match value": person("matched"),
    "set value": f"Turtle {number()}",
    "value in a template": person("template"),
}


def write_files(folder: Path) -> None:
    """Write the values and the files."""
    folder.mkdir()
    (folder / "canaries.json").write_text(json.dumps({**IDENTITIES, **CONTROLS}))
    files = {
        "people.csv": f"namespace,id\nEmail,{IDENTITIES['email in CSV']}\n",
        "people.jsonl": _line("ECID", IDENTITIES["number in JSON lines"]),
        # The value has whitespace around it, which matches nothing at Adobe.
        "bad.csv": f'namespace,id\nEmail,{IDENTITIES["email in CSV"]}\nECID," {IDENTITIES["value in a bad row"]}"\n',
        "swapped.csv": f"namespace,id\n{IDENTITIES['swapped email']},Email\n",
        "many.csv": "namespace,id\n" + "".join(f"Email,{identity}\n" for identity in _many()),
        "definition.json": json.dumps(_definition(IDENTITIES["value in a template"])),
        "broken.json": json.dumps(_definition(IDENTITIES["value in a template"]))[:-3],
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "people.jsonl.gz").write_bytes(gzip.compress(_line("ECID", IDENTITIES["number in gzip"]).encode()))


def _line(namespace: str, identity: str) -> str:
    return json.dumps({"namespace": namespace, "id": identity}) + "\n"


def _many() -> list[str]:
    """Return more than one work order holds, so that a day's quota can end in between."""
    return [IDENTITIES["among many"], *(f"person{number}@example.com" for number in range(100_050))]


def _definition(value: str) -> dict[str, object]:
    match = {"condition": "contains", "matchValue": value}
    return {"variables": {"evar1": {"action": "set", "setValue": value, "filter": match}}}
