"""Values that must not turn up anywhere, and a search that finds them in many guises."""

from __future__ import annotations

import base64
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

_RUN = re.compile(rb"[A-Za-z0-9_-]{12,}")
_PIECE = 16


def person(name: str) -> str:
    """Make an e-mail address up that nothing else contains."""
    return f"{name}.{secrets.token_hex(10)}@example.com"


def number() -> str:
    """Make a number of 38 digits up, like an ECID."""
    return "".join(secrets.choice("0123456789") for _ in range(38))


@dataclass(frozen=True)
class Hit:
    """A canary that was found.

    :param canary: its name.
    :param guise: how it was written.
    :param place: where.
    """

    canary: str
    guise: str
    place: str


@dataclass(frozen=True)
class Canaries:
    """Named values, and the search for them.

    A value counts as found where 12 to 16 of its letters and digits in a row are, whatever surrounds them: so it is
    found in URL, JSON and HTML escapes, in other capitals, and where it was cut off. Besides as it is, it is looked
    for in Base64, at each of the three places where it can begin there, and in hexadecimal.
    """

    values: Mapping[str, str] = field(repr=False)

    @cached_property
    def _needles(self) -> list[tuple[str, str, bytes]]:
        return [
            (name, guise, needle.lower())
            for name, value in self.values.items()
            for piece in _pieces(value.encode())
            for guise, needle in _guises(piece)
        ]

    def search(self, place: str, data: bytes | str) -> Iterator[Hit]:
        """Find the canaries in some data, each once for each guise."""
        haystack = (data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")).lower()
        found = {(name, guise) for name, guise, needle in self._needles if needle in haystack}
        yield from (Hit(name, guise, place) for name, guise in sorted(found))

    def search_all(self, places: Iterable[tuple[str, bytes | str]]) -> set[Hit]:
        """Find the canaries in all of some places."""
        return {hit for place, data in places for hit in self.search(place, data)}


def _pieces(value: bytes) -> list[bytes]:
    """Return pieces of a value that are all letters and digits: of a long one the first, one amid, and the last."""
    runs = _RUN.findall(value)
    if not runs:
        raise ValueError("a canary must have 12 letters or digits in a row")
    starts = ((run, max(0, start)) for run in runs for start in (0, len(run) // 2, len(run) - _PIECE))
    pieces = [piece for run, start in starts if len(piece := run[start : start + _PIECE]) >= 12]
    return pieces if len(pieces) <= 3 else [pieces[0], pieces[len(pieces) // 2], pieces[-1]]


def _guises(piece: bytes) -> Iterator[tuple[str, bytes]]:
    yield "as it is", piece
    yield "hexadecimal", piece.hex().encode()
    for ahead in range(3):
        encoded = base64.b64encode(b"\0" * ahead + piece)
        # What depends on the neighbours is left out, at both ends.
        inner = encoded[(ahead * 8 + 5) // 6 : (ahead + len(piece)) * 8 // 6]
        yield "Base64", inner
        if inner != (safe := inner.translate(bytes.maketrans(b"+/", b"-_"))):
            yield "Base64", safe


def unpacked(data: bytes) -> bytes:
    """Return what was compressed as Airflow compresses, or else the data."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data
