"""Settled rows that are alike, gathered into blocks. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from .records import Settled
from .sheets import BETWEEN, MOST_BYTES, Block, Sheet, sealed

_APART = 0.05
"""Seconds between the ends of rows that are in one block, at most: all of them get one time."""


def blocks_of(rows: Iterable[Settled]) -> Iterator[Block]:
    """The rows in blocks, each joined as it is asked for. Of two records of one row the later one counts."""
    ordered = sorted({row[0]: row for row in rows}.values())
    groups: list[list[Settled]] = []
    latest: dict[tuple[Any, ...], tuple[list[Settled], float, int]] = {}
    for row in ordered:
        position, _, key, status, attempts, task, _, body, raw, _, note, failure, at, lane = row
        # A body of another hand may hold a line feed: that row is alone.
        alone = position if failure is not None or (body is not None and b"\n" in body) else 0
        alike = (status, attempts, task, lane, note, key is None, body is None, at is None, alone)
        size = (len(body) if body else 0) + (len(raw) if raw else 0)
        known = latest.get(alike)
        if known and abs((at or 0.0) - known[1]) <= _APART and known[2] + size <= MOST_BYTES:
            known[0].append(row)
            latest[alike] = (known[0], known[1], known[2] + size)
        else:
            groups.append([row])
            latest[alike] = (groups[-1], at or 0.0, size)
    return map(_block, groups)


def _block(rows: list[Settled]) -> Block:
    _, _, _, status, attempts, task, _, _, _, _, note, failure, at, lane = rows[0]
    ended = None if at is None else float(max(row[12] or 0.0 for row in rows))
    return Block(_positions(rows), _sheet(rows), status, attempts, task, lane, ended, note, failure)


def _positions(rows: list[Settled]) -> Sequence[int]:
    first, last = rows[0][0], rows[-1][0]
    return range(first, last + 1) if last - first == len(rows) - 1 else [row[0] for row in rows]


def _sheet(rows: list[Settled]) -> Sheet:
    _, names, keys, _, _, _, seconds, bodies, raws, hows, *_ = zip(*rows, strict=True)
    return sealed(
        b"".join(names),
        None if keys[0] is None else b"".join(keys),
        orjson.dumps([None if took is None else round(took * 1e6) for took in seconds]),
        None if bodies[0] is None else b"[%b]" % BETWEEN.join(bodies),
        _texts(raws),
        None if set(hows) == {None if bodies[0] is None else "value"} else orjson.dumps(hows),
    )


def _texts(texts: Sequence[str | None]) -> bytes | None:
    return None if set(texts) == {None} else orjson.dumps(texts)


def stretches_of(positions: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """First row, number of rows, and index of the first, of each stretch of rows that follow each other."""
    if isinstance(positions, range):
        yield positions[0], len(positions), 0
        return
    begin = 0
    for nth in range(1, len(positions) + 1):
        if nth == len(positions) or positions[nth] != positions[nth - 1] + 1:
            yield positions[begin], nth - begin, begin
            begin = nth
