"""The command line itself: help, versions, completion, misspelt words, and how to begin."""

import csv
import re
import subprocess
import tomllib

import pytest
from support import COMMAND, batchrun, environment, numbered, records, write_table

from batchrun.options.table import OPTIONS

COMMANDS = ("process", "ctl", "init", "status", "errors", "show", "report", "verify", "export")


def test_the_help_groups_the_commands_by_purpose():
    shown = batchrun("--help").stdout
    places = [shown.index(title) for title in ("Run a job", "See what happened", "Take the results", "Examples")]
    assert places == sorted(places)
    assert all(re.search(rf"^\W*{command} ", shown, re.M) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", ["80", "50"])
def test_every_command_has_examples_of_itself_and_fits_the_terminal(command, columns):
    shown = batchrun(command, "--help", env={"COLUMNS": columns})
    assert shown.returncode == 0
    assert max(map(len, shown.stdout.splitlines())) <= int(columns)
    examples = shown.stdout.partition("Examples")[2]
    assert f"batchrun {command}" in examples


def test_help_without_unicode_or_colour_has_neither():
    shown = batchrun("status", "--help", env={"PYTHONIOENCODING": "ascii", "NO_COLOR": "1", "FORCE_COLOR": "1"})
    assert shown.stdout.isascii()
    assert "\x1b[3" not in shown.stdout


def test_the_version_comes_with_those_of_what_it_stands_on():
    first, *rest = batchrun("--version").stdout.splitlines()
    assert re.fullmatch(r"batchrun \d+\.\d+\.\d+\S*", first)
    text = "\n".join(rest)
    for name in ("python", "sqlite", "pandas", "pyarrow", "loky", "orjson", "rich", "typer"):
        assert re.search(rf"\b{name} \d+\.\d+", text), name
    for name in ("openai", "distributed", "openpyxl"):
        assert re.search(rf"\b{name} (\d+\.\d+|not installed)", text), name


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["proces", "data.csv"], "process"),
        (["process", "data.csv", "--job", "3"], "--jobs"),
        (["errors", "data.csv", "--ful"], "--full"),
        (["process", "data.csv", "--key", "texd"], "text"),
        (["process", "data.csv", "--columns", "ID"], "id"),
        (["process", "data.csv", "--dtype", "txt=str"], "text"),
        (["process", "data.csv", "--dtype", "text=string"], "str"),
        (["process", "data.csv", "--retry", "faild"], "failed"),
        (["process", "data.csv", "--task", "tasks.py:doubel"], "double"),
        (["process", "data.csv", "--task", "task.py:double"], "tasks.py"),
        (["process", "data.csv", "--task", "repare"], "repair"),
        (["process", "dta.csv"], "data.csv"),
        (["status", "dta.csv"], "data.csv"),
    ],
)
def test_a_misspelt_word_is_answered_with_what_may_have_been_meant(folder, words, meant):
    numbered(folder / "data.csv", 2)
    done = batchrun(*words, cwd=folder)
    assert done.returncode == 2
    assert re.search(rf"(did you mean|possible options)[^.\n]*{re.escape(meant)}", done.stderr, re.I), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--key", "colum_120"], "Did you mean 'column_120'"),
        (["--columns", "nothing like it"], "The columns are: column_"),
        (["--prompt", "What is {colum_120}?", "--model", "any"], "Did you mean 'column_120'"),
        (["--command", "echo {colum_120}"], "Did you mean 'column_120'"),
    ],
)
@pytest.mark.parametrize("ending", ["", " of a table that has far too long names for its columns" * 3])
def test_what_may_have_been_meant_comes_first_and_few_of_many_columns_are_listed(folder, words, meant, ending):
    columns = [f"column_{n}" for n in range(130)] + [f"column_{n}{ending}" for n in range(130, 300)]
    if ending:
        columns.reverse()
    (folder / "data.csv").write_text(",".join(columns) + "\n" + ",".join(["1"] * 300) + "\n")
    done = batchrun("process", "data.csv", *words, cwd=folder)
    assert done.returncode == 2
    hint = done.stderr.partition("→ ")[2]
    assert hint.startswith(meant)
    assert len(hint) < 500
    listed, more = re.search(r"The columns are: (.+) and (\d+) more", hint).groups()
    assert 1 <= len(listed.split(", ")) <= 12
    assert len(listed.split(", ")) + int(more) == 300


def test_a_long_list_of_options_or_functions_is_cut_off_behind_what_may_have_been_meant(folder):
    numbered(folder / "data.csv", 1)
    (folder / "batchrun.toml").write_text("jbs = 3")
    told = batchrun("process", "data.csv", cwd=folder).stderr
    assert re.search(r"→ Did you mean 'jobs'.*\? The options are: \S+.* and \d+ more\.$", told.strip())
    (folder / "batchrun.toml").unlink()
    (folder / "many.py").write_text("".join(f"def f{n}(row): ...\n" for n in range(50)))
    told = batchrun("process", "data.csv", "--task", "many.py:zzz", cwd=folder).stderr
    assert "The functions are: f0, f1, " in told
    assert "and 38 more" in told


def test_a_variable_of_the_environment_that_is_no_setting_is_said_with_what_may_have_been_meant(folder):
    numbered(folder / "data.csv", 2)
    env = {"BATCHRUN_JOB": "5", "BATCHRUN_ZZZ": "1", "BATCHRUN_JOBS": "1", "BATCHRUN_DEBUG": "1", "BATCHRUN_KEY": ""}
    for words in (["process", "data.csv", "-t", "repair"], ["status", "data.csv"], ["verify", "data.csv"]):
        told = batchrun(*words, cwd=folder, env=env)
        assert told.returncode == 0, told.stderr
        notes = [line for line in told.stderr.splitlines() if "BATCHRUN_" in line]
        assert notes[0] == "note: BATCHRUN_JOB is not a batchrun setting: did you mean BATCHRUN_JOBS?"
        assert notes[1].startswith("note: BATCHRUN_ZZZ is not a batchrun setting: 'batchrun process --help' ")
        assert len(notes) == 2
    quiet = batchrun("process", "data.csv", "-t", "repair", "--quiet", cwd=folder, env=env)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_a_misspelt_variable_is_also_said_where_its_lack_ends_the_command(folder):
    numbered(folder / "data.csv", 2)
    told = batchrun("process", "data.csv", "--prompt", "What is {id}?", cwd=folder, env={"BATCHRUN_MODLE": "any"})
    assert told.returncode == 2
    assert "did you mean BATCHRUN_MODEL?" in told.stderr


@pytest.mark.parametrize(
    ("header", "sep", "doubtful"),
    [("id,text", ";", True), ("id;text", "tab", True), ("id|text", ",", True), ("id", ",", False),
     ('"id,text"', ",", False), ("id text", ";", False), ("id,text;more", ";", False)],
)  # fmt: skip
def test_a_table_of_one_column_that_looks_like_several_is_said(folder, header, sep, doubtful):
    (folder / "data.csv").write_text(f"{header}\n" + header.replace("id", "1") + "\n")
    told = batchrun("process", "data.csv", "-t", "repair", "--sep", sep, cwd=folder)
    assert told.returncode == 0, told.stderr
    note = f"note: the only column is named {header!r}: is the separator right? (--sep)"
    assert (note in told.stderr.splitlines()) == doubtful
    assert ("is the separator right" in told.stderr) == doubtful


def test_a_column_name_with_a_comma_is_not_listed_as_if_it_were_two(folder):
    numbered(folder / "data.csv", 2)
    told = batchrun("process", "data.csv", "-t", "repair", "--sep", ";", "--key", "id", cwd=folder)
    assert told.returncode == 2
    assert "The columns are: 'id,text'." in told.stderr


def completed(*words):
    """What bash would be offered behind these words."""
    line = " ".join(["batchrun", *words])
    env = {"_BATCHRUN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    code = "import sys; sys.argv[0] = 'batchrun'; from batchrun.cli.app import app; app(prog_name='batchrun')"
    done = subprocess.run([COMMAND[0], "-c", code], env=environment(env), capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


def test_commands_and_options_are_completed():
    assert set(COMMANDS) <= completed("")
    assert completed("stat") == {"status"}
    assert {"--retries", "--retry"} <= completed("process", "data.csv", "--retr")
    assert completed("ctl", "data.csv", "--pa") == {"--pause"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_have_a_completion_to_install(shell):
    # Otherwise typer looks for the shell among this process's ancestors, where a test may have none.
    shown = batchrun("--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert shown.returncode == 0
    assert "complet" in shown.stdout


def test_what_init_writes_works_at_once_and_replaces_nothing(tmp_path):
    begun = batchrun("init", cwd=tmp_path)
    assert begun.returncode == 0
    assert begun.stdout.splitlines()[-1] == "next: batchrun process"
    ran = batchrun("process", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    rows = list(csv.DictReader((tmp_path / "example.results.csv").read_text().splitlines()))
    assert [row["batchrun_status"] for row in rows] == ["done", "skipped", "done"]
    assert (rows[2]["total"], rows[2]["label"]) == ("15.0", "Quince")
    for task in ("wait", "lookup"):
        assert batchrun("process", "example.csv", "-t", f"tasks.py:{task}", cwd=tmp_path).returncode == 0
    (tmp_path / "tasks.py").write_text("mine")
    again = batchrun("init", cwd=tmp_path)
    assert (again.returncode, again.stdout.count("left alone")) == (0, 3)
    assert again.stdout.splitlines()[-1] == "next: name a function of tasks.py in batchrun.toml"
    assert (tmp_path / "tasks.py").read_text() == "mine"


def test_init_beside_a_task_file_of_ones_own_names_no_function_that_it_lacks(tmp_path):
    (tmp_path / "tasks.py").write_text("def mine(row):\n    return {'mine': True}\n")
    begun = batchrun("init", cwd=tmp_path)
    assert begun.returncode == 0
    assert "batchrun.toml" in begun.stdout.splitlines()[-1]
    assert "task" not in tomllib.loads((tmp_path / "batchrun.toml").read_text())
    assert batchrun("process", "example.csv", "-t", "tasks.py:mine", cwd=tmp_path).returncode == 0


def test_the_table_may_be_named_in_the_configuration_for_every_command_that_takes_one(tmp_path):
    assert batchrun("init", cwd=tmp_path).returncode == 0
    assert batchrun("process", cwd=tmp_path).returncode == 0
    below = tmp_path / "below"
    below.mkdir()
    for command in (["errors"], ["show", "3"], ["verify"], ["report"], ["export", "-o", "-"]):
        named = batchrun(*command[:1], "example.csv", *command[1:], cwd=tmp_path)
        for folder in (tmp_path, below):  # the path is meant from the configuration's folder
            short = batchrun(*command, cwd=folder)
            assert (short.returncode, short.stdout) == (0, named.stdout), short.stderr
    assert "no run is in progress for example.csv" in batchrun("ctl", cwd=tmp_path).stderr
    assert "row 3: done" in batchrun("show", "3", cwd=tmp_path).stdout


def test_a_table_on_the_command_line_beats_the_environment_and_that_beats_the_file(tmp_path):
    (tmp_path / "batchrun.toml").write_text('input = "file.csv"\n')
    for name in ("line", "environment", "file"):
        (tmp_path / f"{name}.csv").write_text("id\n1\n")
    env = {"BATCHRUN_INPUT": "environment.csv"}
    for words, variables, table in ((["line.csv"], env, "line"), ([], env, "environment"), ([], None, "file")):
        ran = batchrun("process", *words, "-t", "repair", cwd=tmp_path, env=variables)
        assert (ran.returncode, ran.stderr.partition(",")[0]) == (0, f"{table}.csv")


@pytest.mark.parametrize("command", ["process", "ctl", "errors", "show 3", "verify", "report", "export -o -"])
def test_a_command_without_any_table_is_a_usage_error_that_says_where_to_name_one(command, tmp_path):
    ran = batchrun(*command.split(), cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Missing argument 'INPUT'" in ran.stderr
    assert 'input = "data.csv" into batchrun.toml' in ran.stderr


def test_show_without_a_row_is_a_usage_error(tmp_path):
    for words in (["data.csv"], []):
        ran = batchrun("show", *words, cwd=tmp_path)
        assert ran.returncode == 2
        assert "Missing argument 'ROW'" in ran.stderr


def test_what_failed_in_a_table_of_the_configuration_is_asked_for_without_a_full_path(tmp_path):
    (tmp_path / "tasks.py").write_text("def fail(row):\n    raise ValueError('no')\n")
    (tmp_path / "data.csv").write_text("id\n1\n")
    (tmp_path / "batchrun.toml").write_text('input = "data.csv"\ntask = "tasks.py:fail"\nretries = 0\n')
    assert "see why: batchrun errors data.csv\n" in batchrun("process", cwd=tmp_path).stderr.replace("python -m ", "")
    assert "show data.csv 1" in batchrun("errors", cwd=tmp_path).stdout


def test_every_line_of_the_configuration_that_init_writes_is_valid(tmp_path):
    batchrun("init", cwd=tmp_path)
    text = (tmp_path / "batchrun.toml").read_text()
    options = tomllib.loads(re.sub(r"^# (?=[\w-]+ +=)", "", text, flags=re.M))
    assert len(options) > 5
    for name, value in options.items():
        OPTIONS[name.replace("-", "_")].read(value)


def test_an_output_on_the_command_line_beats_no_output_in_the_file_and_the_other_way_round(folder):
    numbered(folder / "data.csv", 2)
    command = ("process", "data.csv", "--task", "tasks.py:double")
    (folder / "batchrun.toml").write_text("no-output = true\n")
    assert batchrun(*command, cwd=folder).returncode == 0
    assert not list(folder.glob("*.results.csv"))
    ran = batchrun(*command, "-o", "out.csv", cwd=folder)
    assert (ran.returncode, (folder / "out.csv").exists()) == (0, True), ran.stderr
    (folder / "batchrun.toml").write_text('output = "never.csv"\n')
    ran = batchrun(*command, "--no-output", cwd=folder)
    assert (ran.returncode, (folder / "never.csv").exists()) == (0, False), ran.stderr
    assert batchrun(*command, "--no-output", "-o", "out.csv", cwd=folder).returncode == 2


@pytest.mark.parametrize("name", [" b", "x,y", "b "])
def test_a_list_in_the_configuration_names_columns_as_they_are(folder, name):
    write_table(folder / "data.csv", [(1, "a"), (2, "b")], header=("id", name))
    (folder / "batchrun.toml").write_text(f'key = ["{name}"]\n')
    command = ("process", "data.csv", "--task", "tasks.py:echo", "--json")
    ran = batchrun(*command, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    write_table(folder / "data.csv", [(3, "b"), (4, "a")], header=("id", name))
    assert records(batchrun(*command, cwd=folder).stdout)[1]["ran"] == 0


def test_a_list_in_python_names_columns_as_they_are_and_a_text_is_taken_apart():
    assert OPTIONS["key"].read([" b", "x,y"]) == (" b", "x,y")
    assert OPTIONS["key"].read(" b, c") == ("b", "c")


@pytest.mark.parametrize(
    ("content", "exit_code", "said"),
    [("[tool]\nbatchrun = 3\n", 2, "tool.batchrun is 3"), ("tool = 3\n", 0, ""), ("[tool]\nbatchrun = [1]\n", 2, "")],
)
def test_a_project_file_that_holds_something_odd_is_no_bug_of_ours(folder, content, exit_code, said):
    numbered(folder / "data.csv", 1)
    (folder / "pyproject.toml").write_text(content)
    ran = batchrun("process", "data.csv", "-t", "repair", cwd=folder)
    assert ran.returncode == exit_code, ran.stderr
    assert said in ran.stderr
