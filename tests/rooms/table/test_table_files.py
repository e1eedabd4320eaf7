"""Files: compressed or not, there or not, whole or cut off, and still the same at the end."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tables import rows_of, scanned

from batchrun.errors import InputError
from batchrun.table.changes import digest_of
from batchrun.table.detect import open_table
from batchrun.table.files import unreadable
from batchrun.table.options import ReadOptions
from batchrun.table.scan import scan

TABLE = "a,b\n" + "".join(f"{row},text {row * 7919 % 1000}\n" for row in range(5000))
Compress = Callable[[bytes], bytes]
COMPRESS: list[tuple[str, Compress]] = [
    (".gz", gzip.compress),
    (".bz2", bz2.compress),
    (".xz", lzma.compress),
    (".zst", zstandard.compress),
]
each_compression = pytest.mark.parametrize(("ending", "compress"), COMPRESS, ids=[name for name, _ in COMPRESS])


@each_compression
def test_compressed_text_is_read_whatever_its_name(tmp_path: Path, ending: str, compress: Compress) -> None:
    for name in (f"data.csv{ending}", "data.csv"):
        (tmp_path / name).write_bytes(compress(TABLE.encode()))
        assert scanned(tmp_path / name).rows == 5000
    (tmp_path / f"data.tsv{ending}").write_bytes(compress(b"a\tb\n1,5\t2\n"))
    assert rows_of(tmp_path / f"data.tsv{ending}") == [("1,5", "2")]
    (tmp_path / f"data.jsonl{ending}").write_bytes(compress(b'{"a": 1}\n'))
    assert rows_of(tmp_path / f"data.jsonl{ending}")


@each_compression
@pytest.mark.parametrize("keep", [-1, -9, 0.5, 20])
def test_compressed_text_that_is_cut_off_is_refused_in_both_passes(
    tmp_path: Path, ending: str, compress: Compress, keep: float
) -> None:
    path = tmp_path / f"data.csv{ending}"
    whole = compress(TABLE.encode())
    path.write_bytes(whole)
    table = open_table(path, ReadOptions())
    path.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else int(keep)])
    for read in (lambda: scanned(path), lambda: list(table.chunks())):
        with pytest.raises(InputError, match="cut off or damaged"):
            read()


@each_compression
def test_compressed_text_that_is_damaged_is_refused(tmp_path: Path, ending: str, compress: Compress) -> None:
    path = tmp_path / f"data.csv{ending}"
    data = bytearray(compress(TABLE.encode()))
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(InputError):
        scanned(path)


@each_compression
def test_compressed_nothing_is_empty(tmp_path: Path, ending: str, compress: Compress) -> None:
    path = tmp_path / f"data.csv{ending}"
    path.write_bytes(compress(b""))
    with pytest.raises(InputError, match="is empty"):
        scanned(path)


@pytest.mark.parametrize(
    ("magic", "said"),
    [
        (b"PK\x03\x04", "zip archive or an Excel"),
        (b"\xd0\xcf\x11\xe0", "old Excel"),
        (b"ARROW1\0\0", "Arrow"),
        (b"Obj\x01", "Avro"),
    ],
)
def test_other_formats_are_named_with_what_to_do(tmp_path: Path, magic: bytes, said: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(magic + bytes(100))
    with pytest.raises(InputError, match=said) as caught:
        scanned(path)
    assert "CSV, Parquet, JSON Lines, Excel (.xlsx) or SQLite" in caught.value.hint


def test_a_missing_file_gets_the_close_names_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="does not exist") as caught:
        scanned(tmp_path / "custmers.csv")
    assert caught.value.hint == "Did you mean customers.csv?"


def test_where_no_name_is_close_the_folder_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        scanned(Path("data.csv"))
    assert caught.value.hint == f"Check the name, and the folder: {tmp_path}"


def test_a_missing_folder_is_said_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist") as caught:
        scanned(tmp_path / "nowhere" / "data.csv")
    assert "no folder" in caught.value.hint


def test_what_cannot_be_read_twice_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("-"), Path("/dev/null")):
        with pytest.raises(InputError, match="pipe or a device"):
            scanned(path)


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_a_file_by_the_number_of_a_descriptor_is_refused(tmp_path: Path, folder: str) -> None:
    """The number means another file next time, and checkpoint and results would go beside it."""
    (tmp_path / "data.csv").write_text(TABLE)
    with (tmp_path / "data.csv").open() as file, pytest.raises(InputError, match="pipe or a device"):
        scanned(Path(folder) / str(file.fileno()))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a\n1\n")
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        scanned(path)


def test_a_refusal_of_the_system_says_which_file_and_what_to_do() -> None:
    error = unreadable(Path("data.csv"), PermissionError(13, "Permission denied"))
    assert str(error) == "data.csv: permission denied"
    assert "chmod" in error.hint


def test_the_digest_is_that_of_the_scan_and_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(TABLE)
    digest = digest_of(path)
    assert scanned(path).digest == digest
    assert len(digest) == 32
    path.write_text(TABLE + "1,2\n")
    assert digest_of(path) != digest


def test_the_digest_of_a_folder_holds_names_and_bytes(tmp_path: Path) -> None:
    def digest(**files: bytes) -> str:
        for old in tmp_path.iterdir():
            old.unlink()
        for name, data in files.items():
            (tmp_path / f"{name}.parquet").write_bytes(data)
        return digest_of(tmp_path)

    found = [digest(a=b"xy", b=b"z"), digest(a=b"x", b=b"yz"), digest(a=b"xy", c=b"z"), digest(a=b"xyz")]
    assert len(set(found)) == 4
    assert digest(b=b"z", a=b"xy") == found[0]


@pytest.mark.parametrize("change", ["append", "replace", "cut", "remove"])
def test_a_file_that_changes_while_it_is_scanned_is_noticed(tmp_path: Path, change: str) -> None:
    path, options = tmp_path / "data.csv", ReadOptions()
    path.write_text(TABLE + "1,2\n" * 500_000)
    other = tmp_path / "other.csv"
    other.write_text(TABLE)

    def alter(*_: object) -> None:
        if change == "append":
            with open(path, "a") as file:
                file.write("1,2\n")
        elif change == "cut":
            os.truncate(path, 2_000_001)
        elif change == "replace" and other.exists():
            other.replace(path)
        elif change == "remove":
            path.unlink(missing_ok=True)

    with pytest.raises(InputError, match="changed while it was being read"):
        scan(open_table(path, options), options, alter)
