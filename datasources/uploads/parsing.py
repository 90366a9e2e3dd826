"""Reads one uploaded file into Parquet. Jobs of the sandbox: nothing here runs in a process of ours.

What a file is, its first bytes say and never its name. A CSV file and a sheet are first kept as text, as they came, and then typed (`columns.py`).
"""

from __future__ import annotations

import csv
import datetime
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetTypeEnum,
)

from datasources.connectors import files
from datasources.uploads import UploadError, UploadTooLargeError, texts
from datasources.uploads.columns import column_names, is_header, typed_columns

MB = 1024 * 1024
MEMORY = "512MB"
SAMPLE_ROWS = 3
SAMPLE_TEXT = 200

KNOWN = "Craft reads CSV, JSON, Parquet and XLSX."
OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an old Excel file, or one with a password: save it as .xlsx, without a password"),
    (b"\x1f\x8b", "compressed: unpack it first"),
    (b"BZh", "compressed: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed: unpack it first"),
    (b"7z\xbc\xaf", "an archive: unpack it first"),
    (b"Rar!", "an archive: unpack it first"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"<", "HTML or XML"),
)  # fmt: skip


CSV_FAULTS = (
    ("unterminated quote", "a quote is opened and never closed"),
    ("Maximum line size", f"it is longer than {texts.LINE_BYTES // MB} MB"),
    ("unicode", "it is not valid UTF-8"),
)


@dataclass(frozen=True)
class File:
    path: Path
    name: str
    bounds: dict[str, int]
    connection: duckdb.DuckDBPyConnection

    def at(self, path: Path) -> File:
        """The same upload, in another form."""
        return replace(self, path=path)

    def refused(self, fault: str) -> UploadError:
        return UploadError(f"{self.name}: {fault}")

    def too_large(self, fault: str) -> UploadTooLargeError:
        return UploadTooLargeError(f"{self.name}: {fault}")


def prepare() -> None:
    files.database()


def convert(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """`path, name, bounds` → for each table `file, sheet, columns, row_count, sample`, the files being in the working folder."""
    path = Path(payload["path"])
    connection = files.session(folders=[Path.cwd()], files=[path], memory=MEMORY)
    files.lock(connection)
    file = File(path, payload["name"], payload["bounds"], connection)
    try:
        return list(_read(file))
    except duckdb.OutOfMemoryException:
        raise MemoryError from None
    except duckdb.Error as error:
        raise file.refused(_explain(error)) from None


def _read(file: File) -> Iterator[dict[str, Any]]:
    with file.path.open("rb") as stream:
        start = stream.read(texts.SAMPLE_BYTES)
    if not start.strip():
        raise file.refused("the file is empty.")
    if start.startswith(b"PAR1"):
        yield _from_parquet(file)
    elif start.startswith(b"PK"):
        yield from _from_workbook(file)
    else:
        for mark, what in OTHER_KINDS:
            if start.lstrip().startswith(mark):
                raise file.refused(f"the file is {what}. {KNOWN}")
        yield _from_text(file)


# --- Text: CSV and JSON ---


def _from_text(file: File) -> dict[str, Any]:
    file = _in_utf8(file)
    with file.path.open(encoding="utf-8", newline="") as stream:
        sample = stream.read(texts.SAMPLE_BYTES)
    start = sample.lstrip()
    if not start:
        raise file.refused("the file is empty.")
    if start[0] in "[{":
        return _from_json(file, is_list=start[0] == "[")
    return _from_csv(
        file, texts.delimiter_of(sample), skip=1 if texts.HINT.match(sample) else 0
    )


def _in_utf8(file: File) -> File:
    try:
        encoding = texts.encoding_of(file.path)
        if encoding == "utf-8":
            return file
        path = Path("text").resolve()
        texts.transcode(file.path, encoding, path)
    except texts.NotTextError:
        raise file.refused(f"the content is none that Craft knows. {KNOWN}") from None
    except UnicodeError:
        raise file.refused(
            "the text breaks its own encoding. Save it as UTF-8."
        ) from None
    return file.at(path)


def _from_json(file: File, *, is_list: bool) -> dict[str, Any]:
    layout = "array" if is_list else "unstructured"
    rows = (
        f"read_json({files.text(file.path)}, format = '{layout}', records = true, sample_size = -1, maximum_depth = 10, "
        f"map_inference_threshold = -1, maximum_object_size = {16 * MB})"
    )
    return _keep(file, f"FROM {rows}")


def _from_csv(file: File, delimiter: str, *, skip: int) -> dict[str, Any]:
    with file.path.open(encoding="utf-8", newline="") as stream:
        for _ in range(skip):
            stream.readline()
        rows = texts.rows_of(stream, delimiter)
        try:
            first = next(
                (row for row in rows if any(cell.strip() for cell in row)), None
            )
        except csv.Error as error:
            raise file.refused(f"the first row can't be read: {error}.") from None
    if first is None:
        raise file.refused("the file is empty.")
    has_header = is_header(first)
    names = column_names(first if has_header else [""] * len(first))
    return _from_rows(
        file, names, delimiter=delimiter, skip=skip, has_header=has_header
    )


def _from_rows(
    file: File,
    names: list[str],
    *,
    delimiter: str = ",",
    skip: int = 0,
    has_header: bool = True,
    sheet: str | None = None,
    number: int = 0,
) -> dict[str, Any]:
    """CSV in UTF-8 whose columns are known: kept as text first, then typed."""
    if len(names) > file.bounds["columns"]:
        raise file.too_large(
            f"there are {len(names):,} columns, and {file.bounds['columns']:,} is the most."
        )
    columns = ", ".join(f"{files.text(name)}: 'VARCHAR'" for name in names)
    rows = (
        f"read_csv({files.text(file.path)}, auto_detect = false, columns = {{{columns}}}, delim = {files.text(delimiter)}, quote = '\"', "
        f"escape = '\"', header = {has_header}, skip = {skip}, max_line_size = {texts.LINE_BYTES}, nullstr = '', allow_quoted_nulls = true)"
    )
    raw = Path(f"raw{number}.parquet").resolve()
    _copy(file, f"FROM {rows} LIMIT {file.bounds['rows'] + 1}", raw)
    texts_read = f"read_parquet({files.text(raw)})"
    typed = ", ".join(typed_columns(file.connection, texts_read, names))
    table = _keep(
        file,
        f"SELECT {typed} FROM {texts_read}",  # noqa: S608  # of our own names, quoted
        sheet=sheet,
        number=number,
    )
    raw.unlink()
    return table


# --- Parquet ---


def _from_parquet(file: File) -> dict[str, Any]:
    rows = f"read_parquet({files.text(file.path)})"
    return _keep(file, f"FROM {rows}")


# --- Workbooks ---


def _from_workbook(file: File) -> Iterator[dict[str, Any]]:
    _check_archive(file)
    try:
        workbook = CalamineWorkbook.from_path(str(file.path))
        sheets = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if sheet.typ == SheetTypeEnum.WorkSheet
        ]
        if len(sheets) > file.bounds["tables"]:
            raise file.too_large(
                f"there are {len(sheets):,} sheets, and {file.bounds['tables']} tables is the most."
            )
        found = 0
        for number, name in enumerate(sheets):
            table = _from_sheet(file, workbook.get_sheet_by_name(name), name, number)
            if table is not None:
                found += 1
                yield table
    except CalamineError as error:
        raise file.refused(f"the workbook can't be read: {error}.") from None
    if not found:
        raise file.refused("the workbook's sheets are empty.")


def _check_archive(file: File) -> None:
    """A small archive may hold a great deal: what it says of itself, and what then comes out of it, is counted before anything is read."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = set(archive.namelist())
            if "xl/workbook.xml" not in names:
                raise file.refused(
                    f"the file is an archive, but no XLSX workbook. {KNOWN}"
                )
            _count_unpacked(file, archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
        raise file.refused("the workbook is damaged, or has a password.") from None


def _count_unpacked(file: File, archive: zipfile.ZipFile) -> None:
    packed = max(file.path.stat().st_size, MB // 5)  # small files may be packed well
    most = min(file.bounds["unpacked_bytes"], packed * file.bounds["unpacked_ratio"])
    size = sum(entry.file_size for entry in archive.infolist())
    if size <= most:
        size = 0
        for entry in archive.infolist():
            with archive.open(entry) as stream:
                while size <= most and (chunk := stream.read(MB)):
                    size += len(chunk)
    if size > most:
        raise file.too_large(
            f"unpacked, the workbook is larger than the {most // MB} MB that it may be."
        )


def _from_sheet(
    file: File, sheet: CalamineSheet, name: str, number: int
) -> dict[str, Any] | None:
    rows = (row for row in sheet.iter_rows() if any(cell != "" for cell in row))
    first = next(rows, None)
    if first is None:
        return None
    width = max(place for place, cell in enumerate(first, 1) if cell != "")
    if len(first) > file.bounds["columns"]:
        raise file.too_large(
            f"sheet {name!r} has {len(first):,} columns, and {file.bounds['columns']:,} is the most."
        )
    path = Path(f"sheet{number}.csv").resolve()
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        for row in chain((first,), rows):
            if any(cell != "" for cell in row[width:]):
                width = len(row)  # there is something right of the header
            writer.writerow([_cell_text(cell) for cell in row])
    has_header = is_header([_cell_text(cell) for cell in first])
    names = column_names(first if has_header else [""] * len(first))
    table = _from_rows(
        file.at(path), names, has_header=has_header, sheet=name, number=number
    )
    path.unlink()
    return table


def _cell_text(cell: Any) -> str:
    match cell:
        case bool():
            return str(cell).lower()
        case float() if cell.is_integer() and abs(cell) < 1e15:
            return str(int(cell))
        case datetime.datetime() if cell.time() == datetime.time():
            return cell.date().isoformat()
        case datetime.datetime():
            return cell.isoformat(sep=" ")
    return str(cell)


# --- What is kept ---


def _copy(file: File, rows: str, target: Path) -> None:
    file.connection.execute(
        f"COPY ({rows}) TO {files.text(target)} (FORMAT parquet, COMPRESSION zstd)"
    )


def _keep(
    file: File,
    rows: str,
    *,
    sheet: str | None = None,
    number: int = 0,
) -> dict[str, Any]:
    """Write the table, and tell what it has become."""
    target = Path(f"table{number}.parquet").resolve()
    _copy(file, f"SELECT * FROM ({rows}) LIMIT {file.bounds['rows'] + 1}", target)  # noqa: S608  # of our own names, quoted
    kept = f"read_parquet({files.text(target)})"
    described = file.connection.execute(f"DESCRIBE FROM {kept}").fetchall()
    columns = [{"name": name, "type": kind} for name, kind, *_ in described]
    if any("\0" in text for column in columns for text in column.values()):
        raise file.refused("the name of a column or field holds a NUL character.")
    count = f"SELECT count(*) FROM {kept}"  # noqa: S608  # of our own names, quoted
    (row_count,) = file.connection.execute(count).fetchone() or (0,)
    _check_size(file, row_count, len(columns), sheet)
    first_rows = file.connection.execute(f"FROM {kept} LIMIT {SAMPLE_ROWS}").fetchall()
    return {
        "file": target.name,
        "sheet": sheet,
        "columns": columns,
        "row_count": row_count,
        "sample": [
            {
                column["name"]: _shortened(files.plain(value))
                for column, value in zip(columns, row, strict=True)
            }
            for row in first_rows
        ],
    }


def _check_size(file: File, rows: int, columns: int, sheet: str | None) -> None:
    where = f"sheet {sheet!r}" if sheet else "the table"
    sizes = {"rows": rows, "columns": columns, "cells": rows * columns}
    for what, size in sizes.items():
        if size > file.bounds[what]:
            raise file.too_large(
                f"{where} has more than the {file.bounds[what]:,} {what} that it may have."
            )


def _shortened(value: Any) -> Any:
    match value:
        case str() if len(value) > SAMPLE_TEXT:
            return f"{value[:SAMPLE_TEXT]}…"
        case list() | dict() if len(str(value)) > SAMPLE_TEXT:
            return f"{str(value)[:SAMPLE_TEXT]}…"
    return value


def _explain(error: duckdb.Error) -> str:
    """What DuckDB found, for the file's owner: the line, and what is wrong there."""
    told = str(error)
    line = re.search(r"CSV Error on Line: (\d+)", told)
    widths = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", told)
    if line and widths:
        return (
            f"row {line[1]} has {widths[2]} values where the first row has {widths[1]}."
        )
    if line:
        known = (words for mark, words in CSV_FAULTS if mark in told)
        return f"row {line[1]} can't be read: {next(known, 'it is damaged')}."
    if malformed := re.search(r"Malformed JSON.*?, (at byte .*)", told):
        return f"the JSON is malformed {malformed[1].rstrip('. ')}."
    if "expected records" in told:
        return "the JSON is neither an array of objects nor one object a line."
    if isinstance(error, duckdb.IOException) and "No space left" in told:
        raise OSError(told)
    return re.sub(
        r"""(file )?["'][^"']*/[^"']*["']""", "the file", files.explain(error)
    )
