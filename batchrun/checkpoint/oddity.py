"""Why a checkpoint misled the program: values in it that no run writes. Looked for only when something has failed."""

import sqlite3

_CHECKS = {
    "rows in no known state": "ledger WHERE status NOT IN (1, 2, 3, 4, 5)",
    "records of the wrong type": """ledger WHERE typeof(fingerprint) != 'blob' OR typeof(attempts) != 'integer'
        OR typeof(seconds) NOT IN ('real', 'null') OR typeof(at) NOT IN ('real', 'null')
        OR typeof(lane) NOT IN ('integer', 'null')""",
    "runs of the wrong type": """run WHERE typeof(started) != 'real' OR typeof(ended) NOT IN ('real', 'null')
        OR NOT json_valid(versions) OR json_type(versions) != 'object'
        OR NOT json_valid(options) OR json_type(options) != 'object'
        OR counts IS NOT NULL AND (NOT json_valid(counts) OR json_type(counts) != 'object')""",
    "tokens of the wrong type": """spent WHERE 'text' IN (typeof(prompt), typeof(completion), typeof(cached),
        typeof(reasoning), typeof(cost)) OR 'blob' IN (typeof(prompt), typeof(completion), typeof(cached),
        typeof(reasoning), typeof(cost))""",
    "failures of the wrong type": """failure WHERE typeof(at) != 'real' OR typeof(attempt) != 'integer'
        OR typeof(seconds) NOT IN ('real', 'null') OR typeof(kind) != 'text' OR typeof(message) != 'text'""",
    "results of the wrong type": """result WHERE typeof(body) NOT IN ('blob', 'null')
        OR typeof(how) NOT IN ('text', 'null') OR typeof(raw) NOT IN ('text', 'null')""",
    "results that are no JSON": "result WHERE body IS NOT NULL AND NOT json_valid(CAST(body AS TEXT))",
}


def oddity(db: sqlite3.Connection) -> str | None:
    """What is wrong with the database, in words; None if nothing is."""
    try:
        whole = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if whole != "ok":
            return str(whole)
        found = (what for what, rows in _CHECKS.items() if db.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone())
        return next((f"it holds {what}" for what in found), None)
    except sqlite3.Error as error:
        return str(error)
