"""The checksum over everything that is said of a settled row.

SQLite does not notice flipped bits in what it stores. Each ledger line carries a CRC-32 of the row's
fingerprint, status, attempts, result and error, xored with that of its position: so a row that moves in a
changed table is sealed anew without reading its result.
"""

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from .checkpoint import Settled


def of(row: "Settled") -> int:
    """The seal of a settled row, its result and its last failure included."""
    position, fingerprint, key, status, attempts, _, _, body, raw, how, note, failure = row
    crc = crc32(b"%d %d %b%b" % (status, attempts, fingerprint, key or b""))
    if body is not None:
        crc = crc32(body, crc)
    if how is not None:
        crc = crc32(how.encode(), crc)
    if raw is not None or note is not None:
        crc = crc32(f"{raw}\0{note}".encode(), crc)
    if failure is not None:
        told = (
            failure.kind,
            failure.message,
            failure.type,
            failure.http_status,
            failure.traceback,
            failure.raw,
        )
        crc = crc32(repr(told).encode(), crc)
    return crc ^ crc32(b"@%d" % position)


def of_position(position: int) -> int:
    """The part of a seal that changes when a row moves."""
    return crc32(b"@%d" % position)
