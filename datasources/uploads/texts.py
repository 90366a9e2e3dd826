"""Files of text: in which encoding they are, and by what their rows are cut."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

MB = 1024 * 1024
SAMPLE_BYTES = 256 * 1024
SAMPLE_ROWS = 500
LINE_BYTES = 4 * MB
DELIMITERS = (",", ";", "\t", "|")
HINT = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NOT_IN_CP1252 = {0x81, 0x8D, 0x8F, 0x90, 0x9D}


class NotTextError(Exception):
    pass


def encoding_of(path: Path) -> str:
    """By its mark, else by its bytes. Raises `NotTextError`."""
    with path.open("rb") as stream:
        start = stream.read(SAMPLE_BYTES)
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return encoding
    if b"\0" in start:
        return _unmarked_utf16(start)
    if _is_utf8(path):
        return "utf-8"
    return (
        "latin-1"
        if any(set(chunk) & NOT_IN_CP1252 for chunk in _chunks(path))
        else "cp1252"
    )


def _unmarked_utf16(start: bytes) -> str:
    """Western text in UTF-16 has a zero in every second byte."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    many, few = len(start) * 0.3, len(start) * 0.03
    if odd > many and even < few:
        return "utf-16-le"
    if even > many and odd < few:
        return "utf-16-be"
    raise NotTextError


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def transcode(source: Path, encoding: str, target: Path) -> None:
    """Write the text in UTF-8, line ends as they are. Raises `UnicodeError`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with target.open("w", encoding="utf-8", newline="") as stream:
        for chunk in _chunks(source):
            stream.write(decoder.decode(chunk))
        stream.write(decoder.decode(b"", final=True))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(MB):
            yield chunk


def rows_of(stream: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(LINE_BYTES)
    return csv.reader(stream, delimiter=delimiter)


def delimiter_of(sample: str) -> str:
    """The one that Excel's first line names (`sep=;`), or that cuts the first rows into most alike pieces."""
    if hint := HINT.match(sample):
        return hint[1]
    whole = sample.rpartition("\n")[0] or sample
    return max(DELIMITERS, key=lambda delimiter: _evenness(whole, delimiter))


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    try:
        rows = rows_of(io.StringIO(sample, newline=""), delimiter)
        widths = Counter(len(row) for row in islice(rows, SAMPLE_ROWS) if row)
    except csv.Error:
        return 0.0, 0
    if not widths:
        return 0.0, 0
    width, times = widths.most_common(1)[0]
    return (times / widths.total() if width > 1 else 0.0), width
