"""Which options go together, and which source wins where two do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import UsageError
from batchrun.options.combinations import COMMAND_LINE, ENVIRONMENT, FILE, RIVALS, OptionValue, combined
from batchrun.options.table import OPTIONS

SOURCES = {COMMAND_LINE: "the command line", ENVIRONMENT: "the environment", FILE: "batchrun.toml"}


def by(strength, **values):
    """What one source says."""
    return {name: OptionValue(value, strength, SOURCES[strength]) for name, value in values.items()}


@given(st.data())
def test_of_options_that_exclude_each_other_the_stronger_sources_counts(data):
    rivals = data.draw(st.sampled_from(RIVALS))
    strengths = data.draw(st.dictionaries(st.sampled_from(rivals), st.sampled_from([*SOURCES]), min_size=1))
    said = {} if "task" in rivals else by(COMMAND_LINE, prompt="say {a}")
    for name, strength in strengths.items():
        said |= by(strength, **{name: "x"})
    strongest = [name for name, strength in strengths.items() if strength == min(strengths.values())]
    if len(strongest) > 1:
        with pytest.raises(UsageError, match="cannot be combined"):
            combined(said)
    else:
        assert [name for name in rivals if name in combined(said)] == strongest


@pytest.mark.parametrize("form", ["fields", "schema"])
@pytest.mark.parametrize("reply", ["text", "auto"])
@pytest.mark.parametrize("source", SOURCES)
def test_replies_that_need_not_be_json_do_not_go_with_fields_that_they_must_have(form, reply, source):
    said = by(source, prompt="say {a}", reply=reply, **{form: "same bool"})
    with pytest.raises(UsageError, match=rf"--{form} asks for JSON, and --reply {reply} .*{SOURCES[source]}"):
        combined(said)
    assert combined({**said, **by(source, reply="json")})["reply"] == "json"


def test_what_a_weaker_source_says_of_replies_gives_way_to_fields():
    said = by(COMMAND_LINE, prompt="say {a}", fields="same bool") | by(FILE, reply="text")
    assert combined(said) == {"prompt": "say {a}", "fields": "same bool"}
    with pytest.raises(UsageError, match="--fields asks for JSON"):
        combined(by(FILE, prompt="say {a}", fields="same bool") | by(COMMAND_LINE, reply="text"))


def test_fields_that_no_prompt_asks_for_leave_replies_alone():
    said = by(FILE, fields="same bool", reply="text") | by(COMMAND_LINE, task="tasks.py:f")
    assert combined(said)["reply"] == "text"


@pytest.mark.parametrize("host", ["prompt", "command"])
def test_what_belongs_to_a_prompt_or_a_command_is_refused_without_it(host):
    guests = [name for name, option in OPTIONS.items() if option.panel == OPTIONS[host].panel and name != host]
    assert len(guests) > 1
    for name in guests:
        with pytest.raises(UsageError, match=f"{OPTIONS[name].flag} belongs to --{host}, which is not given"):
            combined(by(COMMAND_LINE, **{name: "x"}))
        assert combined(by(FILE, **{name: "x"})) == {name: "x"}  # said for other runs, which have one
