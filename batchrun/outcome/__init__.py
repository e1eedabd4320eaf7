"""What has become of the rows: results files, status, failures, one row, the proof, the report."""
