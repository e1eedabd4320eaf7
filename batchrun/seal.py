"""The checksum over everything that is said of a settled row.

SQLite does not notice flipped bits in what it stores. Each ledger line carries a CRC-32 of the row's
fingerprint, status, attempts, result and error, xored with that of its position: so a row that moves in a
changed table is sealed anew without reading its result.
"""

from typing import Any
from zlib import crc32


def of(row: Any, failure: Any) -> int:
    """The seal of a `Settled` row (or anything with its fields) and of its last failure, if it has one."""
    crc = crc32(b"%d %d " % (row.status, row.attempts) + row.fingerprint + (row.key or b""))
    if row.body is not None:
        crc = crc32(row.body, crc)
    if row.how is not None:
        crc = crc32(row.how.encode(), crc)
    for text in (row.raw, row.note):
        if text is not None:
            crc = crc32(b"\0" + text.encode(), crc)
    if failure is not None:
        told = (failure.kind, failure.message, failure.type, failure.http_status, failure.traceback, failure.raw)
        crc = crc32(repr(told).encode(), crc)
    return crc ^ of_position(row.position)


def of_position(position: int) -> int:
    """The part of a seal that changes when a row moves."""
    return crc32(b"@%d" % position)
