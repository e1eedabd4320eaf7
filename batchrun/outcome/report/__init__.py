"""`report`: one page, in one file, of how the runs of a checkpoint went.

reading     what the checkpoint says, summed up by SQLite: no row of it becomes a Python object
facts       what is on the page, as plain data
timeline    the time in which runs went on, cut into bins
in_flight   how many rows ran at once;  latency  how long they took
charts      bars as inline SVG;  markup  text that cannot become HTML by mistake
overview, curves, lists   the parts of the page, made of pieces;  page  all of it;  style.css  how it looks
saving      the file, as whole as any results file
"""
