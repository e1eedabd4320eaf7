"""Checksums over all that is said of settled rows, and of where they stand.

SQLite does not notice flipped bits in what it stores. Each block carries a CRC-32 over its rows' names, results and
replies, xored with one over what they have in common; so names can be made anew without reading results. Each place
carries a sum of its numbers.
"""

from collections.abc import Sequence
from zlib import crc32

from .records import Failure

_MASK = 0xFFFFFFFF
# Odd, so that no change of one number leaves the sum as it is.
_POSITION, _ABOVE, _ROWS, _BLOCK, _NTH = 0x9E3779B, 0x85EBCA7, 0xC2B2AE3, 0x27D4EB3, 0x165667B


def of_common(
    number: int, rows: int, status: int, attempts: int, task: int, run: int, lane: int | None, at: float | None,
    note: str | None, failure: Failure | None,
) -> int:  # fmt: skip
    """The part of a block's seal over what its rows have in common; the sheet's own checksum is xored with it."""
    told = None
    if failure is not None:
        told = (
            failure.kind, failure.message, failure.type, failure.http_status, failure.traceback, failure.raw
        )  # fmt: skip
    common = (number, rows, status, attempts, task, run, lane, at, note, told)
    return crc32(repr(common).encode())


def fits_place(crc: object, *place: int) -> bool:
    """Whether a place is what was sealed. A flipped bit can change a number's type."""
    try:
        return of_place(*place) == crc
    except TypeError:
        return False


def fits_places(found: Sequence[tuple[int, int, int, int, int]]) -> bool:
    """The same of many places, each followed by its seal, in a third of the time."""
    try:
        return all(
            (p * _POSITION + (p >> 32) * _ABOVE + r * _ROWS + b * _BLOCK + n * _NTH) & _MASK == crc
            for p, r, b, n, crc in found
        )
    except TypeError:
        return False


def of_place(position: int, rows: int, block: int, nth: int) -> int:
    """The seal of a place."""
    return (position * _POSITION + (position >> 32) * _ABOVE + rows * _ROWS + block * _BLOCK + nth * _NTH) & _MASK
