"""Excel workbooks, through openpyxl, which is not installed with batchrun. Columns as in CSV.

Times without a zone are times. Nothing is lost to Excel's habits: text such as `=1+1` or `#N/A` stays text, integers of
more than 15 digits are text. What it cannot hold at all (more than 1,048,576 lines, long cells) is refused.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from importlib import import_module
from typing import IO, Any

from batchrun.core.installing import how_to_install
from batchrun.errors import UsageError
from batchrun.outcome.export.json_value import text_of
from batchrun.outcome.export.view import Results

_MOST_ROWS = (1 << 20) - 1  # below the header
_MOST_COLUMNS = 1 << 14
_LONGEST = 32_767
_EXACT = 10**15
_READ_BY_EXCEL = ("=", "#")
"""Formulas and errors (#N/A)."""
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML does not allow."""
_TIMES = (datetime, date, time, timedelta)
_OTHERWISE = "write .csv, .parquet or .jsonl"


def write(results: Results, sink: IO[bytes]) -> int:
    """Write a workbook with one sheet; returns the number of rows. Raises `UsageError` without openpyxl."""
    book = _openpyxl().Workbook(write_only=True)
    own = book.create_sheet("results")
    try:
        rows = _fill(_Sheet(own), results)
    except BaseException:
        own.close()  # else its half-written part complains when it is collected
        raise
    book.save(sink)
    return rows


def _fill(sheet: "_Sheet", results: Results) -> int:
    columns = results.columns()
    sheet.put((*results.table.columns, *columns.names, *columns.told))
    for chunk, page in results.pages():
        cells: list[Sequence[Any]] = [*zip(*chunk, strict=True), *results.cells(page, columns)]
        for row in zip(*cells, *results.told(page), strict=True):
            sheet.put(row)
    return sheet.rows


def _is_excels(value: Any) -> bool:
    """Whether Excel has such a time: without a zone, and since 1901 (of 1900 it believes that it was a leap year)."""
    if isinstance(value, timedelta):
        return value >= timedelta(0)
    return getattr(value, "tzinfo", None) is None and getattr(value, "year", 1901) >= 1901


class _Sheet:
    """A sheet that is written from top to bottom. `rows`: without the header."""

    def __init__(self, sheet: Any) -> None:
        self.rows = -1
        self._sheet = sheet
        self._cell = import_module("openpyxl.cell").WriteOnlyCell

    def put(self, cells: Sequence[Any]) -> None:
        if self.rows >= _MOST_ROWS or len(cells) > _MOST_COLUMNS:
            raise UsageError("the results are too large for an Excel sheet", _OTHERWISE)
        self._sheet.append(list(map(self._fitted, cells)))
        self.rows += 1

    def _fitted(self, value: Any) -> Any:
        if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < _EXACT):
            return value
        if type(value) in _TIMES and _is_excels(value):
            return value
        text = _FORBIDDEN.sub("\ufffd", value if type(value) is str else text_of(value))
        if len(text) > _LONGEST:
            raise UsageError(
                f"row {self.rows + 1:,}: a cell of {len(text):,} characters; Excel holds {_LONGEST:,}",
                _OTHERWISE,
            )
        return self._text(text) if text.startswith(_READ_BY_EXCEL) else text

    def _text(self, text: str) -> Any:
        cell = self._cell(self._sheet, text)
        cell.data_type = "s"
        return cell


def _openpyxl() -> Any:
    try:
        return import_module("openpyxl")
    except ImportError as error:
        raise UsageError(
            "Excel workbooks need the package openpyxl", f"{how_to_install('openpyxl')}, or {_OTHERWISE}"
        ) from error
