"""Reading tables: CSV, Parquet and JSON Lines, as a stream, twice, without guessing.

    open_table    what kind of file is it, and which columns has it?           -> Table
    scan          first pass: rows, one type per column, fingerprints, digest  -> Scan
    Table.chunks  second pass: raw cells, some hundred rows at a time
    identities    fingerprints of such a chunk        pick        the cells that the task is given

What raw cells are to the task is said in `batchrun.table.convert`. pyarrow is loaded only to read Parquet or zstd.
"""
