"""Reading tables: CSV, Parquet and JSON Lines, as a stream, twice, without guessing.

    open_table    what kind of file is it, and which columns has it?           -> Table
    scan          first pass: rows, one type per column, fingerprints, digest  -> Scan
    Table.chunks  second pass: raw cells, some hundred rows at a time
    identities    fingerprints of such a chunk        pick        the cells that the task is given

What raw cells are to the task is said in `batchrun.table.convert`. pyarrow is loaded only to read Parquet or zstd.
"""

from .detect import open_table
from .files import digest_of
from .fingerprint import CELL, cell_digests, identities
from .header import looks_separated
from .options import ReadOptions, needed, pick, separator, task_columns
from .pages import Memo, Page
from .scan import Scan, scan
from .table import Table

__all__ = [
    "CELL",
    "Memo",
    "Page",
    "ReadOptions",
    "Scan",
    "Table",
    "cell_digests",
    "digest_of",
    "identities",
    "looks_separated",
    "needed",
    "open_table",
    "pick",
    "scan",
    "separator",
    "task_columns",
]
