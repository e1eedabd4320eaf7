"""The results with a line for each element of an array: for tasks that make many records of one row."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from .joined import AnyChunk, Outcomes
from .json_value import json_of
from .view import Results, some_of, values


class Exploded(Results):
    """A result that is an array becomes as many lines, none for an empty one; any other row stays one line."""

    def _beside(self, chunks: Iterable[AnyChunk]) -> Iterator[tuple[AnyChunk, Outcomes]]:
        """Chunks with their rows as often as there are lines of them."""
        for chunk, page in Results._beside(self, chunks):
            found = values(page)
            if not any(type(value) is list for value in found):
                yield chunk, page
                continue
            places = [place for place, value in enumerate(found) for _ in _lines(value)]
            if places:
                bodies = [line for value, body in zip(found, page.bodies, strict=True) for line in _bodies(value, body)]
                outcomes = list(page)
                repeated = Outcomes(*zip(*(outcomes[place] for place in places), strict=True))
                yield some_of(chunk, places), replace(repeated, bodies=bodies)

    def _values(self) -> Iterator[list[Any]]:
        for found in Results._values(self):
            yield [line for value in found for line in _lines(value)]


def _lines(value: Any) -> Sequence[Any]:
    return value if type(value) is list else (value,)


def _bodies(value: Any, body: bytes | None) -> Iterable[bytes | None]:
    return map(json_of, value) if type(value) is list else (body,)
