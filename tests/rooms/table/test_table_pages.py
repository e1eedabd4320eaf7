"""Pages: what an earlier pass has found is never found differently, and what it has read is not read again."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions
from batchrun.table.pages import Memo, Page
from batchrun.table.scan import Scan, scan


class Memory:
    """Passes over one file, each with what those before it have found. `read`: rows that the last one read."""

    def __init__(self, path: Path, block_bytes: int = 16, **options: Any) -> None:
        self.path, self.block_bytes, self.options = path, block_bytes, ReadOptions(**options)
        self.found: dict[Page, list[tuple[bytes, bytes | None]]] = {}
        self.read = 0

    def look(self) -> tuple[Scan, list[tuple[bytes, bytes | None]]] | str:
        """What a pass finds, or the error that it ends with."""
        try:
            return self.scan()
        except InputError as error:
            return str(error)

    def scan(self) -> tuple[Scan, list[tuple[bytes, bytes | None]]]:
        table: Any = open_table(self.path, self.options)
        table.block_bytes = self.block_bytes
        rows: list[tuple[bytes, bytes | None]] = []
        self.read = 0

        def take(prints: list[bytes], keys: list[bytes] | None) -> None:
            rows.extend(zip(prints, keys or [None] * len(prints), strict=True))
            self.read += len(prints)

        def note(page: Page) -> None:
            self.found[page] = rows[-page.rows :]

        def again(page: Page) -> None:
            rows.extend(self.found[page])

        memo = Memo(list(self.found), again, note)
        return scan(table, self.options, take, memo), rows


def table(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes(end.join(["a,b", *lines]).encode() + end.encode())
    return path


CELL = st.sampled_from(["1", "2.5", "x", "", '"q,\n1,2\n"', '"open \n a,b\n"', "true", "ä"])
LINE = st.tuples(CELL, CELL).map(",".join) | st.sampled_from(["", "1", "1,2,3", "a,b", ",", ",,"])
LINES = st.lists(LINE, max_size=12)


@given(LINES, LINES, st.sampled_from(["\n", "\r\n"]), st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_changed_table_is_found_to_be_what_a_first_look_finds(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str], end: str, block_bytes: int, dice: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.csv"
    memory = Memory(path, block_bytes, skip_bad_rows=True, key=("a",))
    for lines in (old, [*new, *old, *new], dice.sample(old, len(old)), [*old, "3,4"]):
        table(path, lines, end)
        assert memory.look() == Memory(path, 1000, skip_bad_rows=True, key=("a",)).look()


@pytest.mark.parametrize("edit", ["top", "middle", "end", "cut"])
def test_only_what_was_edited_is_read_again(tmp_path: Path, edit: str) -> None:
    lines = [f"{n},some text" for n in range(5000)]
    memory = Memory(table(tmp_path / "data.csv", lines), 500)
    memory.scan()
    assert memory.read == 5000
    edited = {
        "top": ["new,1", *lines],
        "middle": [*lines[:2000], "new,1", *lines[2001:]],
        "end": [*lines, "new,1"],
        "cut": lines[3000:],
    }
    table(memory.path, edited[edit])
    memory.scan()
    assert memory.read < 150


def test_a_last_line_that_has_grown_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n3,4\n5,6")
    memory = Memory(path, 4)
    memory.scan()
    path.write_text("a,b\n1,2\n3,4\n5,67\n")
    assert memory.scan() == Memory(path, 1000).scan()


def test_a_known_page_within_a_quoted_cell_is_no_page(tmp_path: Path) -> None:
    memory = Memory(table(tmp_path / "data.csv", ["1,2", "3,4", "5,6", "7,8"]), 4)
    memory.scan()
    table(memory.path, ["1,2", '9,"', "3,4", "5,6", '"', "7,8"])
    assert memory.scan() == Memory(memory.path, 1000).scan()
    assert memory.scan()[0].rows == 3


def test_pages_are_only_made_of_plain_utf_8(tmp_path: Path) -> None:
    text = "a,b\n" + "1,2\n" * 2000
    for name, content in {"a.csv.gz": gzip.compress(text.encode()), "b.csv": text.encode("utf-16")}.items():
        path = tmp_path / name
        path.write_bytes(content)
        memory = Memory(path)
        memory.scan()
        assert not memory.found
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    memory.scan()
    assert memory.found
    assert memory.scan() == Memory(path, 1000).scan()
