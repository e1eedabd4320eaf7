"""The table of options: what follows from an entry, and that an entry is right in itself."""

import re

import pytest
from support import batchrun

from batchrun.errors import UsageError
from batchrun.options import parsing, table
from batchrun.options.parsing import names, yes_no
from batchrun.options.settings import Settings
from batchrun.options.sources import resolve
from batchrun.options.table import OPTIONS
from batchrun.options.variables import variable

USUAL = Settings()
BESIDE = {
    table.PROMPT: {"prompt": "say {a}", "model": "m"},
    table.PROGRAM: {"command": "true {a}"},
    "max_cost": {"price_in": 1},
    "redo": {"limit": 1},
    "batch_frame": {"batch": 1},
    "cluster": {"engine": "dask"},
    "on_lost": {"engine": "dask"},
    "gpus_per_job": {"engine": "ray"},
    "resources": {"engine": "ray"},
}
"""What an option, or all those of a heading, need to mean something."""


def choices_of(option):
    """The words that an option knows, if it knows only some."""
    try:
        option.read("\0")
    except ValueError as error:
        if found := re.search(r" is not one of ([\w, ]+)", str(error)):
            return found[1].split(", ")
    return []


CHOICES = {name: words for name, option in OPTIONS.items() if (words := choices_of(option))}


def test_each_option_has_a_heading_but_for_the_input():
    assert [name for name, option in OPTIONS.items() if option.panel is None] == ["input"]


def test_no_two_options_are_called_alike():
    called = [name for option in OPTIONS.values() for name in (option.flag, option.short) if name]
    assert len(called) == len(set(called))


def test_switches_are_off_by_default():
    assert [name for name, option in OPTIONS.items() if option.read is yes_no and getattr(USUAL, name)] == []


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_the_help_names_the_words_that_an_option_knows(name):
    assert [word for word in CHOICES[name] if not re.search(rf"\b{word}\b", OPTIONS[name].help)] == []


def test_the_defaults_that_the_help_tells_are_those_of_the_settings():
    told = {name: option.usual.partition(";")[0] for name, option in OPTIONS.items()}
    for name in ("api_key_env", "engine", "on_lost", "retries", "retry", "on_change", "if_running", "progress"):
        assert told[name] == str(getattr(USUAL, name)), name


def test_the_help_of_process_has_each_option_below_its_heading_in_the_order_of_the_table():
    shown = batchrun("process", "--help", env={"COLUMNS": "200", "TERM": "dumb"}).stdout.partition("Examples")[0]
    heading, found = "", []
    for line in shown.splitlines():
        if title := re.match(r"╭─ (.*?) ─", line):
            heading = title[1]
        elif flag := re.match(r"│ +(--[a-z-]+)", line):
            found.append((heading, flag[1]))
    table_order = [(option.panel, option.flag) for option in OPTIONS.values() if option.panel]
    assert [pair for pair in found if pair[1] != "--help"] == table_order


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"config"}))
def test_every_option_is_heard_from_the_environment_and_the_configuration_as_from_the_caller(name, tmp_path):
    text = a_value_of(OPTIONS[name])
    heard = alone(name, {name: text}, {}, tmp_path)
    assert heard != getattr(USUAL, name)
    assert alone(name, {}, {variable(name): text}, tmp_path) == heard
    (tmp_path / "batchrun.toml").write_text(f"{name.replace('_', '-')} = '{text}'\n")
    assert alone(name, {}, {}, tmp_path) == heard


def a_value_of(option):
    """A text that an option reads as something else than its default; a path in it is a full one."""
    if option.name in CHOICES:
        return next(word for word in reversed(CHOICES[option.name]) if word != getattr(USUAL, option.name))
    pairs = {"args": "a=1", "param": "a=1", "resources": "a=1", "dtype": "a=str"}
    paths = {"task": "/tasks.py:f", "input": "/a.csv", "output": "/a.csv", "dir": "/a", "schema": "/a.json"}
    sizes = {"worker_memory": "300M", "min_free_memory": "300M"}
    return {**pairs, **paths, **sizes, "retries": "7", "threads": "7", "order": "random:7"}.get(option.name, "1")


def alone(name, given, environment, folder):
    """What is heard of one option."""
    beside = {**BESIDE.get(OPTIONS[name].panel, {}), **BESIDE.get(name, {})}
    beside.pop(name, None)
    return getattr(resolve({**beside, **given}, environment, folder), name)


def test_a_named_file_is_the_one_whose_options_count_and_names_no_other(tmp_path):
    (tmp_path / "batchrun.toml").write_text("retries = 5\n")
    (tmp_path / "other.toml").write_text("retries = 6\n")
    assert resolve({}, {}, tmp_path).config == tmp_path / "batchrun.toml"
    for given, environment in (
        ({"config": tmp_path / "other.toml"}, {}),
        ({}, {"BATCHRUN_CONFIG": f"{tmp_path}/other.toml"}),
    ):
        settings = resolve(given, environment, tmp_path)
        assert (settings.retries, settings.config) == (6, tmp_path / "other.toml")
    (tmp_path / "batchrun.toml").write_text("config = 'other.toml'\n")
    with pytest.raises(UsageError, match="no option 'config'"):
        resolve({}, {}, tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        resolve({"config": tmp_path / "missing.toml"}, {}, tmp_path)


@pytest.mark.parametrize("value", ["id,id", "id, id", ["id", "id"]])
def test_a_column_that_is_named_twice_is_one_column(value):
    assert names(value) == ("id",)


@pytest.mark.parametrize(
    ("text", "megabytes"), [("300M", 300), ("300 MB", 300), ("1.5GiB", 1536), ("2g", 2048), ("2048k", 2), (1 << 21, 2)]
)
def test_a_size_is_read_as_people_write_it(text, megabytes):
    assert parsing.size(text) == megabytes << 20


@pytest.mark.parametrize("text", ["0", "-1", "300", "300x", "", "M", "1e9M", "12K"])
def test_what_is_not_a_size_or_could_only_be_a_slip_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a size|less than a megabyte"):
        parsing.size(text)
