"""`python -m benchmarks`: batchrun beside what people would use instead. Read this first.

speed    speed.py, peers.py           whole runs over fresh tables
again    again.py                     restarts, export, status, start-up
faults   faults.py, faulty_peers.py   rows that kill or never end; the death of the coordinator
growth   growth.py, plots.py          10 thousand to 10 million rows
flight   flight.py                    the memory of a lane with many rows in flight

Every figure is a whole process, start-up included, with full durability. programs.py starts, measures and checks
them; pairs.py takes turns; page.py writes what came out into the documentation.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from benchmarks import faults, flight, growth, pairs
from benchmarks.again import again
from benchmarks.machine import machine
from benchmarks.page import PAGE, PICTURES, write_block
from benchmarks.plots import draw
from benchmarks.programs import Failed
from benchmarks.speed import speed

COMPARED = {"speed": speed, "again": again}
PARTS = (*COMPARED, "faults", "growth", "flight")
OURS = "batchrun"
Line = TypeVar("Line")


def main() -> int:
    """Measure what was asked for. Exit code 1 if a program failed that is installed, or an aim was missed."""
    asked = _asked()
    with tempfile.TemporaryDirectory(prefix="batchrun-bench-", dir=asked.folder) as place:
        folder = Path(place)
        _shown(asked, "machine", "", [machine(folder)])
        went = [_measured(part, asked, folder) for part in asked.only]
    return 0 if all(went) else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="batchrun beside its peers")
    parser.add_argument("--pairs", type=int, help="turns of batchrun and peers (default: 5; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows: does everything run?")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="these parts only")
    parser.add_argument("--ten-million", action="store_true", help="let the table grow to 10 million rows")
    parser.add_argument("--folder", type=Path, help="where to work (default: the folder of temporary files)")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    asked = parser.parse_args()
    asked.pairs = asked.pairs or (1 if asked.quick else 5)
    return asked


def _measured(part: str, asked: argparse.Namespace, folder: Path) -> bool:
    """Measure one part. Whether it went as it should."""
    try:
        if part == "growth":
            return _growth(asked, folder)
        if part == "faults":
            return _faults(asked, folder)
        if part == "flight":
            return bool(_shown(asked, part, flight.HEADER, flight.flight(folder, asked.quick)))
        found = _shown(asked, part, pairs.HEADER, COMPARED[part](folder, asked.pairs, asked.quick))
        return all(line.is_whole and (asked.quick or line.is_reached) for line in found)
    except Failed as failure:
        print(f"{part}: {failure}", file=sys.stderr)
        return False


def _faults(asked: argparse.Namespace, folder: Path) -> bool:
    outcomes = _shown(asked, "faults", faults.HEADER, faults.faults(folder))
    deaths = _shown(asked, "deaths", faults.HEADER_OF_DEATHS, faults.deaths(folder))
    return all(outcome.is_right for outcome in outcomes if outcome.tool == OURS) and all(
        death.is_right for death in deaths if death.tool == OURS
    )


def _growth(asked: argparse.Namespace, folder: Path) -> bool:
    sizes = _shown(asked, "growth", growth.HEADER, growth.growth(folder, asked.quick, asked.ten_million))
    pictures = draw(sizes, PICTURES if asked.write else folder)
    if asked.write:
        write_block(
            PAGE, "pictures", "\n\n".join(f"![{name}]({path.parent.name}/{path.name})" for name, path in pictures)
        )
    return True


def _shown(asked: argparse.Namespace, name: str, header: str, lines: Iterable[Line]) -> list[Line]:
    """Print each line as it comes; once all are there, put them into the page."""
    print(f"\n{header}".rstrip())
    found = []
    for line in lines:
        print(line, flush=True)
        found.append(line)
    if asked.write:
        write_block(PAGE, name, "\n".join(filter(None, [header, *map(str, found)])))
    return found


if __name__ == "__main__":
    sys.exit(main())
