"""Files that merely bear the name of a table are named, and what to type then works and harms nothing."""

import bz2
import gzip
import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from tables import written

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        open_table(path, ReadOptions())
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value


def zip_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "a,b\n1,2\n")
    return buffer.getvalue()


def tar_of(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        member = tarfile.TarInfo("data.csv")
        member.size = 8
        archive.addfile(member, io.BytesIO(b"a,b\n1,2\n"))
    return buffer.getvalue()


PAGES = {
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>": "HTML page ('Sign in')",
    "\ufeff\r\n  <!doctype HTML PUBLIC>\n<title>\n Log in &amp; go on </title>": "HTML page ('Log in & go on')",
    "<!-- moved --><html lang=en><body><h1>404 Not Found</h1>": "HTML page ('404 Not Found')",
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n": "HTML page ('502 Bad Gateway')",
    '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>': "AccessDenied",
    "<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>": "XML document ('NoSuchKey: The",
    '<rss version="2.0"><channel></channel></rss>': "XML document",
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n": "Git LFS pointer",
    "/annex/objects/SHA256E-s5--2cf2.csv\n": "git-annex pointer",
    "404: Not Found": "server's error ('404: Not Found')",
    "Access Denied\n": "server's error",
    '{"message": "Not Found", "documentation_url": "https://example.org"}': "one JSON object",
    '{\n  "error": {\n    "code": 403\n  }\n}\n': "one JSON object",
    "-- MySQL dump 10.13\n--\nINSERT INTO a VALUES (1);\n": "database dump",
}


@pytest.mark.parametrize(("content", "said"), PAGES.items())
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_page_that_came_in_place_of_the_table_is_named(tmp_path: Path, content: str, said: str, pack) -> None:
    assert said in str(refused(written(tmp_path, pack(content.encode()))))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tar_of("w"), "a tar archive"),
        (tar_of("w:gz"), "a tar archive"),
        (zip_of("data.csv"), "zip archive"),
        (zip_of("[Content_Types].xml", "xl/workbook.xml"), "cannot be read as a workbook"),
        (zip_of("[Content_Types].xml", "word/document.xml"), "a Word document"),
        (gzip.compress(zip_of("[Content_Types].xml", "xl/workbook.xml")), "an Excel workbook"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (bz2.compress(b"SQLite format 3\0" + bytes(600)), "an SQLite database"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(9), "an image"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(9), "a 7z archive"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in str(refused(written(tmp_path, content)))


@pytest.mark.parametrize(
    "content",
    [
        "<TICKER>,<PER>,<DATE>\nA,D,1\n",
        "<DATE>\n2024-01-01\n",
        "<b>,c\n1,2\n",
        "version,https\n1,2\n",
        "ORC,ELF\n1,2\n",
        "404,a\n1,2\n",
        "Not Found,n\n1,2\n",
        "status\nok\n",
        "PK,RDX\n1,2\n",
        "GIF,html\n<html>,2\n",
        '{"message": "a"}\n{"message": "b"}\n',
        '{"id": 1}\n',
    ],
)
def test_a_table_that_looks_a_little_like_a_page_is_read(tmp_path: Path, content: str) -> None:
    open_table(written(tmp_path, content), ReadOptions())


ROWS = [{"id": 1, "t": "ä"}, {"id": 2, "t": "b"}]
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")


@needs_jq
@pytest.mark.parametrize("name", ["data.jsonl", "my data's.json", "-n.json", "data.json.gz", "x.csv", ".json"])
@pytest.mark.parametrize("made", ["array", "lines", "wrapped", "utf-16"])
def test_the_way_to_json_lines_works_as_it_stands_and_leaves_the_file_alone(
    tmp_path: Path, name: str, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    value = {"total": 2, "my rows": ROWS} if made == "wrapped" else ROWS
    text = json.dumps(value, indent=None if made == "array" else 1, ensure_ascii=False)
    data = text.encode("utf-16" if made == "utf-16" else "utf-8")
    data = gzip.compress(data) if name.endswith(".gz") else data
    path = Path(written(tmp_path, data, name).name)
    command = refused(path).hint.partition("Convert it to JSON Lines: ")[2]
    before = set(tmp_path.iterdir())
    subprocess.run(["sh", "-c", command], check=True)
    (new,) = set(tmp_path.iterdir()) - before
    assert [json.loads(line) for line in new.read_text().splitlines()] == ROWS
    assert path.read_bytes() == data
    again = refused(path).hint
    assert new.name not in again.rpartition(">")[2]


def test_a_parquet_file_compressed_as_a_whole_is_unpacked_by_the_remedy(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b"PAR1" + bytes(40)), "data.parquet.gz")
    command = refused(path).hint.partition("Unpack it: ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert (tmp_path / "data.parquet").read_bytes().startswith(b"PAR1")
