"""Results in a table: those of another program, or of batchrun itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchrun.errors import UsageError
from batchrun.outcome.export.columns import ERROR, HOW, PREFIX, ROW, STATUS, WHOLE_NAME
from batchrun.outcome.export.json_value import json_of
from batchrun.table.convert import converter
from batchrun.table.detect import open_table
from batchrun.table.interface import Table
from batchrun.table.options import ReadOptions
from batchrun.table.scan import scan

from .left import BETWEEN, NOTHING, Leftovers, by_number, name_of, nameless, one_name, value_in

_TOLD = {STATUS, HOW, ERROR, ROW}


def in_table(path: Path, key: Sequence[str], table: Table) -> Leftovers:
    """The lines of a table that `batchrun` reads; `table`: the one whose results they are."""
    found = open_table(path, ReadOptions())
    typed = converter(found.columns, scan(found, ReadOptions(), lambda *_: None).types, found.missing)
    names = tuple(key) or (ROW,)
    if missing := [name for name in names if name not in found.columns]:
        if not key:
            raise nameless(path)
        raise UsageError(f"{path} has no column {missing[0]!r}", f"it has {', '.join(found.columns[:8])}")
    columns = {each: each for each in found.columns if each not in {*names, *_TOLD}}
    if ROW not in found.columns:  # else they are results alone, and none of these is the table's
        columns = {each: _without_prefix(each, table) for each in columns if each not in table.columns}
    if not columns:
        raise UsageError(f"{path} has no columns but those of {table.path.name}", "give the file with the results")
    places: dict[str, bytes] = {}
    full = empty = 0
    where = [found.columns.index(name) for name in names]
    for chunk in found.chunks():
        for cells, row in zip(chunk, typed(chunk), strict=True):
            result = _result_of(row, columns)
            if result is NOTHING:
                empty += 1
            else:
                # A copy, for orjson leaves 4 KB behind each.
                places[name_of(cells[place] for place in where)] = bytes(memoryview(json_of(result)))
                full += 1

    def told(name: str, _: bytes) -> str:
        return f"{', '.join(names)} {name.replace(BETWEEN, ', ')}"

    called = one_name if key else by_number
    return Leftovers(places, called, lambda body, *_: value_in(body), told, full - len(places), empty)


def _result_of(row: dict[str, Any], columns: Mapping[str, str]) -> Any:
    cells = {name: row[column] for column, name in columns.items()}
    if row.get(STATUS, "done") != "done" or all(cell is None or cell == "" for cell in cells.values()):
        return NOTHING
    values = {name: _unfolded(cell) for name, cell in cells.items()}
    return values[WHOLE_NAME] if values.keys() == {WHOLE_NAME} else values


def _unfolded(cell: Any) -> Any:
    """The array or object that a cell holds as text, as in results of ours."""
    if (
        type(cell) is str
        and cell[:1] in ("{", "[")
        and (value := value_in(cell.encode(errors="replace"))) is not NOTHING
    ):
        return value
    return cell


def _without_prefix(name: str, table: Table) -> str:
    bare = name.removeprefix(PREFIX)
    return bare if bare in table.columns else name
