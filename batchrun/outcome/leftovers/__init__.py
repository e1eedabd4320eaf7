"""What other programs have left of a table: results in a folder of JSON files, in JSON Lines, an array or a table.

Each is known by the number of its row, or by the cells of its key. Of a folder only the names of its files are kept in
memory, of JSON Lines where each line begins: results are read when their row is there. Others are kept whole.

`find` looks what is there; `json_folder`, `json_objects` (lines and arrays) and `results_table` read it; `left` is
what they have in common.
"""
