"""The checkpoint: the SQLite file that remembers settled rows, and all that keeps it true. Read `checkpoint` first.

opening   made where there is none, brought up to date where it is older; its tables are in `format`
ledger    what a run has settled, committed in groups
seal      the checksum of a settled row
lock      one run per checkpoint
witness   how far the last run had come, so that lost results are noticed
damage    records that do not fit their seals, and values that no run writes
explain   what SQLite and the system say, as errors that tell the user what to do
"""
