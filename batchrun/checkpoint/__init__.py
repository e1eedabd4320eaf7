"""The checkpoint: the SQLite file that remembers settled rows, and all that keeps it true. Read `checkpoint` first.

opening      made where there is none, brought up to date where it is older; its tables are in `format`
sheets       rows that have ended alike, as bytes that are inserted as they stand
gathering    settled rows one by one, gathered into blocks
placing      writes blocks, and where their rows stand
reading      the only SELECTs over settled rows; what the report adds up is in `sums`
seal         the checksums of blocks and places
ledger       what a run has settled, committed in groups
old_formats  files of formats 1 and 2: read, and converted
lock         one run per checkpoint
witness      how far the last run had come, so that lost results are noticed
damage       records that do not fit their seals, and values that no run writes
explain      what SQLite and the system say, as errors that tell the user what to do
"""
