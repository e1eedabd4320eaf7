"""The checksum over everything that is said of a settled row.

SQLite does not notice flipped bits in what it stores. Each ledger line carries a CRC-32 of the row's
fingerprint, status, attempts, result and error, xored with a hash of its position: so a row that moves in a
changed table is sealed anew without reading its result.
"""

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from .records import Settled

_KNUTH = 2654435761
_MASK = 0xFFFFFFFF


def of(row: "Settled") -> int:
    """The seal of a settled row, its result and its last failure included."""
    position, fingerprint, key, status, attempts, _, _, body, raw, how, note, failure, _, _ = row
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
    return crc ^ of_position(position)


def of_position(position: int) -> int:
    """The part of a seal that changes when a row moves (Knuth's multiplicative hash: SQL can compute it too)."""
    return position * _KNUTH & _MASK


def sql_moved(crc: str, old: str, new: str) -> str:
    """An SQL expression: the seal `crc` of a row that moves from position `old` to `new`."""
    return _sql_xor(_sql_xor(crc, _sql_of_position(old)), _sql_of_position(new))


def _sql_of_position(position: str) -> str:
    return f"((({position}) * {_KNUTH}) & {_MASK})"


def _sql_xor(one: str, other: str) -> str:
    return f"(({one} | {other}) - ({one} & {other}))"
