"""What has become of the rows: results files, status, failures, one row, the proof, the report.

`takeover` and the room `leftovers`: results that other programs have left become the checkpoint's own.
"""
