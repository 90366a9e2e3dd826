"""XLSX files as small as they can be, well made and ill."""

import datetime
import io
import zipfile
from xml.sax.saxutils import escape

NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
TYPES = (
    HEAD
    + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/'
    + 'vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/></Types>'
)
ROOT = (
    HEAD
    + '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    + f'Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
)
STYLES = (
    HEAD
    + f'<styleSheet xmlns="{NAMESPACE}"><cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/></cellXfs></styleSheet>'
)


def workbook(sheets: dict[str, list[list[object]]]) -> bytes:
    return packed({name: sheet_xml(rows) for name, rows in sheets.items()})


def packed(sheets: dict[str, str], extra: dict[str, str] | None = None) -> bytes:
    """A workbook of sheets that are given as XML."""
    numbers = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>'
        for n, name in zip(numbers, sheets, strict=True)
    )
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in numbers
    )
    parts = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": ROOT,
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{NAMESPACE}" xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{links}</Relationships>',
        "xl/styles.xml": STYLES,
        **{f"xl/worksheets/sheet{n}.xml": xml for n, xml in zip(numbers, sheets.values(), strict=True)},
        **(extra or {}),
    }  # fmt: skip
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def sheet_xml(rows: list[list[object]]) -> str:
    body = "".join(
        f'<row r="{y}">'
        + "".join(_cell(f"{_letters(x)}{y}", value) for x, value in enumerate(row))
        + "</row>"
        for y, row in enumerate(rows, start=1)
    )
    return f'{HEAD}<worksheet xmlns="{NAMESPACE}"><sheetData>{body}</sheetData></worksheet>'


def _letters(x: int) -> str:
    return chr(65 + x) if x < 26 else _letters(x // 26 - 1) + chr(65 + x % 26)


def _cell(place: str, value: object) -> str:
    epoch = datetime.datetime(1899, 12, 30)  # noqa: DTZ001  # Excel knows no zones
    match value:
        case None:
            return ""
        case bool():
            return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
        case int() | float():
            return f'<c r="{place}"><v>{value}</v></c>'
        case datetime.datetime():
            days = (value - epoch) / datetime.timedelta(days=1)
            return f'<c r="{place}" s="2"><v>{days}</v></c>'
        case datetime.date():
            days = (value - epoch.date()).days
            return f'<c r="{place}" s="1"><v>{days}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
