"""Which settled row stands where in the table as it is now. Read `anchor` first.

anchor     binds the checkpoint to the table
roll       the identities of the last table's rows, page by page: only pages that changed are read
align      where rows went, if only some places were edited
spool      the identities of a table's rows on disk
partition  equal identities among any number of rows, in flat memory
"""
