"""The door for files: what comes in is judged by its content, read in the sandbox, and kept as Parquet under names of ours.

CSV (comma, semicolon, tab or bar; UTF-8, UTF-16 or Windows-1252), JSON (an array of objects, or one object a line), Parquet and XLSX. The first row of a
CSV file or a sheet names the columns. One bad file spoils the whole upload: a source is never half there.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from craft import sandbox
from craft.exceptions import DomainError
from craft.sandbox import Limits, OverLimitError

MB = 1024 * 1024
JOB = "datasources.uploads.parsing.convert"
SECONDS = 60  # for all files of an upload together
MEMORY_BYTES = 1024 * MB
FILE_BYTES = 2048 * MB
NAME_LENGTH = 63
WORKING = ".upload-"


class UploadError(DomainError):
    """A file that can't be read; the message names it and says what to mend."""

    code: ClassVar[str] = "invalid_file"

    def __init__(self, message: str, *, details: dict[str, str] | None = None) -> None:
        super().__init__(message, details=details or {"file": message})


class UploadTooLargeError(UploadError):
    code: ClassVar[str] = "file_too_large"
    status_code: ClassVar[int] = 413


@dataclass(frozen=True)
class Bounds:
    """How large the contents of a file may be."""

    tables: int = 200
    rows: int = 5_000_000
    columns: int = 2_000
    cells: int = 100_000_000
    unpacked_bytes: int = 400 * MB
    unpacked_ratio: int = 100


@dataclass(frozen=True)
class Upload:
    """A file as it came: what its sender called it, and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class NewTable:
    """A table that was read. Its Parquet file lies in the working folder."""

    name: str
    path: Path
    original_name: str
    columns: list[dict[str, str]]
    row_count: int
    sample: list[dict[str, Any]]


@contextmanager
def converted(
    uploads: Sequence[Upload], *, near: Path, bounds: Bounds | None = None
) -> Iterator[list[NewTable]]:
    """The tables in these files, in a working folder on the disk of `near` that vanishes afterwards. Raises `UploadError`."""
    near.mkdir(parents=True, exist_ok=True)
    _remove_forgotten(near)
    work = Path(tempfile.mkdtemp(prefix=WORKING, dir=near))
    try:
        yield list(_convert_all(uploads, work, bounds or Bounds()))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_forgotten(near: Path) -> None:
    """Working folders of processes that were killed."""
    yesterday = time.time() - 24 * 3600
    for folder in near.glob(f"{WORKING}*"):
        if folder.stat().st_mtime < yesterday:
            shutil.rmtree(folder, ignore_errors=True)


def _convert_all(
    uploads: Sequence[Upload], work: Path, bounds: Bounds
) -> Iterator[NewTable]:
    until = time.monotonic() + SECONDS
    taken: set[str] = set()
    for number, upload in enumerate(uploads):
        folder = work / str(number)
        folder.mkdir()
        for found in _read(upload, folder, bounds, until - time.monotonic()):
            if len(taken) == bounds.tables:
                raise UploadTooLargeError(
                    f"{upload.name}: an upload may hold {bounds.tables} tables, and this is one more."
                )
            yield NewTable(
                name=_free_name(table_name(upload.name, found["sheet"]), taken),
                path=folder / found["file"],
                original_name=upload.name,
                columns=found["columns"],
                row_count=found["row_count"],
                sample=found["sample"],
            )


def _read(
    upload: Upload, folder: Path, bounds: Bounds, seconds: float
) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = sandbox.run(
            JOB,
            {
                "path": str(upload.path.resolve()),
                "name": upload.name,
                "bounds": asdict(bounds),
            },
            limits=Limits(
                seconds=max(0.1, seconds),
                memory_bytes=MEMORY_BYTES,
                file_bytes=FILE_BYTES,
            ),
            readable=[upload.path],
            folder=folder,
            raises=[UploadError, UploadTooLargeError],
        )
    except OverLimitError as error:
        raise UploadTooLargeError(
            f"{upload.name} is too large to be read. {error.message}"
        ) from None
    return found


# --- Names ---


def table_name(file_name: str, sheet: str | None = None) -> str:
    """`Orders 2024.csv` → `orders_2024`; a workbook's sheets `orders_sheet1`. Always something that SQL takes without quotes, but for reserved words."""
    stem = re.sub(
        r"(\.(csv|tsv|txt|json|jsonl|ndjson|parquet|xlsx|xlsm))+$",
        "",
        file_name,
        flags=re.IGNORECASE,
    )
    text = unicodedata.normalize("NFKC", stem if sheet is None else f"{stem}_{sheet}")
    name = re.sub(r"[^\w]+", "_", text.lower()).strip("_")[:NAME_LENGTH].rstrip("_")
    if not name:
        return "table"
    return name if not name[0].isdigit() else f"t_{name}"[:NAME_LENGTH]


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        ending = f"_{number}"
        name = wanted[: NAME_LENGTH - len(ending)] + ending
    taken.add(name)
    return name
