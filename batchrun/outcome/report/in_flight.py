"""How many rows were executing at once, from the begins and ends of attempts. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from .timeline import Timeline


class Moments(NamedTuple):
    """Moments within one bin: how many, and the sum of their distances from the timeline's origin in seconds."""

    number: int
    total: float


NONE = Moments(0, 0.0)


def in_flight(timeline: Timeline, begins: Mapping[int, Moments], ends: Mapping[int, Moments]) -> list[float]:
    """The mean number of rows executing while runs went on, in each bin.

    `begins` and `ends` are known by the bins' indices. An attempt counts for the part of a bin that it lasted.
    """
    found = []
    running = 0
    for index in range(len(timeline.bins)):
        end = timeline.begin(index) + timeline.width - timeline.origin
        began, ended = begins.get(index, NONE), ends.get(index, NONE)
        seconds = running * timeline.width + (began.number - ended.number) * end - began.total + ended.total
        found.append(max(0.0, seconds / timeline.covered[index]))
        running += began.number - ended.number
    return found
