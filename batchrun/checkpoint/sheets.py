"""A sheet: rows that have ended alike, as bytes that go into the checkpoint as they stand.

Workers make sheets, and the checkpoint keeps them: nothing between takes them apart. JSON as it is kept holds no raw
line feed, so results that were joined by a comma and a line feed are cut apart again, byte for byte, by one split.
"""

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from .records import Failure

NAME_BYTES = 16
BETWEEN = b",\n"
MOST_BYTES = 256 << 10
"""Of results and replies in one sheet, if it has several rows: a flipped bit costs as much, `show` reads as much."""


class Sheet(NamedTuple):
    """n rows that have ended alike, in the table's order. Each field but the last is a column, as it is stored.

    `names`, `keys`: fingerprints, 16 bytes each, joined; no `keys` where names are all that names the rows.
    `seconds`: a JSON array of n integers, microseconds of the last attempt. `bodies`: the results as JSON, between
    brackets, `BETWEEN` each two; None where no row has one. `raws`: a JSON array of n texts (the replies as they came)
    or nulls; None where no row has one. `hows`: likewise, how results were found; None where all are `value`, or none
    was found. `crc`: see `sealed`.
    """

    names: bytes
    keys: bytes | None
    seconds: bytes
    bodies: bytes | None
    raws: bytes | None
    hows: bytes | None
    crc: int


class Block(NamedTuple):
    """A sheet, and all that its rows have in common. `positions`: their numbers, rising.

    `at`: when the sheet came, in seconds since 1970. `note` and `failure` are every row's; one with a failure is alone.
    """

    positions: Sequence[int]
    sheet: Sheet
    status: int
    attempts: int
    task: int
    lane: int | None = None
    at: float | None = None
    note: str | None = None
    failure: Failure | None = None


def last_of(bodies: bytes) -> bytes:
    """The last of a sheet's results, without taking the others apart."""
    at = bodies.rfind(BETWEEN)
    return bodies[at + len(BETWEEN) if at >= 0 else 1 : -1]


def sealed(
    names: bytes,
    keys: bytes | None,
    seconds: bytes,
    bodies: bytes | None,
    raws: bytes | None = None,
    hows: bytes | None = None,
) -> Sheet:
    """A sheet with its checksum."""
    return Sheet(
        names, keys, seconds, bodies, raws, hows, of_names(names, keys) ^ of_columns(seconds, bodies, raws, hows)
    )


def is_whole(sheet: Sheet) -> bool:
    """Whether a sheet is what was sealed."""
    return sealed(*sheet[:6]).crc == sheet.crc


def of_names(names: bytes, keys: bytes | None) -> int:
    """The part of the checksum that changes when rows are named anew."""
    return crc32(keys or b"", crc32(names))


def of_columns(*columns: bytes | None) -> int:
    """A checksum over columns one after the other: what moves from one to the next changes it."""
    crc = 0
    for column in columns:
        crc = crc32(b"\0", crc32(column or b"", crc))
    return crc
