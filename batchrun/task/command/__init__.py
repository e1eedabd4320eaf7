"""`--command`: a program started for each row. Read `spec` first.

spec       what the options say, as plain data that travels to the workers
arguments  cells put into the command, without a shell or with one
running    one row: start, feed, read, judge the exit; runs in workers
"""
