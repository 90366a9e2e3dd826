"""Files from strangers: what becomes of good ones, and that bad ones do no harm."""

import datetime
import json
import os
import struct
import time
import zipfile
from io import BytesIO
from pathlib import Path

import duckdb
import pytest

from datasources import services, uploads
from datasources.models import DataSource, DataTable
from datasources.uploads import Bounds, UploadError, UploadTooLargeError, table_name
from tests.datasources.workbooks import NAMESPACE, packed, sheet_xml, workbook


@pytest.fixture
def read(upload, tmp_path):
    """The tables in one file, with all their rows."""

    def read(name, content, **bounds):
        with uploads.converted([upload(name, content)], near=tmp_path / "near", bounds=Bounds(**bounds)) as tables:  # fmt: skip
            return [
                {
                    "name": table.name,
                    "types": {column["name"]: column["type"] for column in table.columns},
                    "rows": duckdb.read_parquet(str(table.path)).fetchall(),
                    "sample": table.sample,
                    "count": table.row_count,
                }
                for table in tables
            ]  # fmt: skip

    return read


@pytest.fixture
def parquet(tmp_path):
    def make(query):
        path = tmp_path / "made.parquet"
        duckdb.sql(query).write_parquet(str(path))
        return path.read_bytes()

    return make


# --- CSV ---


def test_a_csv_file_becomes_a_typed_table(read):
    content = 'id,amount,name,zip,when,at,ok\n1,2.50,Anna,00123,2025-01-02,2025-01-02 10:00,true\n2,3,"B, ""x""",04567,2025-02-03,2025-01-02T11:30:00,FALSE\n'
    (table,) = read("Orders.csv", content)
    assert table["name"] == "orders"
    assert list(table["types"].values()) == ["BIGINT", "DOUBLE", "VARCHAR", "VARCHAR", "DATE", "TIMESTAMP", "BOOLEAN"]  # fmt: skip
    assert table["rows"][1] == (2, 3.0, 'B, "x"', "04567", datetime.date(2025, 2, 3), datetime.datetime(2025, 1, 2, 11, 30), False)  # noqa: DTZ001  # fmt: skip
    assert table["sample"][0]["at"] == "2025-01-02T10:00:00"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_csv_is_cut_by_what_cuts_it(read, delimiter, line_end):
    lines = [["id", "name"], ["1", "a b"], ["2", "c"]]
    content = line_end.join(delimiter.join(line) for line in lines)
    (table,) = read("x.csv", content)
    assert table["rows"] == [(1, "a b"), (2, "c")]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"],
)  # fmt: skip
def test_text_is_read_in_its_encoding(read, encoding):
    (table,) = read("x.csv", "name,city,n\nMüller,Köln,1\nLefèvre,Orléans,2\n".encode(encoding))  # fmt: skip
    assert table["rows"] == [("Müller", "Köln", 1), ("Lefèvre", "Orléans", 2)]
    assert list(table["types"]) == ["name", "city", "n"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "+3"], "BIGINT"),
        (["1", "2.5"], "DOUBLE"),
        (["1e3", ".5", "7."], "DOUBLE"),
        (["007", "8"], "VARCHAR"),
        (["12345678901234567890", "1"], "VARCHAR"),
        (["1", "x"], "VARCHAR"),
        (["1,5", "1.234,5"], "DOUBLE"),
        (["1,234,567", "12.5"], "DOUBLE"),
        (["1,234", "2,345"], "VARCHAR"),
        (["true", "False"], "BOOLEAN"),
        (["2025-01-31", "2025-02-28"], "DATE"),
        (["2025-02-30"], "VARCHAR"),
        (["31.12.2025", "1.2.2025"], "DATE"),
        (["31/12/2025"], "DATE"),
        (["12/31/2025"], "DATE"),
        (["03/04/2025"], "VARCHAR"),
        (["2025-01-31T10:00:00Z", "2025-01-31 10:00:00+02:00"], "TIMESTAMP WITH TIME ZONE"),
        (["2025-01-31 10:00", "2025-01-31"], "TIMESTAMP"),
        (["nan", "inf"], "VARCHAR"),
        (["", ""], "VARCHAR"),
        (["1", "", " 2 "], "BIGINT"),
    ],
)  # fmt: skip
def test_a_column_has_the_narrowest_type_that_loses_nothing(read, values, kind):
    (table,) = read("x.csv", "k;v\n" + "".join(f"a;{value}\n" for value in values))
    assert table["types"]["v"] == kind
    if kind == "VARCHAR":
        assert [row[1] or "" for row in table["rows"]] == values


def test_the_last_row_counts_as_much_as_the_first(read):
    (table,) = read("x.csv", "a,b\n" + "1,2\n" * 5000 + "1,x\n")
    assert table["types"] == {"a": "BIGINT", "b": "VARCHAR"}
    assert table["count"] == 5001


def test_column_names_are_kept_and_told_apart(read):
    (table,) = read("x.csv", "Name,name,,Order Date,a'b\nx,y,z,1,2\n")
    assert list(table["types"]) == ["Name", "name_1", "column3", "Order Date", "a'b"]


def test_a_file_without_a_header_gets_one(read):
    (table,) = read("x.csv", "1,2.5\n3,4.5\n")
    assert table["types"] == {"column1": "BIGINT", "column2": "DOUBLE"}
    assert table["count"] == 2


def test_a_header_alone_is_an_empty_table(read):
    (table,) = read("x.csv", "a,b\n")
    assert (list(table["types"]), table["count"]) == (["a", "b"], 0)


def test_excels_hint_is_no_row(read):
    (table,) = read("x.csv", "sep=;\r\na;b\r\n1;2\r\n")
    assert table["rows"] == [(1, 2)]


def test_a_long_text_is_shortened_in_the_sample_only(read):
    (table,) = read("x.csv", f"a,b\n1,{'x' * 1000}\n")
    assert len(table["rows"][0][1]) == 1000
    assert len(table["sample"][0]["b"]) == 201


# --- JSON and Parquet ---


def test_json_becomes_a_table(read):
    rows = [{"id": 1, "tags": ["a"], "at": {"x": 1}}, {"id": 2.5, "late": "yes"}]
    for content in (json.dumps(rows), json.dumps(rows, indent=2), "\n".join(map(json.dumps, rows))):  # fmt: skip
        (table,) = read("x.json", content)
        assert table["rows"] == [(1.0, ["a"], {"x": 1}, None), (2.5, None, None, "yes")]


def test_a_nul_is_nowhere_in_what_we_store(read):
    (table,) = read("x.json", json.dumps([{"a": "x\0y", "b": ["\0"]}]))
    assert table["sample"] == [{"a": "x\N{REPLACEMENT CHARACTER}y", "b": ["\N{REPLACEMENT CHARACTER}"]}]  # fmt: skip
    for rows in ([{"a\0b": 1}], [{"a": {"k\0": 1}}]):
        with pytest.raises(UploadError, match="NUL"):
            read("x.json", json.dumps(rows))


def test_parquet_is_kept_as_it_is(read, parquet):
    (table,) = read("data.parquet", parquet("SELECT 1 AS id, 1.50::DECIMAL(9,2) AS price, DATE '2025-01-01' AS day, [1, 2] AS l"))  # fmt: skip
    assert list(table["types"].values()) == ["INTEGER", "DECIMAL(9,2)", "DATE", "INTEGER[]"]  # fmt: skip
    assert table["count"] == 1


# --- Workbooks ---


def test_each_sheet_of_a_workbook_becomes_a_table(read):
    content = workbook(
        {
            "Sheet1": [
                ["id", "name", "paid", "day", "at", "price"],
                [1, "Anna", True, datetime.date(2025, 1, 2), datetime.datetime(2025, 1, 2, 10, 30), 2.5],  # noqa: DTZ001
                [2, "007", False, datetime.date(2025, 1, 3), datetime.datetime(2025, 1, 3, 0, 0), 3],  # noqa: DTZ001
            ],
            "Über uns": [["a"], ["x"]],
            "Empty": [],
        }
    )  # fmt: skip
    first, second = read("Orders.xlsx", content)
    assert (first["name"], second["name"]) == ("orders_sheet1", "orders_über_uns")
    assert list(first["types"].values()) == ["BIGINT", "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP", "DOUBLE"]  # fmt: skip
    assert first["rows"][1][:2] == (2, "007")
    assert second["rows"] == [("x",)]


def test_a_sheet_may_begin_below_and_have_gaps(read):
    (table,) = read("x.xlsx", workbook({"S": [[], [None, "a", "b"], [None, 1, None], [], [None, 2, "x"]]}))  # fmt: skip
    assert table["types"] == {"a": "BIGINT", "b": "VARCHAR"}
    assert table["rows"] == [(1, None), (2, "x")]


# --- What is refused ---

HEADLESS = struct.pack("<I", 10)
REFUSED = {
    "empty": (b"", "empty"),
    "blank": (b" \n \n", "empty"),
    "a short row": (b"a,b\n1,2\n3\n", "row 3 has 1 values where the first row has 2"),
    "a long row": (b"a,b\n1,2\n3,4\n5,6,7\n", "row 4 has 3 values"),
    "an open quote": (b'a,b\n1,"2\n3,4\n', "a quote is opened and never closed"),
    "bytes": (bytes(range(256)) * 10, "none that Craft knows"),
    "broken UTF-16": ("a,b\n1,2\n".encode("utf-16") + b"\xd8\xd8\xd8", "breaks its own encoding"),
    "broken JSON": (b'[{"a": 1}, {"a": ]', "malformed"),
    "cut JSON": (b'[{"a": 1}, {"a"', "malformed"),
    "numbers": (b"[1, 2, 3]", "neither an array of objects"),
    "a broken Parquet file": (b"PAR1" + b"x" * 100 + b"PAR1", "broken.csv"),
    "a cut Parquet file": (b"PAR1" + HEADLESS, "broken.csv"),
    "a PDF": (b"%PDF-1.7 x", "a PDF document"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 600, "save it as .xlsx"),
    "gzip": (b"\x1f\x8b\x08\x00abc", "unpack it first"),
    "HTML": (b"<html><table></table></html>", "HTML"),
    "SQLite": (b"SQLite format 3\0" + b"x" * 100, "SQLite"),
    "a damaged archive": (b"PK\x03\x04" + b"x" * 200, "damaged"),
    "an empty workbook": (workbook({"Sheet1": []}), "sheets are empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_file_is_named_with_its_fault(read, tmp_path, case):
    content, words = REFUSED[case]
    with pytest.raises(UploadError) as caught:
        read("broken.csv", content)
    assert caught.value.message.startswith("broken.csv: ")
    assert words in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert set(caught.value.details) == {"file"}


def test_what_a_file_is_its_content_says(read, parquet):
    assert read("x.csv", workbook({"S": [["a"], [1]]}))[0]["name"] == "x_s"
    assert read("x.xlsx", "a,b\n1,2\n")[0]["rows"] == [(1, 2)]
    assert read("x.json", parquet("SELECT 1 AS a"))[0]["rows"] == [(1,)]
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("orders.csv", "a\n1\n")
    with pytest.raises(UploadError, match="no XLSX workbook"):
        read("x.xlsx", archive.getvalue())


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"rows": 2}, "more than the 2 rows"),
        ({"columns": 1}, "2 columns"),
        ({"cells": 5}, "more than the 5 cells"),
    ],
)
def test_a_table_is_no_larger_than_it_may_be(read, bounds, words):
    for content in ("a,b\n1,2\n3,4\n5,6\n", workbook({"S": [["a", "b"], [1, 2], [3, 4], [5, 6]]})):  # fmt: skip
        with pytest.raises(UploadTooLargeError, match=words):
            read("x.csv", content, **bounds)


# --- Bombs ---


def lying_zip(name, size):
    """An entry that says it is small."""
    content = bytearray(packed({"S": sheet_xml([["a"], [1]])}, {name: "0" * size}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.find(mark)
        while at >= 0:
            (length,) = struct.unpack_from("<I", content, at + offset)
            if length == size:
                struct.pack_into("<I", content, at + offset, 10)
            at = content.find(mark, at + 4)
    return bytes(content)


def far_cell(place):
    row = "".join(character for character in place if character.isdigit())
    return packed({"S": f'<worksheet xmlns="{NAMESPACE}"><sheetData><row r="1"><c r="A1"><v>1</v></c></row><row r="{row}"><c r="{place}"><v>1</v></c></row></sheetData></worksheet>'})  # fmt: skip


LAUGHS = '<!DOCTYPE lolz [<!ENTITY a "lol">' + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)) + "]>"  # fmt: skip
XXE = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
CELL = '<row r="1"><c r="A1" t="inlineStr"><is><t>{}</t></is></c></row>'
SHEET = f'{{}}<worksheet xmlns="{NAMESPACE}"><sheetData>{CELL.format("{}")}</sheetData></worksheet>'
BOMBS = {
    "a sheet of zeros": lambda: packed({"S": "0" * 60_000_000}),
    "an entry of zeros": lambda: packed({"S": sheet_xml([["a"], [1]])}, {"xl/media/x": "0" * 60_000_000}),
    "an entry that lies": lambda: lying_zip("xl/media/x", 40_000_000),
    "many entries": lambda: packed({"S": sheet_xml([["a"], [1]])}, {f"xl/media/{n}": "0" * 1_000_000 for n in range(50)}),
    "the last cell": lambda: far_cell("XFD1048576"),
    "the last column": lambda: far_cell("XFD1"),
    "the last row": lambda: far_cell("B1048576"),
    "a thousand sheets": lambda: packed({f"S{n}": sheet_xml([["a"], [n]]) for n in range(1000)}),
    "a billion laughs": lambda: packed({"S": SHEET.format(LAUGHS, "&j;")}),
    "an outside entity": lambda: packed({"S": SHEET.format(XXE, "&f;")}),
    "a deep sheet": lambda: packed({"S": "<a>" * 200_000}),
    "deep JSON": lambda: b"[" * 5_000_000,
    "deep objects": lambda: b'{"a":' * 500_000 + b"1" + b"}" * 500_000,
    "many keys": lambda: json.dumps([{f"k{n}": n} for n in range(5_000)]).encode(),
    "one huge string": lambda: b'[{"a": "' + b"x" * 60_000_000 + b'"}]',
    "one huge number": lambda: b'[{"a": ' + b"9" * 5_000_000 + b"}]",
    "many columns": lambda: (",".join(f"c{n}" for n in range(500_000)) + "\n").encode(),
    "one long line": lambda: b"a" * 50_000_000,
    "one long cell": lambda: b"a,b\n1," + b"x" * 50_000_000 + b"\n",
    "only delimiters": lambda: b"," * 3_000_000,
    "only quotes": lambda: b'"' * 20_000_000,
    "only line ends": lambda: b"a,b\n" + b"\n" * 20_000_000,
    "an endless quote": lambda: b'a,b\n"' + b"1,2\n" * 5_000_000,
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_ends_quickly_and_leaves_us_well(read, tmp_path, monkeypatch, case):
    monkeypatch.setattr(uploads, "SECONDS", 3)
    content = BOMBS[case]()
    before, started = resident(), time.monotonic()
    try:
        told = repr(read("bomb", content))
    except UploadError as error:
        told = error.message
        assert "bomb" in told
    assert time.monotonic() - started < 10
    assert resident() - before < 64 * 1024 * 1024
    assert "root:x:0" not in told
    assert list((tmp_path / "near").iterdir()) == []


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_parquet_file_of_endless_rows_is_refused(read, tmp_path, monkeypatch):
    path = tmp_path / "endless.parquet"
    duckdb.sql("SELECT 1 AS a FROM range(6000000)").write_parquet(str(path))
    with pytest.raises(UploadTooLargeError, match="rows"):
        read("x.parquet", path.read_bytes())


# --- Names ---


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("orders.csv", "orders"),
        ("Sales 2024 (final).CSV", "sales_2024_final"),
        ("2024.csv", "t_2024"),
        ("Umsätze.xlsx", "umsätze"),
        ("archive.tar.csv", "archive_tar"),
        ("a'; DROP TABLE x;--.csv", "a_drop_table_x"),
        ("../../etc/passwd", "etc_passwd"),
        ("...", "table"),
        ("x" * 200 + ".csv", "x" * 63),
    ],
)
def test_a_table_is_named_after_its_file(file, name):
    assert table_name(file) == name


def test_a_sheet_is_named_after_file_and_sheet():
    assert table_name("orders.xlsx", "Sheet1") == "orders_sheet1"


# --- All or nothing ---


def test_one_bad_file_spoils_the_upload(alice, upload, settings):
    with pytest.raises(UploadError, match=r"bad\.csv: row 3"):
        services.create_file_source(company=alice.company, user=alice.user, files=[upload("good.csv", "a\n1\n"), upload("bad.csv", "a,b\n1,2\n3\n")])  # fmt: skip
    assert not DataSource.objects.for_company(alice.company).exists()
    assert kept_files(settings) == []


def test_what_fails_late_leaves_nothing_either(alice, upload, settings, monkeypatch):
    def explode(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(services, "publish", explode)
    with pytest.raises(RuntimeError):
        services.create_file_source(company=alice.company, user=alice.user, files=[upload("good.csv", "a\n1\n")])  # fmt: skip
    assert not DataSource.objects.for_company(alice.company).exists()
    assert kept_files(settings) == []


def test_files_of_one_name_become_two_tables(alice, upload):
    source = services.create_file_source(company=alice.company, user=alice.user, files=[upload("a.csv", "x\n1\n"), upload("A.csv", "x\n2\n")])  # fmt: skip
    assert [table.name for table in source.tables.all()] == ["a", "a_2"]
    found = services.run_query(company=alice.company, source=source, sql="SELECT x FROM a UNION ALL SELECT x FROM a_2 ORDER BY 1")  # fmt: skip
    assert found.rows == [{"x": 1}, {"x": 2}]


def test_files_are_kept_under_names_of_ours(alice, upload, settings):
    source = services.create_file_source(company=alice.company, user=alice.user, files=[upload("../evil/../x.csv", "a\n1\n")])  # fmt: skip
    (path,) = kept_files(settings)
    table = DataTable.objects.for_company(alice.company).get()
    assert path == Path(settings.MEDIA_ROOT) / str(alice.company.pk) / source.pk / f"{table.pk}.parquet"  # fmt: skip
    assert table.bytes == path.stat().st_size
    assert oct(path.stat().st_mode)[-3:] == "600"


def test_two_tables_of_a_source_have_two_names(alice, shop):
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        DataTable(company=alice.company, source=shop, name="orders").save()


def kept_files(settings):
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def test_no_more_tables_than_there_may_be(upload, tmp_path):
    files = [upload("a.csv", "x\n1\n"), upload("b.csv", "x\n2\n")]
    with pytest.raises(UploadTooLargeError, match="1 tables"), uploads.converted(files, near=tmp_path / "near", bounds=Bounds(tables=1)):  # fmt: skip
        pass


def test_a_source_is_named_after_its_first_file(alice, upload):
    source = services.create_file_source(company=alice.company, user=alice.user, files=[upload("a.csv", "x\n1\n")])  # fmt: skip
    assert source.source_name == "a.csv"


def test_what_a_killed_process_left_is_removed_in_time(alice, upload, settings):
    home = Path(settings.MEDIA_ROOT) / str(alice.company.pk)
    old, new = home / ".upload-old", home / ".upload-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 100_000,) * 2)
    services.create_file_source(company=alice.company, user=alice.user, files=[upload("a.csv", "x\n1\n")])  # fmt: skip
    assert not old.exists()
    assert new.exists()
