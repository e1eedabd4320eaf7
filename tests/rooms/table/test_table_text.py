"""Encodings are recognised by their mark or said by the user, never guessed."""

import codecs
from pathlib import Path

import pytest
from tables import rows_of

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions

TABLE = "stadt,größe\nKöln,1\n北京,2\n"
ROWS = [("Köln", "1"), ("北京", "2")]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
@pytest.mark.parametrize("say", [True, False])
def test_unicode_is_recognised_by_its_mark_which_is_no_text(
    tmp_path: Path, mark: bytes, encoding: str, say: bool
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(mark + TABLE.encode(encoding))
    assert open_table(path, ReadOptions(encoding=encoding if say else None)).columns == ("stadt", "größe")
    assert rows_of(path, encoding=encoding if say else None) == ROWS


@pytest.mark.parametrize("encoding", ["gb18030", "GBK", "utf-16-le", "utf_8"])
def test_an_encoding_can_be_said(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("城市,n\n北京,2\n".encode(encoding))
    assert rows_of(path, encoding=encoding) == [("北京", "2")]


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "base64", ""])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a\n1\n")
    with pytest.raises(InputError, match="no such text encoding"):
        rows_of(path, encoding=encoding)


@pytest.mark.parametrize("rows_before", [0, 10, 300_000])
def test_bytes_that_are_no_text_are_named_with_what_that_line_might_be(tmp_path: Path, rows_before: int) -> None:
    path = tmp_path / "data.csv"
    start = b"name,city\n" + b"Ann,\xc3\xa4\n" * rows_before + b"Li,"
    path.write_bytes(start + "北京市\n".encode("gb18030"))
    with pytest.raises(InputError, match=rf"line {rows_before + 2}: byte {len(start):,} \(0xb1\)") as caught:
        rows_of(path)
    assert "--encoding" in caught.value.hint
    assert "gb18030: 'Li,北京市'" in caught.value.hint
    assert "cp1252: 'Li,±±¾©ÊÐ'" in caught.value.hint
    assert rows_of(path, encoding="gb18030")[-1][1] == "北京市"


def test_a_character_cut_off_at_the_end_is_found(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("a\nx\n京".encode()[:-1])
    with pytest.raises(InputError, match=r"line 3: byte 4 \(0xe4\) is not utf-8"):
        rows_of(path)


def test_a_wrong_encoding_that_was_said_gets_the_others_as_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("a\nKöln\n".encode())
    with pytest.raises(InputError, match=r"is not ascii") as caught:
        rows_of(path, encoding="ascii")
    assert "utf-8: 'Köln'" in caught.value.hint


def test_bytes_that_no_common_encoding_reads_say_so(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"a\n\x81\xff\x9d\n")
    with pytest.raises(InputError) as caught:
        rows_of(path)
    assert "None of the common encodings" in caught.value.hint


@pytest.mark.parametrize(("encoding", "mark"), [("utf-16-le", codecs.BOM_UTF16_LE), ("utf-8", b"")])
def test_a_nul_character_is_found_in_any_encoding(tmp_path: Path, encoding: str, mark: bytes) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(mark + "a,b\n1,2\n3,\0\n".encode(encoding))
    with pytest.raises(InputError, match="line 3: contains a NUL byte"):
        rows_of(path)


def test_utf_16_without_its_mark_gets_the_option_as_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16-le"))
    with pytest.raises(InputError, match="line 1: contains a NUL byte") as caught:
        rows_of(path)
    assert "--encoding utf-16-le" in caught.value.hint
