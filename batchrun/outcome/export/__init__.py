"""Results: the table joined with what has become of its rows, as files and as a DataFrame.

joined    rows and their records side by side, in the table's order, streaming
view      the two passes that every writer makes; `columns`, `kinds`: which columns results become
formats/  one writer for each format            writing  beside the target, then renamed
picked    without the table's cells, some columns of results alone
outputs   the files that batchrun wrote itself  frame    the same as a pandas DataFrame
"""
