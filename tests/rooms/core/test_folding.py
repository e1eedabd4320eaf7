"""Messages that differ only in what varies from row to row read alike; others do not."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from batchrun.core.folding import fold
from batchrun.run.alike import Alike

numbers = some.one_of(
    some.integers(), some.floats(allow_nan=False, allow_infinity=False), some.integers(0, 10**9).map("{:,}".format)
)
texts = some.text(some.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40)
ids = some.one_of(some.uuids().map(str), some.binary(min_size=8, max_size=20).map(bytes.hex)).filter(
    lambda text: any(map(str.isdigit, text))  # else it could be a word
)
words = some.text("abcdefghij", min_size=1, max_size=12)


@given(numbers, numbers)
def test_numbers_do_not_tell_messages_apart(one, other):
    assert fold(f"waited {one} s for item_{abs(hash(one))}") == fold(f"waited {other} s for item_{abs(hash(other))}")


@given(texts, texts)
def test_quoted_text_does_not(one, other):
    assert fold(f"no column {one!r} here") == fold(f"no column {other!r} here") == "no column '…' here"


@given(ids, ids)
def test_ids_do_not(one, other):
    for form in ("request {} was refused", "req_{}: refused", "<{}>"):
        assert fold(form.format(one)) == fold(form.format(other)) == form.format("N")


@given(some.lists(words, min_size=1, max_size=4), some.lists(words, min_size=1, max_size=4))
def test_urls_and_paths_do_not(one, other):
    for form in ("https://{}.example/a?b=1#c", "/data/{}/x.csv", "~/in/{}"):
        assert fold(f"see {form.format('/'.join(one))}, then") == fold(f"see {form.format('/'.join(other))}, then")


@given(some.text(max_size=200))
def test_folding_twice_is_folding_once(message):
    assert fold(fold(message)) == fold(message)


@given(some.text("abc xyz.,;:!?()", max_size=80))
def test_words_stay_as_they_are(message):
    assert fold(message) == message


@pytest.mark.parametrize(
    ("message", "folded"),
    [
        ("can't find 'x', and isn't likely to", "can't find '…', and isn't likely to"),
        ("<Row object at 0x7f12ab34>", "<Row object at N>"),
        ("b'abc' is not str", "'…' is not str"),
        ("req_011CQabc9x2yz failed", "req_N failed"),
        ("HTTP/1.1 429 from 10.0.0.1:8080 after 1.5e-7 s", "HTTP/N N from N after N s"),
        ("since 2026-03-01T12:30:00.5Z, not 2026-03-01", "since TIME, not TIME"),
        ("utf-8 and/or row_17", "utf-N and/or row_N"),
    ],
)
def test_messages_as_services_and_python_write_them(message, folded):
    assert fold(message) == folded


@pytest.mark.parametrize("part", ["'", '"', "a1b", "/a", "1a", "x://", "1-", "0x", "-", "\\'", "1.", "a@b."])
def test_no_message_takes_long(part):
    began = time.process_time()
    fold(part * 100_000)
    assert time.process_time() - began < 5


def test_errors_that_are_alike_are_counted_together_with_what_varies_folded():
    seen = Alike()
    for row in range(5):
        seen.saw("exception", f"no luck with {row}")
    seen.saw("timeout", "ended after 2 s")
    assert seen.most_common(3) == [("exception", "no luck with N", 5), ("timeout", "ended after 2 s", 1)]
    assert (seen.count("exception", "no luck with 99"), seen.count("crash", "no luck with 1")) == (5, 0)


def test_errors_that_never_repeat_do_not_fill_the_memory():
    seen = Alike()
    for letters in itertools.product("abcdefghij", repeat=4):
        seen.saw("exception", "".join(letters))
    seen.saw("exception", "aaaa")
    assert len(seen.most_common(10**6)) == 1000
    assert seen.most_common(1) == [("exception", "aaaa", 2)]


@pytest.mark.parametrize(
    "quoted",
    ["'{}'", '"{}"', "`{}`", "'it is {}'s'", "'{}\nand more'", "'" + "long " * 500 + "{}'", '"' + "é" * 3000 + '{}"'],
)
def test_messages_that_differ_only_in_what_they_quote_are_alike_whatever_it_is(quoted):
    folded = {fold(f"no match for {quoted.format(name)} in the list") for name in ("Aachen", "Bonn", "O'Neil", "x y")}
    assert len(folded) == 1
