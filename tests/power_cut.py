"""What a disk may hold after a power cut, from the journal that `data/failing_disk.c` keeps of a run.

The model: bytes are safe once their file has been synced; until then each write may be there, be missing, or have
been cut off at a sector, whatever came before or after it. Names (files made, renamed, removed) are safe once their
folder has been synced; until then they survive in order up to any one of them.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<4q")
_SECTOR = 512


class Step(NamedTuple):
    """Something that was done: w(rite), t(runcate), s(ync), c(reate), r(ename from `data`), u(nlink), m(kdir)."""

    what: str
    path: str
    offset: int
    data: bytes


def steps_of(journal: Path) -> Iterator[Step]:
    """Everything that was done, in order."""
    data = journal.read_bytes()
    at = 0
    while at < len(data):
        what, path, offset, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield Step(chr(what), data[at : at + path].decode(), offset, data[at + path : at + path + size])
        at += path + size


@dataclass(eq=False)
class File:
    """What is safe of a file, and what has been done to it since."""

    safe: bytearray = field(default_factory=bytearray)
    open: list[Step] = field(default_factory=list)

    def sync(self) -> None:
        for step in self.open:
            _apply(self.safe, step)
        self.open.clear()

    def after_cut(self, dice: random.Random) -> bytes:
        """What may be left of it."""
        left = bytearray(self.safe)
        for step in self.open:
            fate = dice.choice(("there", "missing", "cut off"))
            if fate == "cut off" and step.what == "w":
                step = step._replace(data=step.data[: dice.randrange(len(step.data) // _SECTOR + 1) * _SECTOR])
            if fate != "missing":
                _apply(left, step)
        return bytes(left)


def _apply(content: bytearray, step: Step) -> None:
    if step.what == "t":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
    elif step.data:
        content.extend(bytes(max(0, step.offset - len(content))))
        content[step.offset : step.offset + len(step.data)] = step.data


class Disk:
    """A folder as far as a run has written it."""

    def __init__(self) -> None:
        self._names: dict[str, File] = {}
        self._safe_names: dict[str, File] = {}
        self._open_names: list[tuple[Step, File]] = []

    def do(self, step: Step) -> None:
        if step.what == "s":
            self._sync(step.path)
        elif step.what in "wt":
            if step.path in self._names:  # not a file that was removed while it was open
                self._names[step.path].open.append(step)
        elif step.what != "m":
            known = self._names.get(step.data.decode() if step.what == "r" else step.path)
            file = known or File()
            _rename(self._names, step, file)
            self._open_names.append((step, file))

    def _sync(self, path: str) -> None:
        if path in self._names:
            self._names[path].sync()
            return
        # A folder. Others' names may be safe earlier than they need to be: file systems keep them in order.
        for step, file in self._open_names:
            _rename(self._safe_names, step, file)
        self._open_names.clear()

    def cut(self, dice: random.Random) -> dict[str, bytes]:
        """What may be found when the power is back: path -> content."""
        names = dict(self._safe_names)
        for step, file in self._open_names[: dice.randrange(len(self._open_names) + 1)]:
            _rename(names, step, file)
        return {path: file.after_cut(dice) for path, file in names.items() if not path.endswith("-shm")}


def _rename(names: dict[str, File], step: Step, file: File) -> None:
    if step.what == "u":
        names.pop(step.path, None)
    else:
        names.pop(step.data.decode(), None)
        names[step.path] = file
