"""Identities to delete: checked, counted, and cut into chunks of one work order each, as a stream.

A list is read twice. :meth:`IdentitySource.scan` checks every row and says what would be submitted, so that
a malformed row at the end is found before the first work order is posted. :meth:`IdentitySource.chunks`
reads the list again, leaves out the rows that the scan dropped, and hands out one chunk after the other.
The second reading checks nothing but each chunk's digest, so it costs little, and a list that changed in
between is noticed before the changed chunk leaves. Reading once and keeping the result would need memory
that grows with the list, or a file of personal data on disk.

What stays in memory is a chunk, a block of the file, and 27 to 54 bytes for each different identity, to find
duplicates (see ``_Seen``). No message holds the value of an identity: rows are named by their lines.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zlib
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import chain, compress, islice
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, BinaryIO, ClassVar

if TYPE_CHECKING:
    from _csv import Reader

CHUNK_SIZE = 100_000
"""How many identities Adobe takes in one work order, over all namespaces."""

_BLOCK = 1 << 18
_BATCH = 1_000
_LONGEST_LINE = 1 << 20
_LONGEST_ID = 1_000
_MOST_NAMESPACES = 100
_SHOWN = 20
_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_FOREIGN = {
    b"\xff\xfe": "in UTF-16",
    b"\xfe\xff": "in UTF-16",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PAR1": "a Parquet file",
}
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_UNDECODED = re.compile(r"[\udc80-\udcff]")
_NAMESPACE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9 _.:-]{0,62}[A-Za-z0-9_.:-])?", re.ASCII)
# A code is a word. Five digits in a row, or a long hexadecimal, are a number of somebody's.
_LIKE_AN_ID = re.compile(r"\d{5}|^[0-9A-Fa-f-]{16,}$", re.ASCII)
_BLANK = ""
# Half the cost of json.loads, which looks for whitespace and byte order marks each time.
_decode_json = json.JSONDecoder().raw_decode

Groups = Mapping[str, Sequence[str]]
_Row = Sequence[str]


class IdentitiesError(ValueError):
    """The identities cannot be used as they are. The message names rows by line, and never a value."""


class IdentitiesChangedError(IdentitiesError):
    """The identities are no longer those that were scanned."""


class PayloadFormat(StrEnum):
    """How a work order spells its identities. Adobe's documents agree only on the first."""

    IDENTITIES = "identities"
    """``identities: [{namespace: {code}, id}]``"""
    NAMESPACES_IDS = "namespaces-ids"
    """``namespacesIdentities: [{namespace: {code}, ids: […]}]``"""
    NAMESPACES_IDS_UPPER = "namespaces-IDs"
    """``namespacesIdentities: [{namespace: {code}, IDs: […]}]``"""


@dataclass(frozen=True)
class RowReport:
    """What was left out of a list of identities.

    :param blank: how many rows were empty.
    :param duplicate: how many repeated an identity of the same namespace.
    :param malformed: how many could not be used.
    :param first_lines: the lines of the first 20 of each kind, counted from 1; in a literal mapping the
        positions, counted through all its namespaces.
    :param reasons: what is wrong with the malformed rows among these, by line.
    """

    blank: int = 0
    duplicate: int = 0
    malformed: int = 0
    first_lines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = {"blank": self.blank, "duplicate": self.duplicate, "malformed": self.malformed}
        found = [f"{count:,} {kind} ({self._where(kind, count)})" for kind, count in counts.items() if count]
        return "; ".join(found) or "no blank, duplicate or malformed rows"

    def _where(self, kind: str, count: int) -> str:
        lines = self.first_lines.get(kind, ())
        more = ", …" if count > len(lines) else ""
        return f"{'line' if count == 1 else 'lines'} {', '.join(map(str, lines))}{more}"


@dataclass(frozen=True)
class ChunkPlan:
    """One chunk as it will be: how many identities, how many of each namespace, and the digest of them."""

    count: int
    namespaces: Mapping[str, int]
    digest: str


@dataclass(frozen=True)
class Plan:
    """What a scan found: everything about the work to do except the identities themselves.

    :param digest: SHA-256 of the list: a file's bytes as they are stored, or a mapping's content.
    :param count: how many identities there are to submit.
    :param namespaces: how many of each namespace.
    :param chunks: the chunks, in order. A list that did not change always gives the same.
    :param report: what was left out.
    :param dropped: the ordinals of the rows left out, for :meth:`IdentitySource.chunks`.
    """

    digest: str
    count: int
    namespaces: Mapping[str, int]
    chunks: tuple[ChunkPlan, ...]
    report: RowReport
    dropped: Sequence[int] = field(default=(), repr=False)


@dataclass(frozen=True)
class Chunk:
    """The identities of one work order.

    :param number: which chunk of the list it is, from 0.
    :param identities: its identities by namespace code, without blanks or duplicates.
    """

    number: int
    identities: Groups = field(repr=False)

    @cached_property
    def namespaces(self) -> dict[str, int]:
        """How many identities each namespace has."""
        return {code: len(self.identities[code]) for code in sorted(self.identities)}

    @property
    def count(self) -> int:
        """How many identities there are over all namespaces."""
        return sum(self.namespaces.values())

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the namespaces in alphabetical order, and the identities in the order of the list."""
        digest = hashlib.sha256()
        for code, count in self.namespaces.items():
            # No identity holds a line break, so the boundaries are unambiguous.
            digest.update(f"{code}\n{count}\n".encode())
            digest.update("\n".join(self.identities[code]).encode(errors="surrogatepass"))
            digest.update(b"\n")
        return digest.hexdigest()

    @property
    def values(self) -> tuple[str, ...]:
        """All identities, for removing them from whatever Adobe says about the request."""
        return tuple(chain.from_iterable(self.identities.values()))

    def payload(self, payload_format: str = PayloadFormat.IDENTITIES) -> bytes:
        """Return the member of the request body that holds the identities, as JSON text without braces.

        :raises ValueError: there is no such format.
        """
        shape = checked_payload_format(payload_format)
        if shape is PayloadFormat.IDENTITIES:
            items = (_single_identities(code, self.identities[code]) for code in self.namespaces)
            return f'"identities":[{",".join(items)}]'.encode("ascii")
        key = "ids" if shape is PayloadFormat.NAMESPACES_IDS else "IDs"
        items = (_identities_of_namespace(code, key, self.identities[code]) for code in self.namespaces)
        return f'"namespacesIdentities":[{",".join(items)}]'.encode("ascii")


def checked_payload_format(value: str) -> PayloadFormat:
    """Return the payload format of that name.

    :raises ValueError: there is none.
    """
    try:
        return PayloadFormat(value)
    except ValueError:
        raise ValueError(f"payload_format must be one of {', '.join(PayloadFormat)}.") from None


def identity_fault(value: object) -> str | None:
    """Say what keeps ``value`` from being the id of an identity, as the end of "the id …"; ``None`` if nothing does.

    Ids are sent as they are. One with whitespace around it matches nothing at Adobe, so it is a mistake.
    """
    if not isinstance(value, str):
        return "is not text"
    if not value.strip():
        return "is missing"
    if _NO_TEXT.search(value):
        return "has a control character"
    if value != value.strip():
        return "has whitespace around it"
    if len(value) > _LONGEST_ID:
        return f"is longer than {_LONGEST_ID:,} characters"
    return None


def namespace_fault(value: object) -> str | None:
    """Say what keeps ``value`` from being a namespace's code, as the end of "the namespace …".

    Codes appear in logs, so what could be an identity in the wrong place is not taken for one.
    """
    if not isinstance(value, str):
        return "is not text"
    if not value.strip():
        return "is missing"
    if not _NAMESPACE.fullmatch(value):
        return "is not a namespace's code: 1 to 64 ASCII letters, digits, blanks or _ . : - and no blank at its ends"
    if not value[0].isalpha() or _LIKE_AN_ID.search(value):
        return "looks like an identity and not like a namespace's code; have the columns been swapped?"
    return None


class IdentitySource(ABC):
    """A list of identities that can be read more than once.

    :param on_bad_row: ``fail`` refuses a list with malformed rows, ``skip`` leaves them out. Blank rows and
        duplicates lose nothing, so they are always left out, and counted.
    :param chunk_size: how many identities go into a chunk, 1 to 100,000.
    :raises ValueError: a parameter cannot be right.
    """

    _parameter: ClassVar[str]

    def __init__(self, *, on_bad_row: str = "fail", chunk_size: int = CHUNK_SIZE) -> None:
        if on_bad_row not in ("fail", "skip"):
            raise ValueError("on_bad_row must be 'fail' or 'skip'.")
        if not isinstance(chunk_size, int) or not 1 <= chunk_size <= CHUNK_SIZE:
            raise ValueError(f"chunk_size must be 1 to {CHUNK_SIZE:,} identities.")
        self._skip = on_bad_row == "skip"
        self._chunk_size = chunk_size

    def scan(self) -> Plan:
        """Read the whole list, check every row, and say what would be submitted.

        :raises IdentitiesError: the list cannot be read, is empty, or has malformed rows that it may not have.
        """
        digest = hashlib.sha256()
        tally, seen, dropped = _Tally(), _Seen(), array("Q")
        filler = _Filler(self._chunk_size)
        chunks: list[ChunkPlan] = []
        ordinal = 0
        for batch in self._batches(digest.update):
            codes, ids, left_out = self._sift(batch, tally, seen)
            dropped.extend(ordinal + index for index in left_out)
            ordinal += len(batch.rows)
            chunks.extend(_planned(chunk) for chunk in filler.add(codes, ids))
        chunks.extend(_planned(chunk) for chunk in filler.rest())
        self._refuse(tally)
        namespaces: Counter[str] = Counter()
        for chunk in chunks:
            namespaces.update(chunk.namespaces)
        return Plan(
            digest=digest.hexdigest(),
            count=namespaces.total(),
            namespaces=dict(sorted(namespaces.items())),
            chunks=tuple(chunks),
            report=tally.report(),
            dropped=dropped,
        )

    def chunks(self, plan: Plan, first: int = 0) -> Iterator[Chunk]:
        """Read the list again and hand out its chunks, one at a time.

        :param plan: what :meth:`scan` returned for this list.
        :param first: the number of the first chunk that is wanted.
        :raises IdentitiesChangedError: the list is no longer the scanned one. The chunks before were right. What
            was merely added behind the last chunk goes unnoticed here, and changes the digest of the next scan.
        """
        if first >= len(plan.chunks):
            return
        for chunk in self._read_again(plan):
            if chunk.number < first:
                continue
            if chunk.digest != plan.chunks[chunk.number].digest:
                raise self._changed()
            yield chunk
            if chunk.number + 1 == len(plan.chunks):
                return
        raise self._changed()

    @abstractmethod
    def _batches(self, update: Callable[[bytes], object]) -> Iterator[_Batch]:
        """Read the list; ``update`` takes the bytes that its digest is made of."""

    @abstractmethod
    def _place(self, line: int) -> str:
        """Return how a message names a row."""

    def _sift(self, batch: _Batch, tally: _Tally, seen: _Seen) -> tuple[list[str], list[str], Iterable[int]]:
        """Return the good rows' namespaces and ids, and the indexes of the other rows."""
        good: Sequence[int] = range(len(batch.rows))
        columns = batch.sound_columns()
        if columns is None:
            good = self._good_rows(batch, tally)
            columns = batch.layout.columns([batch.rows[index] for index in good])
        codes, ids = columns
        if repeated := seen.add(codes, ids):
            for position in repeated:
                tally.note("duplicate", batch, good[position])
            fresh = bytearray(b"\1") * len(ids)
            for position in repeated:
                fresh[position] = 0
            good = list(compress(good, fresh))
            codes, ids = list(compress(codes, fresh)), list(compress(ids, fresh))
        if len(good) == len(batch.rows):
            return codes, ids, ()
        return codes, ids, sorted(set(range(len(batch.rows))).difference(good))

    def _good_rows(self, batch: _Batch, tally: _Tally) -> list[int]:
        good = []
        for index, row in enumerate(batch.rows):
            fault = batch.layout.fault(row, batch.damaged)
            if fault is None:
                good.append(index)
            elif fault == _BLANK:
                tally.note("blank", batch, index)
            else:
                tally.note("malformed", batch, index, fault)
                if batch.spans and any("\n" in cell for cell in row):
                    raise self._swallowed(batch.line_of(index))
        if tally.counts["malformed"] >= _SHOWN:
            self._refuse(tally)
        return good

    def _refuse(self, tally: _Tally) -> None:
        report = tally.report()
        if self._skip or not report.malformed:
            return
        shown = "; ".join(f"{self._place(line)}: {report.reasons[line]}" for line in report.first_lines["malformed"])
        raise IdentitiesError(
            f"{self._parameter} has malformed rows ({shown}). Nothing was submitted. Mend them, or leave them out "
            "with on_bad_row='skip'."
        )

    def _swallowed(self, line: int) -> IdentitiesError:
        return IdentitiesError(
            f"{self._parameter}: the row that begins in {self._place(line)} is malformed and goes over several lines. "
            "A stray quotation mark may have swallowed other rows, so it is not skipped. Nothing was submitted."
        )

    def _read_again(self, plan: Plan) -> Iterator[Chunk]:
        filler = _Filler(self._chunk_size)
        ordinal = at = 0
        for batch in self._batches(lambda block: None):
            rows, end = batch.rows, ordinal + len(batch.rows)
            upto = bisect_left(plan.dropped, end, at)
            if upto > at:
                left_out = set(plan.dropped[at:upto])
                rows = [row for number, row in enumerate(rows, ordinal) if number not in left_out]
            at, ordinal = upto, end
            try:
                columns = batch.layout.columns(rows)
            except IndexError:
                raise self._changed() from None
            yield from filler.add(*columns)
        yield from filler.rest()

    def _changed(self) -> IdentitiesChangedError:
        return IdentitiesChangedError(f"{self._parameter} changed while it was being read. Start again with a scan.")


class IdentityMapping(IdentitySource):
    """Identities given literally.

    :param identities: namespace code → list of ids. Not a set: its order differs from run to run.
    :raises IdentitiesError: it is not such a mapping, has no identities, or a namespace cannot be one.
    """

    _parameter = "identities"

    def __init__(self, identities: Groups, *, on_bad_row: str = "fail", chunk_size: int = CHUNK_SIZE) -> None:
        super().__init__(on_bad_row=on_bad_row, chunk_size=chunk_size)
        if not isinstance(identities, Mapping):
            raise IdentitiesError("identities must be a mapping of namespace codes to lists of ids.")
        for number, (code, ids) in enumerate(identities.items(), 1):
            if fault := namespace_fault(code):
                raise IdentitiesError(f"identities: namespace number {number} {fault}.")
            if not isinstance(ids, list | tuple):
                raise IdentitiesError(f"identities: the ids of namespace {code!r} must be a list.")
        if not any(identities.values()):
            raise IdentitiesError("identities has no identities.")
        self._identities = identities

    def _batches(self, update: Callable[[bytes], object]) -> Iterator[_Batch]:
        layout = _Layout(width=2, id_at=0, namespace_at=1)
        line = 1
        for code, ids in self._identities.items():
            for start in range(0, len(ids), _BATCH):
                rows = [_mapping_row(code, value) for value in ids[start : start + _BATCH]]
                update(json.dumps(rows).encode())
                yield _Batch(rows, line, layout)
                line += len(rows)

    def _place(self, line: int) -> str:
        for code, ids in self._identities.items():
            if line <= len(ids):
                return f"position {line} of namespace {code!r}"
            line -= len(ids)
        return "the end"


class IdentityFile(IdentitySource):
    """Identities in a file: CSV with a header, or JSON lines, in UTF-8, plain or compressed with gzip.

    The file is opened for each reading and read from its beginning to its end.

    :param open_file: opens the file for reading bytes, such as ``lambda: ObjectStoragePath(…).open("rb")``.
    :param name: the file's name, whose suffix says the format: ``.csv``, ``.jsonl``, ``.ndjson`` or ``.json``,
        each with or without ``.gz``. Whether it is compressed is seen from its content.
    :param file_format: ``csv`` or ``jsonl``, where the suffix does not say it.
    :param namespace: the code of the one namespace of all identities. Leave it out where a column says it;
        where both do, they must agree.
    :param id_column: the name of the column, or JSON member, with the ids.
    :param namespace_column: the name of the one with the namespaces' codes.
    :raises IdentitiesError: the format cannot be known, or ``namespace`` is no code.
    """

    _parameter = "identities_path"

    def __init__(
        self,
        open_file: Callable[[], BinaryIO],
        name: str,
        *,
        file_format: str | None = None,
        namespace: str | None = None,
        id_column: str = "id",
        namespace_column: str = "namespace",
        on_bad_row: str = "fail",
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        super().__init__(on_bad_row=on_bad_row, chunk_size=chunk_size)
        if namespace is not None and (fault := namespace_fault(namespace)):
            raise IdentitiesError(f"The parameter namespace {fault}.")
        self._open = open_file
        self._format = _checked_format(file_format, name)
        self._namespace = namespace
        self._id_column = id_column
        self._namespace_column = namespace_column

    def _batches(self, update: Callable[[bytes], object]) -> Iterator[_Batch]:
        with self._open() as stream:
            text = _Text(stream, update)
            yield from self._from_csv(text) if self._format == "csv" else self._from_json(text)

    def _place(self, line: int) -> str:
        return f"line {line}"

    def _from_csv(self, text: _Text) -> Iterator[_Batch]:
        lines = chain.from_iterable(io.StringIO(block, newline="\n") for block in text)
        # Without strict, a stray quotation mark would be repaired by guessing.
        reader = csv.reader(lines, strict=True)
        try:
            header = next((row for row in reader if any(row)), None)
        except csv.Error:
            raise IdentitiesError("identities_path: the first line is not a CSV header.") from None
        if header is None:
            raise IdentitiesError("identities_path is empty.")
        layout = self._csv_layout(header)
        line = reader.line_num + 1
        while rows := self._take(reader, line):
            yield _Batch(rows, line, layout, text.damaged, spans=True)
            line = reader.line_num + 1

    def _take(self, reader: Reader, line: int) -> list[_Row]:
        """Return the next rows. One that is no CSV ends the batch, as a stand-in for itself."""
        rows: list[_Row] = []
        try:
            rows.extend(islice(reader, _BATCH))
        except csv.Error:
            begins = line + sum(_height(row) for row in rows)
            if reader.line_num > begins:
                raise self._swallowed(begins) from None
            rows.append(_Broken("is not valid CSV"))
        return rows

    def _csv_layout(self, header: list[str]) -> _Layout:
        names = [name.strip() for name in header]
        if _UNDECODED.search("".join(names)):
            raise IdentitiesError("identities_path: the first line is not UTF-8.")
        wanted = {"id_column": self._id_column}
        if self._namespace_column in names:
            wanted["namespace_column"] = self._namespace_column
        for parameter, name in wanted.items():
            if names.count(name) != 1:
                found = "no column" if name not in names else "more than one column"
                raise IdentitiesError(
                    f"identities_path has {found} named {name!r} ({parameter}); {_columns_found(names)}."
                )
        if len(wanted) == 1 and self._namespace is None:
            raise IdentitiesError(
                f"identities_path has no column named {self._namespace_column!r} (namespace_column), and the parameter "
                f"namespace is not given; {_columns_found(names)}."
            )
        return _Layout(
            width=len(names),
            id_at=names.index(self._id_column),
            namespace_at=names.index(self._namespace_column) if len(wanted) == 2 else None,
            namespace=self._namespace,
        )

    def _from_json(self, text: _Text) -> Iterator[_Batch]:
        layout = _Layout(width=2, id_at=0, namespace_at=1, namespace=self._namespace)
        line, found = 1, False
        for block in text:
            if not found and block.lstrip().startswith("["):
                raise IdentitiesError("identities_path is a JSON array; it must be JSON lines, one object a line.")
            found = found or not block.isspace()
            lines = block.removesuffix("\n").split("\n")
            for start in range(0, len(lines), _BATCH):
                rows = [self._json_row(entry, text.damaged) for entry in lines[start : start + _BATCH]]
                yield _Batch(rows, line, layout)
                line += len(rows)
        if not found:
            raise IdentitiesError("identities_path is empty.")

    def _json_row(self, line: str, damaged: bool) -> _Row:
        line = line.strip(" \t\r")
        if not line:
            return []
        if damaged and _UNDECODED.search(line):
            return _Broken("is not UTF-8")
        try:
            entry, end = _decode_json(line)
        except (ValueError, RecursionError):
            return _Broken("is not valid JSON")
        if end != len(line):
            return _Broken("is not valid JSON")
        if not isinstance(entry, dict):
            return _Broken("is not a JSON object")
        value, code = entry.get(self._id_column), entry.get(self._namespace_column)
        if code is None:
            code = self._namespace
        if value and code and isinstance(value, str) and isinstance(code, str):
            return value, code
        name, cell = ("the id", value) if not value or not isinstance(value, str) else ("the namespace", code)
        return _Broken(f"{name} is missing" if cell in (None, "") else f"{name} is not a JSON string")


class _Broken(tuple[str, ...]):
    """Stands in for a row that could not even be taken apart."""

    reason: str

    def __new__(cls, reason: str) -> _Broken:
        row = super().__new__(cls)
        row.reason = reason
        return row


@dataclass
class _Layout:
    """Where the rows of a list have what.

    :param namespace: the only namespace that is allowed, where the user named one.
    :param codes: the namespaces that were met and found right.
    """

    width: int
    id_at: int
    namespace_at: int | None
    namespace: str | None = None
    codes: set[str] = field(default_factory=set)

    def columns(self, rows: Sequence[_Row]) -> tuple[list[str], list[str]]:
        """Return the namespaces and the ids of rows that have them."""
        ids = [row[self.id_at] for row in rows]
        if self.namespace_at is None:
            return [self.namespace or ""] * len(ids), ids
        return [row[self.namespace_at] for row in rows], ids

    def fault(self, row: _Row, damaged: bool) -> str | None:
        """Say what is wrong with a row: ``None`` is nothing, and the empty text that it is blank."""
        if isinstance(row, _Broken):
            return row.reason
        if not any(map(str.strip, row)):
            return _BLANK
        if damaged and _UNDECODED.search("".join(row)):
            return "is not UTF-8"
        if len(row) != self.width:
            return f"has {len(row)} {'column' if len(row) == 1 else 'columns'} instead of {self.width}"
        if fault := identity_fault(row[self.id_at]):
            return f"the id {fault}"
        return self._namespace_fault(self.namespace if self.namespace_at is None else row[self.namespace_at])

    def _namespace_fault(self, code: str | None) -> str | None:
        if code in self.codes:
            return None
        if fault := namespace_fault(code):
            return f"the namespace {fault}"
        if self.namespace not in (None, code):
            return "the namespace is not the one that the parameter namespace names"
        if len(self.codes) == _MOST_NAMESPACES:
            raise IdentitiesError(
                f"The identities have more than {_MOST_NAMESPACES} different namespaces. Is the namespace's column "
                "the right one? Nothing was submitted."
            )
        self.codes.add(str(code))
        return None


@dataclass(frozen=True)
class _Batch:
    """Some rows as they were read.

    :param line: the line of the first.
    :param damaged: whether bytes that are not UTF-8 have been met by now.
    :param spans: whether a row can go over several lines, as in CSV.
    """

    rows: list[_Row]
    line: int
    layout: _Layout
    damaged: bool = False
    spans: bool = False

    def sound_columns(self) -> tuple[list[str], list[str]] | None:
        """Return the columns if every row is right, judged in bulk; ``None`` if they need a closer look."""
        if self.damaged or set(map(len, self.rows)) != {self.layout.width}:
            return None
        codes, ids = self.layout.columns(self.rows)
        text = "".join(ids)
        sound = (
            self.layout.codes.issuperset(codes)
            and all(ids)
            and max(map(len, ids)) <= _LONGEST_ID
            and (text.isprintable() or not _NO_TEXT.search(text))
            and ids == list(map(str.strip, ids))
        )
        return (codes, ids) if sound else None

    def line_of(self, index: int) -> int:
        """Return the line in which a row begins."""
        if not self.spans:
            return self.line + index
        return self.line + sum(_height(row) for row in self.rows[:index])


class _Tally:
    """Counts what is left out, and remembers where the first of each kind were."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lines: defaultdict[str, list[int]] = defaultdict(list)
        self._reasons: dict[int, str] = {}

    def note(self, kind: str, batch: _Batch, index: int, reason: str = "") -> None:
        self.counts[kind] += 1
        if len(self._lines[kind]) < _SHOWN:
            line = batch.line_of(index)
            self._lines[kind].append(line)
            if reason:
                self._reasons[line] = reason

    def report(self) -> RowReport:
        return RowReport(
            blank=self.counts["blank"],
            duplicate=self.counts["duplicate"],
            malformed=self.counts["malformed"],
            first_lines={kind: tuple(lines) for kind, lines in self._lines.items()},
            reasons=dict(self._reasons),
        )


class _Seen:
    """Knows which identities were met, in 16 bytes each, in a table with open addressing.

    An identity is known by two hashes of Python's, each 64 bits of SipHash: of namespace and id together, and of
    the id alone. A false duplicate would be an identity that silently stays. For two different ids both hashes
    would have to collide; among 15 million, Adobe's largest monthly quota, the chance is below 10⁻²⁴. The same
    id in two namespaces is told apart by the first hash alone, which fails with a chance below 10⁻¹¹ for as
    many. A cryptographic digest takes three times as long and would gain nothing that matters.

    The table is at most 60 % full, so an identity takes 27 to 54 bytes, and for a moment 80 while the table grows.
    A set of integers would always take that.
    """

    def __init__(self) -> None:
        self._slots = 1 << 15
        self._count = 0
        self._table = array("q", bytes(16 * self._slots))

    def add(self, codes: Sequence[str], ids: Sequence[str]) -> list[int]:
        """Add identities, and return the positions of those that were there already."""
        firsts = [hash(code + value) for code, value in zip(codes, ids, strict=True)]
        while self._count + len(ids) > 0.6 * self._slots:
            self._grow()
        repeated = _insert(self._table, firsts, map(hash, ids))
        self._count += len(ids) - len(repeated)
        return repeated

    def _grow(self) -> None:
        # Small tables grow by more, since filling a table anew takes as long as filling it did.
        self._slots *= 4 if self._slots < 1 << 20 else 2
        old, self._table = self._table, array("q", bytes(16 * self._slots))
        step = 1 << 16
        for start in range(0, len(old), step):
            firsts, seconds = old[start : start + step : 2], old[start + 1 : start + step : 2]
            _insert(self._table, filter(None, firsts), compress(seconds, firsts))


def _insert(table: array[int], firsts: Iterable[int], seconds: Iterable[int]) -> list[int]:
    """Put pairs of hashes into the table, and return the positions of those that were there already.

    A slot is two numbers, and empty where the first is 0. A hash that is 0 by chance is merely not remembered.
    """
    mask = len(table) - 2
    repeated = []
    for position, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        slot = first & mask
        while held := table[slot]:
            if held == first and table[slot + 1] == second:
                repeated.append(position)
                break
            slot = (slot + 2) & mask
        else:
            table[slot] = first
            table[slot + 1] = second
    return repeated


class _Filler:
    """Collects identities by namespace, and hands them out in chunks of ``size``."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._number = 0
        self._room = size
        self._groups: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, codes: list[str], ids: list[str]) -> Iterator[Chunk]:
        start = 0
        while start < len(ids):
            end = min(start + self._room, len(ids))
            self._put(codes[start:end], ids[start:end])
            self._room -= end - start
            start = end
            if not self._room:
                yield from self.rest()

    def rest(self) -> Iterator[Chunk]:
        if not self._groups:
            return
        groups, self._groups = self._groups, defaultdict(list)
        self._room = self._size
        number, self._number = self._number, self._number + 1
        yield Chunk(number, dict(groups))

    def _put(self, codes: list[str], ids: list[str]) -> None:
        groups = self._groups
        if codes.count(codes[0]) == len(codes):
            groups[codes[0]].extend(ids)
            return
        for code, value in zip(codes, ids, strict=True):
            groups[code].append(value)


class _Text:
    """A file's text in blocks of whole lines.

    :param update: takes the bytes as they are stored.
    """

    def __init__(self, stream: BinaryIO, update: Callable[[bytes], object]) -> None:
        self._blocks = _whole_lines(_unpacked(_stored(stream, update)))
        self.damaged = False
        """Whether bytes that are not UTF-8 have been met; they are kept as lone surrogates."""

    def __iter__(self) -> Iterator[str]:
        for block in self._blocks:
            try:
                yield block.decode()
            except UnicodeDecodeError:
                self.damaged = True
                yield block.decode(errors="surrogateescape")


def _stored(stream: BinaryIO, update: Callable[[bytes], object]) -> Iterator[bytes]:
    while block := _read_full(stream):
        update(block)
        yield block


def _read_full(stream: BinaryIO) -> bytes:
    """Read a whole block, as far as the file goes; some streams return less than they are asked for."""
    block = b""
    while len(block) < _BLOCK:
        more = stream.read(_BLOCK - len(block))
        if isinstance(more, str):
            raise IdentitiesError("identities_path must be opened for reading bytes, not text.")
        if not more:
            break
        block += more
    return block


def _unpacked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(blocks, b"")
    blocks = chain([first], blocks)
    return _gunzipped(blocks) if first.startswith(_GZIP) else blocks


def _gunzipped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip, also of several members, never more than a block at once."""
    member = zlib.decompressobj(wbits=31)
    for block in blocks:
        data = block
        while data:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            try:
                yield member.decompress(data, _BLOCK)
            except zlib.error:
                raise IdentitiesError("identities_path is a damaged gzip file.") from None
            # Some tools pad the file with zeros.
            data = member.unused_data.lstrip(b"\0") if member.eof else member.unconsumed_tail
    if not member.eof:
        raise IdentitiesError("identities_path is a gzip file that was cut short.")


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut blocks at line ends. The beginning is looked at first: some files are no text."""
    pending, line, known = b"", 1, False
    for block in blocks:
        pending += block
        if not known:
            if len(pending) < 8:
                continue
            pending, known = _beginning(pending), True
        cut = pending.rfind(b"\n") + 1
        if cut:
            yield pending[:cut]
            line += pending.count(b"\n", 0, cut)
            pending = pending[cut:]
        elif len(pending) > _LONGEST_LINE:
            raise IdentitiesError(f"identities_path: line {line} is longer than {_LONGEST_LINE:,} bytes.")
    if not known:
        pending = _beginning(pending)
    if pending:
        yield pending


def _beginning(data: bytes) -> bytes:
    """Return a file's first bytes without a byte order mark.

    :raises IdentitiesError: they are of something else than UTF-8 text.
    """
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise IdentitiesError(f"identities_path is {what}; it must be text in UTF-8, plain or packed with gzip.")
    if b"\0" in data[:4]:
        raise IdentitiesError("identities_path begins with NUL bytes: it is in UTF-16, or no text; it must be UTF-8.")
    return data.removeprefix(_BOM)


def _checked_format(file_format: str | None, name: str) -> str:
    if file_format is not None:
        if file_format not in _FORMATS.values():
            raise IdentitiesError("file_format must be 'csv' or 'jsonl'.")
        return file_format
    plain = name.lower().removesuffix(".gz")
    for suffix, known in _FORMATS.items():
        if plain.endswith(suffix):
            return known
    raise IdentitiesError(
        f"The name of identities_path does not say its format: it must end in {', '.join(_FORMATS)}, each with or "
        "without .gz."
    )


def _columns_found(names: list[str]) -> str:
    """Describe the first line for a message, without its words: where the header is missing they are data."""
    return f"its first line has {len(names)} columns and must name them"


def _height(row: _Row) -> int:
    return 1 + sum(cell.count("\n") for cell in row)


def _mapping_row(code: str, value: object) -> _Row:
    return [value, code] if isinstance(value, str) else _Broken("the id is not text")


def _planned(chunk: Chunk) -> ChunkPlan:
    return ChunkPlan(chunk.count, chunk.namespaces, chunk.digest)


def _single_identities(code: str, ids: Sequence[str]) -> str:
    head = f'{{"namespace":{{"code":{json.dumps(code)}}},"id":'
    return f"{head}{_quoted(ids, '},' + head)}}}"


def _identities_of_namespace(code: str, key: str, ids: Sequence[str]) -> str:
    return f'{{"namespace":{{"code":{json.dumps(code)}}},"{key}":[{_quoted(ids, ",")}]}}'


def _quoted(ids: Sequence[str], between: str) -> str:
    """Return the ids as JSON strings with ``between`` between them. Plain ones, the rule, need no escaping."""
    text = "".join(ids)
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{between}"'.join(ids).join(('"', '"'))
    return between.join(map(encode_basestring_ascii, ids))
