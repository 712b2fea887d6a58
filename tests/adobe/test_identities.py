"""Reading identities: what is taken, what is left out and why, and that no value ever shows."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe.identities import (
    CHUNK_SIZE,
    Chunk,
    IdentitiesChangedError,
    IdentitiesError,
    IdentityFile,
    IdentityMapping,
    IdentitySource,
    PayloadFormat,
    Plan,
    RowReport,
)

SECRET = "jane.doe@secret.example"


class Stream:
    """A file that can only be read forward, and hands out no more than ``most`` bytes at once."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = io.BytesIO(data)
        self._most = most
        self.closed = False

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, self._most))

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *args: object) -> None:
        self.closed = True


def in_file(data: bytes | str, name: str = "ids.csv", *, most: int = 1 << 30, **options: Any) -> IdentityFile:
    content = data.encode() if isinstance(data, str) else data
    return IdentityFile(lambda: Stream(content, most), name, **options)  # type: ignore[arg-type, return-value]


def everything(source: IdentitySource, plan: Plan | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for chunk in source.chunks(plan or source.scan()):
        for code, ids in chunk.identities.items():
            found.setdefault(code, []).extend(ids)
    return found


def refused(source: IdentitySource) -> str:
    with pytest.raises(IdentitiesError) as caught:
        source.scan()
    assert SECRET not in str(caught.value)
    return str(caught.value)


class TestCsv:
    @pytest.mark.parametrize(
        ("data", "options"),
        [
            ("id,namespace\na,email\nb,email\nc,phone\n", {}),
            ("namespace,id\nemail,a\nemail,b\nphone,c\n", {}),
            ("name,id,x,namespace\nN,a,1,email\nN,b,2,email\nN,c,3,phone\n", {}),
            (" id , namespace \na,email\nb,email\nc,phone\n", {}),
            ("key,ns\na,email\nb,email\nc,phone\n", {"id_column": "key", "namespace_column": "ns"}),
            ('"id","namespace"\n"a","email"\n"b","email"\n"c","phone"\n', {}),
            ("id,namespace\na,email\nb,email\nc,phone", {}),
            ("id,namespace\r\na,email\r\nb,email\r\nc,phone\r\n", {}),
            ("\ufeffid,namespace\na,email\nb,email\nc,phone\n", {}),
            ("\ufeff\r\n\nid,namespace\na,email\nb,email\nc,phone\n\n\n", {}),
        ],
    )
    @pytest.mark.parametrize("most", [1, 7, 1 << 20])
    def test_forms(self, data: str, options: dict[str, Any], most: int) -> None:
        assert everything(in_file(data, most=most, **options)) == {"email": ["a", "b"], "phone": ["c"]}

    def test_one_namespace_by_parameter(self) -> None:
        assert everything(in_file("id\na\nb\n", namespace="email")) == {"email": ["a", "b"]}

    def test_a_parameter_and_a_column_must_agree(self) -> None:
        assert everything(in_file("id,namespace\na,email\n", namespace="email")) == {"email": ["a"]}
        text = refused(in_file("id,namespace\na,email\nb,phone\n", namespace="email"))
        assert "line 3: the namespace is not the one that the parameter namespace names" in text

    def test_values_are_kept_as_they_are(self) -> None:
        ids = ["+49 30 1234", 'quo"te', "back\\slash", "comma,", "jörg@exämple", "\U0001f600", "a\u200cb", "'=1+1"]
        buffer = io.StringIO()
        csv.writer(buffer).writerows([["id"], *([value] for value in ids)])
        assert everything(in_file(buffer.getvalue(), namespace="x")) == {"x": ids}

    def test_a_quoted_line_break_elsewhere_in_the_row(self) -> None:
        data = 'id,note\na,"one\ntwo\r\nthree"\nb,"x"\n,missing\n'
        text = refused(in_file(data, namespace="email"))
        assert "line 6: the id is missing" in text
        assert everything(in_file(data, namespace="email", on_bad_row="skip")) == {"email": ["a", "b"]}

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (f"{SECRET}", "has 1 column instead of 2"),
            (f"{SECRET},email,more", "has 3 columns instead of 2"),
            (",email", "the id is missing"),
            ("  ,email", "the id is missing"),
            (f"{SECRET},", "the namespace is missing"),
            (f"{SECRET},jane@example", "the namespace is not a namespace's code"),
            (f"{SECRET},émail", "the namespace is not a namespace's code"),
            (f"{SECRET},+4930123", "the namespace is not a namespace's code"),
            (f"{SECRET},{'n' * 65}", "the namespace is not a namespace's code"),
            (f"{SECRET}\x00,email", "the id has a control character"),
            (f"{SECRET}\x1f,email", "the id has a control character"),
            (f"{SECRET}\x85x,email", "the id has a control character"),
            (f"x\u2028{SECRET},email", "the id has a control character"),
            (f"x\ufeff{SECRET},email", "the id has a control character"),
            (f" {SECRET},email", "the id has whitespace around it"),
            (f"{SECRET}\u00a0,email", "the id has whitespace around it"),
            (f"{SECRET * 50},email", "the id is longer than 1,000 characters"),
            (f'"{SECRET}"x,email', "is not valid CSV"),
            (f'"{SECRET}" ,email', "is not valid CSV"),
        ],
    )
    def test_malformed_rows(self, row: str, reason: str) -> None:
        data = f"id,namespace\na,email\n{row}\nb,email\n"
        text = refused(in_file(data))
        assert f"line 3: {reason}" in text
        assert "Nothing was submitted" in text
        source = in_file(data, on_bad_row="skip")
        plan = source.scan()
        assert plan.report.malformed == 1
        assert plan.report.first_lines == {"malformed": (3,)}
        assert plan.report.reasons[3].startswith(reason)
        assert SECRET not in f"{plan!r}{plan.report}"
        assert everything(source, plan) == {"email": ["a", "b"]}

    def test_the_longest_id_and_namespace(self) -> None:
        assert everything(in_file(f"id,namespace\n{'i' * 1000},{'n' * 64}\n")) == {"n" * 64: ["i" * 1000]}

    @pytest.mark.parametrize("on_bad_row", ["fail", "skip"])
    @pytest.mark.parametrize(
        ("data", "line"),
        [
            ('id,namespace\na,email\n"b,email\nc,email\nd",email\ne,email\n', 3),
            ('id,namespace\na,email\n"b,email\n"c,email\n', 3),
            ('id,namespace\na,email\nb,email\n"c,email\nd,email\n', 4),
        ],
    )
    def test_rows_swallowed_by_a_stray_quotation_mark_are_never_skipped(
        self, data: str, line: int, on_bad_row: str
    ) -> None:
        text = refused(in_file(data, on_bad_row=on_bad_row))
        assert f"the row that begins in line {line} is malformed and goes over several lines" in text

    def test_blank_rows_are_counted_and_harmless(self) -> None:
        source = in_file("id,namespace\n\na,email\n , \n,\nb,email\n\n\n")
        plan = source.scan()
        assert plan.report == RowReport(blank=5, first_lines={"blank": (2, 4, 5, 7, 8)})
        assert str(plan.report) == "5 blank (lines 2, 4, 5, 7, 8)"
        assert everything(source, plan) == {"email": ["a", "b"]}

    def test_the_first_twenty_lines_of_each_kind(self) -> None:
        rows = [f"u{i},email\n" + "u0,email\n\n" for i in range(30)]
        report = in_file("id,namespace\n" + "".join(rows)).scan().report
        # The first u0 comes twice already.
        assert (report.blank, report.duplicate) == (30, 30)
        assert report.first_lines["blank"] == tuple(range(4, 4 + 60, 3))
        assert report.first_lines["duplicate"] == tuple(range(3, 3 + 60, 3))
        assert str(report).endswith("60, …)")

    def test_a_malformed_row_far_down_is_found_by_the_scan(self) -> None:
        data = "id\n" + "".join(f"u{i}\n" for i in range(149_999)) + ",x\n"
        assert "line 150001: has 2 columns instead of 1" in refused(in_file(data, namespace="email"))

    def test_a_hopeless_file_is_refused_early(self) -> None:
        text = refused(in_file("id,namespace\n" + f"{SECRET}\n" * 5000))
        assert text.count("has 1 column") == 20

    @pytest.mark.parametrize("value", ["a", "a,b", 'a"b', "a\\", ",", '"', "x" * 1000])
    def test_single_rows(self, value: str) -> None:
        buffer = io.StringIO()
        csv.writer(buffer).writerows([["id"], [value]])
        assert everything(in_file(buffer.getvalue(), namespace="x")) == {"x": [value]}

    def test_like_a_plain_reader(self) -> None:
        """Compare with the obvious way of doing it, over many rows of all kinds."""
        generator = random.Random(4)
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["note", "id", "namespace"])
        expected: dict[tuple[str, str], None] = {}
        counts = {"blank": 0, "duplicate": 0, "malformed": 0}
        for _ in range(60_000):
            kind = generator.random()
            key = (generator.choice(["email", "ECID", "crm"]), f"ü{generator.randrange(100_000)}")
            if kind < 0.02:
                buffer.write("\n")
                counts["blank"] += 1
            elif kind < 0.04:
                writer.writerow(["", "", key[0]])
                counts["malformed"] += 1
            else:
                writer.writerow(["line\nbreak" if kind < 0.1 else "", key[1], key[0]])
                counts["duplicate"] += key in expected
                expected[key] = None
        source = in_file(buffer.getvalue(), on_bad_row="skip", chunk_size=7_000, most=10_000)
        plan = source.scan()
        report = plan.report
        assert {"blank": report.blank, "duplicate": report.duplicate, "malformed": report.malformed} == counts
        assert plan.count == len(expected)
        assert [chunk.count for chunk in plan.chunks[:-1]] == [7_000] * (len(plan.chunks) - 1)
        found = everything(source, plan)
        assert {code: len(ids) for code, ids in found.items()} == plan.namespaces
        assert [key for key in expected if key[0] == "crm"] == [("crm", value) for value in found["crm"]]
        assert {(code, value) for code, ids in found.items() for value in ids} == set(expected)
        lines = buffer.getvalue().split("\n")
        assert all(lines[line - 1] == "" for line in report.first_lines["blank"])
        assert all(lines[line - 1].startswith(",,") for line in report.first_lines["malformed"])


class TestHeader:
    def test_a_missing_id_column(self) -> None:
        text = refused(in_file("mail,namespace\nx,email\n"))
        assert (
            text
            == "identities_path has no column named 'id' (id_column); its first line has 2 columns and must name them."
        )

    def test_a_missing_namespace(self) -> None:
        text = refused(in_file("id,ns\nx,email\n"))
        assert "no column named 'namespace' (namespace_column), and the parameter namespace is not given" in text

    def test_an_ambiguous_column(self) -> None:
        assert "more than one column named 'id'" in refused(in_file("id,id,namespace\na,b,email\n"))

    @pytest.mark.parametrize("header", [SECRET, "Email,jane.canary", "jane,+49301234567", "C000123,Email"])
    def test_the_first_line_is_not_shown_since_it_may_be_data(self, header: str) -> None:
        text = refused(in_file(f"{header}\n{SECRET}\n"))
        assert "must name them" in text
        assert not [part for part in header.split(",") if part in text]

    @pytest.mark.parametrize("swapped", ["4915112345678", "9cbefef1-dd44-4411-87db-2d387bf882bc", "CRM-123456", "0x1"])
    def test_swapped_columns_are_refused_without_a_value(self, swapped: str) -> None:
        text = refused(in_file(f"namespace,id\n{swapped},phone\n"))
        assert "have the columns been swapped" in text
        assert swapped not in text

    def test_a_header_that_is_no_csv(self) -> None:
        assert "the first line is not a CSV header" in refused(in_file('"id"x,namespace\n'))

    def test_a_header_alone_is_no_work(self) -> None:
        source = in_file("id,namespace\n")
        plan = source.scan()
        assert (plan.count, plan.chunks, plan.namespaces) == (0, (), {})
        assert list(source.chunks(plan)) == []

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"\r\n", b"\xef\xbb\xbf", gzip.compress(b"")])
    @pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
    def test_an_empty_file(self, data: bytes, name: str) -> None:
        assert refused(in_file(data, name)) == "identities_path is empty."


class TestEncoding:
    DATA = f"id,name,namespace\n{SECRET},Zoe,email\nb,".encode() + b"J\xf6rg,email\nc,Ann,email\n"

    def test_not_utf8(self) -> None:
        assert "line 3: is not UTF-8" in refused(in_file(self.DATA))
        source = in_file(self.DATA, on_bad_row="skip")
        plan = source.scan()
        assert plan.report.first_lines == {"malformed": (3,)}
        assert everything(source, plan) == {"email": [SECRET, "c"]}

    def test_not_utf8_in_the_id(self) -> None:
        data = b"id\na\nj\xf6rg@example.com\nb\n"
        assert "line 3: is not UTF-8" in refused(in_file(data, namespace="email"))
        assert everything(in_file(data, namespace="email", on_bad_row="skip")) == {"email": ["a", "b"]}

    def test_not_utf8_in_the_header(self) -> None:
        assert "the first line is not UTF-8" in refused(in_file(b"id,n\xe4me\na,b\n", namespace="x", on_bad_row="skip"))

    def test_not_utf8_in_json(self) -> None:
        data = b'{"id": "a"}\n{"id": "j\xf6rg"}\n{"id": "b"}\n'
        assert "line 2: is not UTF-8" in refused(in_file(data, "x.jsonl", namespace="email"))
        assert everything(in_file(data, "x.jsonl", namespace="email", on_bad_row="skip")) == {"email": ["a", "b"]}

    def test_a_character_cut_by_a_block(self) -> None:
        data = "id\n" + "".join(f"é{i}€\n" for i in range(60_000))
        assert everything(in_file(data, namespace="x")) == {"x": [f"é{i}€" for i in range(60_000)]}

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            ("id,namespace\na,b\n".encode("utf-16"), "in UTF-16"),
            ("id,namespace\na,b\n".encode("utf-16-be"), "in UTF-16, or no text"),
            ("id,namespace\na,b\n".encode("utf-16-le"), "in UTF-16, or no text"),
            (b"PK\x03\x04" + b"x" * 50, "a ZIP archive or an Excel workbook"),
            (b"BZh91AY&SY" + b"x" * 50, "compressed with bzip2"),
            (b"\x28\xb5\x2f\xfd" + b"x" * 50, "compressed with zstd"),
            (b"PAR1" + b"x" * 50, "a Parquet file"),
            (gzip.compress("id\na\n".encode("utf-16")), "in UTF-16"),
        ],
    )
    @pytest.mark.parametrize("most", [1, 1 << 20])
    def test_other_files(self, data: bytes, what: str, most: int) -> None:
        assert what in refused(in_file(data, namespace="x", most=most))

    def test_a_text_stream(self) -> None:
        source = IdentityFile(lambda: io.StringIO("id\na\n"), "a.csv", namespace="x")  # type: ignore[arg-type, return-value]
        assert "must be opened for reading bytes" in refused(source)

    def test_a_line_without_an_end(self) -> None:
        text = refused(in_file("id\na\n" + "x" * 3_000_000, namespace="x"))
        assert "line 3 is longer than 1,048,576 bytes" in text


class TestGzip:
    DATA = "id,namespace\n" + "".join(f"user{i},email\n" for i in range(50_000))
    EXPECTED: Mapping[str, list[str]] = {"email": [f"user{i}" for i in range(50_000)]}

    @pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV.GZ"])
    @pytest.mark.parametrize("packed", [True, False])
    @pytest.mark.parametrize("most", [1000, 1 << 20])
    def test_by_content_and_not_by_name(self, name: str, packed: bool, most: int) -> None:
        data = self.DATA.encode()
        source = in_file(gzip.compress(data) if packed else data, name, most=most)
        assert everything(source) == self.EXPECTED

    def test_several_members_and_padding(self) -> None:
        data = self.DATA.encode()
        packed = b"".join(gzip.compress(part) for part in (data[:10], b"", data[10:70_000], data[70_000:]))
        for most in (1, 1 << 20):
            assert everything(in_file(packed + b"\0" * 100, most=most)) == self.EXPECTED

    def test_cut_short(self) -> None:
        assert "was cut short" in refused(in_file(gzip.compress(self.DATA.encode())[:-20]))

    def test_damaged(self) -> None:
        for place in (-6, -30_000):
            packed = bytearray(gzip.compress(self.DATA.encode()))
            packed[place] ^= 0xFF
            assert "damaged gzip file" in refused(in_file(bytes(packed), on_bad_row="skip"))

    def test_something_behind_it(self) -> None:
        assert "damaged gzip file" in refused(in_file(gzip.compress(self.DATA.encode()) + b"rubbish"))

    def test_its_digest_is_of_the_stored_bytes(self) -> None:
        packed = gzip.compress(self.DATA.encode())
        assert in_file(packed).scan().digest == hashlib.sha256(packed).hexdigest()


class TestJsonLines:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz"])
    def test_forms(self, name: str) -> None:
        data = '\ufeff{"id": "a", "namespace": "email"}\r\n\n{"x": 1, "namespace": "phone", "id": "\\u00fc"}'
        source = in_file(data, name)
        assert everything(source) == {"email": ["a"], "phone": ["ü"]}
        assert source.scan().report == RowReport(blank=1, first_lines={"blank": (2,)})

    def test_the_namespace_by_parameter(self) -> None:
        data = '{"key": "a"}\n{"key": "b", "namespace": null}\n{"key": "c", "namespace": "email"}\n'
        source = in_file(data, "a.jsonl", namespace="email", id_column="key")
        assert everything(source) == {"email": ["a", "b", "c"]}

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (f'{{"id": "{SECRET}", "namespace": "email"', "is not valid JSON"),
            (f'{{"id": "{SECRET}", "namespace": "email"}}, ', "is not valid JSON"),
            (f'{{"id": "{SECRET}", "namespace": "email"}} {{"id": "b"}}', "is not valid JSON"),
            (SECRET, "is not valid JSON"),
            ("[" * 100_000, "is not valid JSON"),
            (f'["{SECRET}", "email"]', "is not a JSON object"),
            (f'"{SECRET}"', "is not a JSON object"),
            ("{}", "the id is missing"),
            ('{"id": "", "namespace": ""}', "the id is missing"),
            ('{"id": null, "namespace": "email"}', "the id is missing"),
            ('{"id": 4711, "namespace": "email"}', "the id is not a JSON string"),
            (f'{{"id": ["{SECRET}"], "namespace": "email"}}', "the id is not a JSON string"),
            (f'{{"id": "{SECRET}"}}', "the namespace is missing"),
            (f'{{"id": "{SECRET}", "namespace": {{"code": "email"}}}}', "the namespace is not a JSON string"),
            (f'{{"id": "{SECRET}", "namespace": "a@b"}}', "the namespace is not a namespace's code"),
            (f'{{"id": "{SECRET}\\nb", "namespace": "email"}}', "the id has a control character"),
            (f'{{"id": "{SECRET}\\ud800", "namespace": "email"}}', "the id has a control character"),
        ],
    )
    def test_malformed_rows(self, row: str, reason: str) -> None:
        data = f'{{"id": "a", "namespace": "email"}}\n{row}\n{{"id": "b", "namespace": "email"}}\n,\n'
        text = refused(in_file(data, "a.jsonl"))
        assert f"line 2: {reason}" in text
        assert "line 4: is not valid JSON" in text
        assert everything(in_file(data, "a.jsonl", on_bad_row="skip")) == {"email": ["a", "b"]}

    def test_an_array(self) -> None:
        text = refused(in_file('\n [{"id": "a"}]\n', "a.json", on_bad_row="skip"))
        assert "is a JSON array; it must be JSON lines" in text


class TestParameters:
    def test_the_format_by_parameter(self) -> None:
        assert everything(in_file('{"id": "a"}', "list.txt", file_format="jsonl", namespace="x")) == {"x": ["a"]}
        assert everything(in_file("id\na\n", "list.json", file_format="csv", namespace="x")) == {"x": ["a"]}

    @pytest.mark.parametrize("name", ["ids", "ids.txt", "ids.gz", "ids.csv.zip"])
    def test_an_unknown_suffix(self, name: str) -> None:
        with pytest.raises(IdentitiesError, match=r"must end in \.csv, \.jsonl, \.ndjson, \.json"):
            in_file("", name)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"file_format": "xml"}, "must be 'csv' or 'jsonl'"),
            ({"on_bad_row": "ignore"}, "on_bad_row must be 'fail' or 'skip'"),
            ({"namespace": ""}, "The parameter namespace is missing"),
            ({"namespace": SECRET}, "The parameter namespace is not a namespace's code"),
            ({"chunk_size": 0}, "chunk_size must be 1 to 100,000"),
            ({"chunk_size": CHUNK_SIZE + 1}, "chunk_size must be 1 to 100,000"),
        ],
    )
    def test_wrong_ones(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            in_file("", **options)
        assert SECRET not in str(caught.value)

    def test_identities_in_the_namespaces_column(self) -> None:
        data = "id,namespace\n" + "".join(f"x,code{i}\n" for i in range(101))
        assert "more than 100 different namespaces" in refused(in_file(data, on_bad_row="skip"))


class TestChunks:
    def test_100_001_rows_are_two_orders(self) -> None:
        source = in_file("id,namespace\n" + "".join(f"u{i},{'ab'[i % 2]}\n" for i in range(100_001)))
        plan = source.scan()
        assert [chunk.count for chunk in plan.chunks] == [100_000, 1]
        assert plan.namespaces == {"a": 50_001, "b": 50_000}
        first, second = source.chunks(plan)
        assert first.namespaces == {"a": 50_000, "b": 50_000}
        assert (second.number, second.identities) == (1, {"a": ["u100000"]})

    def test_100_000_rows_are_one(self) -> None:
        plan = in_file("id\n" + "".join(f"u{i}\n" for i in range(100_000)), namespace="a").scan()
        assert [chunk.count for chunk in plan.chunks] == [100_000]

    def test_duplicates_over_chunks(self) -> None:
        rows = ["a", "b", "a", "c", "d", "b", "e", "a"]
        source = in_file("id\n" + "\n".join(rows), namespace="x", chunk_size=2)
        plan = source.scan()
        assert plan.report == RowReport(duplicate=3, first_lines={"duplicate": (4, 7, 9)})
        assert [chunk.identities["x"] for chunk in source.chunks(plan)] == [["a", "b"], ["c", "d"], ["e"]]

    def test_the_same_id_in_another_namespace_is_no_duplicate(self) -> None:
        data = "id,namespace\na,email\na,phone\nail1,em\n1,email\n1,email\n"
        source = in_file(data)
        assert source.scan().report.duplicate == 1
        assert everything(source) == {"email": ["a", "1"], "phone": ["a"], "em": ["ail1"]}

    def test_a_file_always_gives_the_same_chunks(self) -> None:
        data = "id,namespace\n" + "".join(f"u{i % 900},{'abc'[i % 3]}\n\n" for i in range(1000))
        sources = [in_file(data, chunk_size=100, most=most) for most in (1 << 20, 13)]
        plans = [source.scan() for source in (*sources, sources[0])]
        assert plans[0] == plans[1] == plans[2]
        assert plans[0].digest == hashlib.sha256(data.encode()).hexdigest()
        assert list(sources[0].chunks(plans[1])) == list(sources[1].chunks(plans[0]))
        for chunk, planned in zip(sources[0].chunks(plans[0]), plans[0].chunks, strict=True):
            assert (chunk.count, chunk.namespaces, chunk.digest) == (planned.count, planned.namespaces, planned.digest)

    def test_going_on_from_a_later_chunk(self) -> None:
        source = in_file("id\n" + "".join(f"u{i}\n" for i in range(10)), namespace="x", chunk_size=4)
        plan = source.scan()
        assert [(chunk.number, chunk.count) for chunk in source.chunks(plan, first=1)] == [(1, 4), (2, 2)]
        assert list(source.chunks(plan, first=3)) == []

    def test_digests_depend_on_the_content_alone(self) -> None:
        digest = Chunk(0, {"a": ["x", "y"], "b": ["z"]}).digest
        assert Chunk(5, {"b": ("z",), "a": ("x", "y")}).digest == digest
        others = [{"a": ["x"], "b": ["y", "z"]}, {"a": ["y", "x"], "b": ["z"]}, {"a": ["x", "y", "z"]}]
        assert len({digest, *(Chunk(0, other).digest for other in others)}) == 4

    def test_the_file_is_opened_once_for_each_reading_and_closed(self) -> None:
        opened: list[Stream] = []

        def open_file() -> Any:
            opened.append(Stream(b"id\na\nb\n", 1 << 20))
            return opened[-1]

        source = IdentityFile(open_file, "a.csv", namespace="x", chunk_size=1)
        assert opened == []
        plan = source.scan()
        chunks = source.chunks(plan)
        next(chunks)
        assert [stream.closed for stream in opened] == [True, False]
        chunks.close()  # type: ignore[attr-defined]
        assert [stream.closed for stream in opened] == [True, True]

    def test_nothing_shows_values(self) -> None:
        source = in_file(f"id\n{SECRET}\n{SECRET}\n", namespace="x")
        plan = source.scan()
        chunk = next(source.chunks(plan))
        assert chunk.values == (SECRET,)
        assert SECRET not in f"{plan!r} {plan.report} {chunk!r} {chunk}"


class TestChanges:
    """What happens to a file that changes after the scan."""

    BEFORE = "id\n" + "".join(f"u{i}\n" for i in range(6)) + "\n"

    def run(self, after: str) -> Iterator[Chunk]:
        contents = [self.BEFORE, after]
        source = IdentityFile(lambda: io.BytesIO(contents.pop(0).encode()), "a.csv", namespace="x", chunk_size=2)
        return source.chunks(source.scan())

    @pytest.mark.parametrize(
        "after",
        [
            BEFORE.replace("u3", "u9"),
            BEFORE.replace("u3\n", ""),
            BEFORE.replace("u3\n", "u3\nu3\n"),
            BEFORE.replace("u3\n", "\n"),
            BEFORE.replace("u2\n", '"u2"x\n'),
            BEFORE.replace("u2\nu3\n", "u3\nu2\n"),
        ],
    )
    def test_a_changed_chunk_does_not_leave(self, after: str) -> None:
        left: list[Any] = []
        with pytest.raises(IdentitiesChangedError, match="changed while it was being read"):
            left.extend(chunk.identities["x"] for chunk in self.run(after))
        assert left in ([], [["u0", "u1"]])

    def test_not_utf8_any_more(self) -> None:
        contents = [self.BEFORE.encode(), self.BEFORE.encode().replace(b"u0", b"u\xff")]
        source = IdentityFile(lambda: io.BytesIO(contents.pop(0)), "a.csv", namespace="x")
        with pytest.raises(IdentitiesChangedError):
            next(source.chunks(source.scan()))

    def test_cut_off(self) -> None:
        chunks = self.run("id\nu0\nu1\n")
        next(chunks)
        with pytest.raises(IdentitiesChangedError):
            next(chunks)

    def test_gone(self) -> None:
        with pytest.raises(IdentitiesError):
            next(self.run(""))

    def test_added_to_behind_the_end(self) -> None:
        assert [chunk.count for chunk in self.run(self.BEFORE + "u7\n")] == [2, 2, 2]

    def test_a_new_scan_shows_it(self) -> None:
        plans = [in_file(data, namespace="x").scan() for data in (self.BEFORE, self.BEFORE + "u7\n")]
        assert plans[0].digest != plans[1].digest


class TestPayload:
    IDENTITIES: Mapping[str, list[str]] = {
        "phone": [",", "+49"],
        "email": ['a"b', "back\\slash", "jörg", "\U0001f600", "</x>", "\x7f", "a"],
    }

    def test_identities(self) -> None:
        expected = [
            {"namespace": {"code": code}, "id": value} for code in ("email", "phone") for value in self.IDENTITIES[code]
        ]
        assert json.loads(b"{%s}" % Chunk(0, self.IDENTITIES).payload()) == {"identities": expected}

    @pytest.mark.parametrize(("payload_format", "key"), [("namespaces-ids", "ids"), ("namespaces-IDs", "IDs")])
    def test_namespaces(self, payload_format: str, key: str) -> None:
        expected = [{"namespace": {"code": code}, key: self.IDENTITIES[code]} for code in ("email", "phone")]
        payload = Chunk(0, self.IDENTITIES).payload(payload_format)
        assert json.loads(b"{%s}" % payload) == {"namespacesIdentities": expected}

    @pytest.mark.parametrize("payload_format", list(PayloadFormat))
    def test_the_plain_and_the_escaping_way_agree(self, payload_format: str) -> None:
        plain = [f"u{i}@example.com" for i in range(100)] + [",", "',", "a,b"]
        alone = json.loads(b"{%s}" % Chunk(0, {"x": plain}).payload(payload_format))
        text = Chunk(0, {"x": [*plain, "ü"]}).payload(payload_format).decode()
        with_umlaut = json.loads(f"{{{text}}}")
        last = next(iter(with_umlaut.values()))
        last.pop() if payload_format == "identities" else next(iter(last))[payload_format[-3:]].pop()
        assert with_umlaut == alone

    def test_an_unknown_format(self) -> None:
        with pytest.raises(
            ValueError, match="payload_format must be one of identities, namespaces-ids, namespaces-IDs"
        ):
            Chunk(0, {"x": ["a"]}).payload("namespaces")


class TestMapping:
    def test_good(self) -> None:
        source = IdentityMapping({"email": ["a", "b", "a"], "phone": ("a",)}, chunk_size=2)
        plan = source.scan()
        assert plan.report == RowReport(duplicate=1, first_lines={"duplicate": (3,)})
        assert [chunk.identities for chunk in source.chunks(plan)] == [{"email": ["a", "b"]}, {"phone": ["a"]}]
        assert source.scan() == plan
        assert IdentityMapping({"email": ["a", "b"]}).scan().digest != plan.digest

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("", "the id is missing"),
            (" ", "the id is missing"),
            (f"{SECRET}\t", "the id has a control character"),
            (f"{SECRET}\n{SECRET}", "the id has a control character"),
            (f" {SECRET}", "the id has whitespace around it"),
            (SECRET * 50, "the id is longer than 1,000 characters"),
            (4711, "the id is not text"),
            (None, "the id is not text"),
            ({"id": SECRET}, "the id is not text"),
        ],
    )
    def test_malformed(self, value: Any, reason: str) -> None:
        identities = {"email": ["a"], "phone": ["b", value, "c"]}
        text = refused(IdentityMapping(identities))
        assert f"identities has malformed rows (position 2 of namespace 'phone': {reason})" in text
        source = IdentityMapping(identities, on_bad_row="skip")
        assert source.scan().report.first_lines == {"malformed": (3,)}
        assert everything(source) == {"email": ["a"], "phone": ["b", "c"]}

    @pytest.mark.parametrize(
        ("identities", "message"),
        [
            ({}, "identities has no identities"),
            ({"email": []}, "identities has no identities"),
            ([SECRET], "must be a mapping"),
            ({"email": SECRET}, "the ids of namespace 'email' must be a list"),
            ({"email": {SECRET}}, "the ids of namespace 'email' must be a list"),
            ({SECRET: "email"}, "namespace number 1 is not a namespace's code"),
            ({"email": ["a"], "": ["a"]}, "namespace number 2 is missing"),
            ({1: ["a"]}, "namespace number 1 is not text"),
        ],
    )
    def test_wrong(self, identities: Any, message: str) -> None:
        with pytest.raises(IdentitiesError, match=message) as caught:
            IdentityMapping(identities)
        assert SECRET not in str(caught.value)


MEASURE = """
import resource
from airflow_provider_adobe_deletion.adobe.identities import IdentityFile

class Endless:
    def __init__(self):
        self.row, self.rest = 0, b"id,namespace\\n"
    def read(self, size):
        while self.row < 1_000_000 and len(self.rest) < size:
            rows = range(self.row, self.row + 1000)
            self.rest += b"".join(b"customer-%09d@example.com,%s\\n" % (i, (b"a", b"b", b"c")[i % 3]) for i in rows)
            self.row += 1000
        block, self.rest = self.rest[:size], self.rest[size:]
        return block
    def __enter__(self):
        return self
    def __exit__(self, *args):
        pass

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak()
source = IdentityFile(Endless, "a.csv")
plan = source.scan()
bodies = sum(1 for chunk in source.chunks(plan) if chunk.payload() and chunk.values)
print(plan.count, bodies, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux reports it")
def test_a_million_identities_fit_into_150_mb() -> None:
    measured = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout
    count, bodies, megabytes = measured.split()
    assert (count, bodies) == ("1000000", "10")
    assert float(megabytes) <= 150
