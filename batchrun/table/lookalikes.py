"""Files that merely bear the name of a table: a page where a download should be, a pointer, an archive. Pure."""

import html
import json
import re
from typing import Any, NamedTuple

_EXPORT = "Export the table as CSV, Parquet, JSON Lines, Excel (.xlsx) or SQLite and give that file."
_AGAIN = "Look at it, and download the table again: you may have to sign in first."
_UNPACK = f"Unpack it and give the table inside. {_EXPORT}"
_SHOWN = 100


class Lookalike(NamedTuple):
    """What a file really is, and what to do."""

    what: str
    hint: str


_BINARY = (
    (
        0,
        b"\xd0\xcf\x11\xe0",
        "an old Excel workbook (.xls), or one with a password",
        f"Save it as .xlsx without a password. {_EXPORT}",
    ),
    (0, b"ARROW1", "an Arrow (Feather) file", _EXPORT),
    (0, b"FEA1", "an old Feather file", _EXPORT),
    (0, b"\xff\xff\xff\xff", "an Arrow stream", _EXPORT),
    (0, b"SQLite format 3\0", "an SQLite database that was compressed as a whole", "Unpack it first."),
    (8, b"DUCK", "a DuckDB database", _EXPORT),
    (4, b"Standard ", "an Access database", _EXPORT),
    (0, b"%PDF-", "a PDF document", _EXPORT),
    (0, b"{\\rtf", "an RTF document", _EXPORT),
    (0, b"ORC", "an ORC file", _EXPORT),
    (0, b"Obj\x01", "an Avro file", _EXPORT),
    (0, b"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    (0, b"\x93NUMPY", "a NumPy array", _EXPORT),
    (0, b"RDX", "an R data file", _EXPORT),
    (0, b"X\n\0\0\0", "an R data file", _EXPORT),
    (0, b"$FL2", "an SPSS file", _EXPORT),
    (0, b"<stata_dta>", "a Stata file", _EXPORT),
    (0, b"\x80\x04\x95", "a Python pickle", _EXPORT),
    (0, b"\x80\x05\x95", "a Python pickle", _EXPORT),
    (0, b"\x89PNG\r\n", "an image (PNG)", _EXPORT),
    (0, b"\xff\xd8\xff", "an image (JPEG)", _EXPORT),
    (0, b"GIF8", "an image (GIF)", _EXPORT),
    (0, b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a", "a RAR archive", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", _UNPACK),
    (0, b"\x1f\x9d", "compressed with compress (.Z)", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", _EXPORT),
    (257, b"ustar", "a tar archive", "Unpack it (tar xf) and give the table inside."),
)
_ORC_NAMES = re.compile(rb"ORC[ -~\r\n]")
_IN_ZIP = (
    (b"[Content_Types].xml", b"word/", "a Word document"),
    (b"[Content_Types].xml", b"", "an Excel workbook"),
    (b"opendocument.spreadsheet", b"", "an OpenDocument spreadsheet (LibreOffice)"),
    (b"xl/", b"", "an Excel workbook"),
)
_HTML = re.compile(r"<(?:!doctype\s+html|(?:html|head|body|title|meta|script|style|center|h1|div|table|p)[\s>])", re.I)
_XML = re.compile(r"<(?:\?xml\s|!DOCTYPE\s|!--|[A-Za-z][\w:.-]*(?:\s[^<>]*)?>\s*(?:<|[^<>\n]*</))")
_TAG = r"<{0}(?:\s[^<>]*)?>\s*([^<]*)</{0}>"
_STATUS = re.compile(r"(?:HTTP/[\d.]+ )?(?:Error:? )?[45]\d\d:? [A-Z][\w ',-]*[.!]?", re.I)
_REFUSED = re.compile(r"(?:Access Denied|Forbidden|Not Found|Unauthorized|Too Many Requests|Bad Gateway)[.!]?", re.I)
_ERROR_KEYS = frozenset(
    ["error", "errors", "message", "msg", "detail", "details", "fault", "exception", "status", "statuscode", "code"]
)
_POINTERS = (
    ("version https://git-lfs.github.com/spec/", "a Git LFS pointer: the data itself is not here", "git lfs pull"),
    ("/annex/objects/", "a git-annex pointer: the data itself is not here", "git annex get"),
)


def lookalike_of_bytes(head: bytes) -> Lookalike | None:
    """What a file is whose bytes, not compressed, begin like this (512 or more), if it is known for no table."""
    if head.startswith(b"PK\x03\x04"):
        kinds = (what for first, second, what in _IN_ZIP if first in head and second in head)
        if what := next(kinds, None):
            return Lookalike(what, _EXPORT)
        return Lookalike("a zip archive or an Excel workbook", f"Unzip it. {_EXPORT}")
    if _ORC_NAMES.match(head):  # the name of a column
        return None
    return next((Lookalike(what, hint) for at, magic, what, hint in _BINARY if head[at:].startswith(magic)), None)


def lookalike_of_text(head: str) -> Lookalike | None:
    """The same for a text."""
    start = head.lstrip("\ufeff \t\r\n")
    if _HTML.match(start) or (start.startswith("<") and re.search("<html[\\s>]", start[:2000], re.I)):
        return Lookalike(f"an HTML page{_said(_inner('title', start) or _inner('h1', start))}", _AGAIN)
    if start.startswith("<") and _XML.match(start) and ("</" in start or "/>" in start):
        code = ": ".join(filter(None, (_inner("Code", start), _inner("Message", start))))
        return Lookalike(f"an XML document{_said(code)}", _AGAIN if code else _EXPORT)
    for beginning, what, command in _POINTERS:
        if start.startswith(beginning):
            return Lookalike(what, f"Fetch it: {command}")
    whole = start.strip()
    if "\n" not in whole and (_STATUS.fullmatch(whole) or _REFUSED.fullmatch(whole)):
        return Lookalike(f"a server's error{_said(whole)}", _AGAIN)
    if re.match(r"-- (?:MySQL|MariaDB|PostgreSQL|SQLite)\b|--\n-- PostgreSQL|PRAGMA foreign_keys", start):
        return Lookalike("a database dump, in SQL", _EXPORT)
    return None


def error_page(value: dict[str, Any]) -> bool:
    """Is an object what a service says instead of a table?"""
    return any(name.lower() in _ERROR_KEYS for name in value)


def rows_within(value: dict[str, Any]) -> str | None:
    """The name of an array of objects in an object: the table that a service has wrapped up."""
    parts = ((name, part) for name, part in value.items() if isinstance(part, list) and part)
    return next((name for name, part in parts if isinstance(part[0], dict)), None)


def one_object(text: str) -> dict[str, Any] | None:
    """The object, if the text is one and nothing else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _inner(tag: str, text: str) -> str:
    found = re.search(_TAG.format(tag), text, re.I)
    return " ".join(html.unescape(found[1]).split())[:_SHOWN] if found else ""


def _said(words: str) -> str:
    return f" ({words!r})" if words else ""
