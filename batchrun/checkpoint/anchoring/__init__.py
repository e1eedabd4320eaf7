"""Which settled row stands where in the table as it is now. Read `binding` first.

binding    the pass over the table, and which of the following finds its rows
anchor     binds the checkpoint to the table
naming     what rows are named by, and whether that has changed
rebind     binds the checkpoint to a table whose rows are named otherwise than before
old_names  the names that rows had before
kept_cells digests of each cell, for rows whose columns have gone
roll       the identities of the last table's rows, page by page: only pages that changed are read
align      where rows went, if only some places were edited
spool      the identities of a table's rows on disk
partition  equal identities among any number of rows, in flat memory
"""
