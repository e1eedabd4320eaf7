"""What a run shows while it is in progress, and when it ends.

`snapshot` reads a run, `phrases` and `layout` put it into words, and a reporter (`live`, `plain`, `records`,
`quiet`) brings them to where someone reads them. Only `live` knows rich.
"""
