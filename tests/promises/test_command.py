"""`--command`: a program for each row. Cells are data, never code; nothing that a row started outlives it."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from functools import reduce
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import alive, batchrun, batchrun_ignoring_sigchld, database, kill, lines_of, settled, start, wait_for

from batchrun.errors import TaskError, UsageError
from batchrun.options.sources import resolve
from batchrun.task.command.arguments import arguments_of
from batchrun.task.command.program import Program
from batchrun.task.command.running import ProgramError, run, runner

NASTY = [
    "plain",
    "two words",
    "it's",
    'say "no"',
    "$(touch pwned) `touch pwned`",
    "; touch pwned #",
    "a\nb",
    "-rf",
    "*",
    "",
]
CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
ARGUMENTS = f"{shlex.quote(sys.executable)} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"


def table_of(folder: Path, names: list[str]) -> Path:
    path = folder / "data.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "name"], *([n, name] for n, name in enumerate(names, start=1))])
    return path


def results(table: Path) -> dict[int, object]:
    """What the programs wrote, which is JSON here whether batchrun reads it as such or keeps it as text."""
    return {
        row: json.loads(said) if isinstance(said, str) else said for row, (_, said) in settled(table, "command").items()
    }


def shown(table: Path, row: int) -> dict:
    return json.loads(batchrun("show", table, row, "--json").stdout)


def words(text: str, row: dict[str, object], *, shell: bool = False) -> list[str]:
    arguments = arguments_of(text, tuple(row), shell=shell)
    arguments.check()
    return arguments.of(row)


SHELLS = [name for name in ("dash", "bash", "busybox", "ksh", "mksh", "yash", "zsh") if shutil.which(name)]
"""What /bin/sh may be: those of them that are here."""


def by_shell(name: str, text: str, row: dict[str, object]) -> "subprocess.CompletedProcess[bytes]":
    """What a command does where /bin/sh is this shell; it runs nothing if the command is refused."""
    arguments = arguments_of(text, tuple(row), shell=True)
    arguments.check()
    _, *rest = arguments.of(row)
    variables = {name.encode(): value.encode() for name, value in arguments.variables(row).items()}
    # Under its own name: a shell that is called sh behaves as one.
    return subprocess.run(
        ["sh", *rest], executable=shutil.which(name), env={**os.environb, **variables}, capture_output=True, check=False
    )


@pytest.mark.parametrize("options", [(), ("--shell",)], ids=["without a shell", "with one"])
def test_every_cell_reaches_the_program_as_it_is(tmp_path, options):
    table = table_of(tmp_path, NASTY)
    command = ARGUMENTS + ' --id {id} {name} "x {name} y"'
    ended = batchrun("process", table, "--command", command, *options, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert results(table) == {n: ["--id", str(n), name, f"x {name} y"] for n, name in enumerate(NASTY, start=1)}
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", SHELLS)
@given(cell=CELLS)
@settings(max_examples=30)
def test_a_shell_never_reads_a_cell_as_code(shell, cell):
    script = (
        "printf '%s\\0' {name} \"<{name}>\" `printf '%s' {name} | wc -c` # {name}\n"
        "cat <<END\n{name} 'x\nEND\nprintf '<%s>' {name}"
    )
    said = by_shell(shell, script, {"name": cell}).stdout
    data = cell.encode()
    document = data + b" 'x\n<" + data + b">"
    assert said == b"\0".join([data, b"<" + data + b">", str(len(data)).encode(), document])


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("cell", NASTY)
@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        ("echo $(( 1 << 2 ))\nprintf '%s.' {name}", "4\n", "."),
        ("printf '<%s>' \"it's {name}, isn't it\"", "<it's ", ", isn't it>"),
        ("x={name}; printf '<%s>' \"$x\"", "<", ">"),
        ("f() { printf '<%s>' {name}; }; f other; set -- other", "<", ">"),
        ("set -u; printf '<%s>' {name}", "<", ">"),
        ("echo '((a)|b)' >&2; printf '<%s>' {name}", "<", ">"),
        ("printf '<%s>' \"${none:-{name}}\" ${none:+{name}}", "<", ">"),
        ("cat <<-END\n\tisn't {name}\n\tEND\nprintf '%s' \"isn't\"", "isn't ", "\nisn't"),
        ("printf '<%s>' \"$(cat <<END\n{name}.\nEND\n)\"", "<", ".>"),
        ("case {name} in {name}) printf '<%s>' {name};; esac", "<", ">"),
        ("# isn't\nprintf '<%s>' {name} # isn't", "<", ">"),
        ("for word in {name} END; do printf '<%s>' \"$word\"; done", "<", "><END>"),
        (r"""printf '%s<%s>' "\\" {name}""", "\\<", ">"),
    ],
)
def test_a_cell_is_one_word_wherever_it_stands(shell, command, before, after, cell):
    ran = by_shell(shell, command, {"name": cell})
    assert ran.stdout.decode() == before + cell + after, ran.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_a_cell_is_not_counted_with_by_itself_and_where_a_script_does_the_shell_is_as_the_page_says(shell, tmp_path):
    cell = f"a[$(touch {tmp_path}/pwned)]"
    by_shell(shell, "test {n} -eq 1; [ {n} = 1 ]; expr {n} + 1; printf %d {n}", {"n": cell})
    assert not (tmp_path / "pwned").exists()
    by_shell(shell, "set -- {n}; echo $(($1 + 1))", {"n": cell})
    assert (tmp_path / "pwned").exists() == (shell not in ("dash", "busybox"))


READ_AS_CODE = [
    "x={n}; echo $((x+1))", "n={n}; let n+1", "[[ {n} -eq 1 ]]", "echo ${list[{n}]}", "declare -i n={n}",
    "printf -v {n} x", "test -v {n}", "[ -v {n} ]", "x={n}; ((x++))", "read {n} </dev/null", "echo $[ {n} ]",
    "x={n}; echo $[x]", "a[{n}]=1", "eval {n}", "declare -n r={n}; echo $r", 'echo "${a[{n}]}"', "trap {n} EXIT",
    "[[ -v {n} ]]", "x={n}; echo ${list[x]}", "x={n}; a=(1); echo ${a[$x]}", "if eval {n}; then :; fi",
    "for x in {n}; do echo $((x)); done", "let y={n}", 'x="a{n}"; echo $(( x ))', "echo $(($(x={n}; echo $((x)))))",
]  # fmt: skip


@pytest.mark.parametrize("command", READ_AS_CODE)
def test_where_a_shell_would_read_a_cell_as_code_the_command_is_refused(command):
    with pytest.raises(UsageError):
        arguments_of(command, ("n",), shell=True).check()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "command",
    [
        "[ {n} -eq 1 ]", "test {n} -gt 1", "expr {n} + 1", "printf %d {n}", "x={n}; y=$((1 + 1)); echo $x $y",
        "export x={n}; echo $x", "read x <<END\n{n}\nEND\necho $x", "echo let {n}; echo eval {n}",
        "i=0; for x in {n}; do i=$((i+1)); done; echo $i $x", "trap 'exit 0' EXIT; echo {n}", "unset x; echo {n}",
        "case {n} in [a]) ;; esac",
    ],
)  # fmt: skip
def test_what_no_shell_reads_as_code_is_taken_and_runs_nothing_of_a_cell(shell, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_shell(shell, command, {"n": "a[$(touch pwned)]"})
    by_shell(shell, command, {"n": "$(touch pwned)`touch pwned`; touch pwned"})
    assert not (tmp_path / "pwned").exists()


@given(cell=CELLS)
def test_a_cell_stays_within_its_word(cell):
    assert words("tool '{name} and {name}' -x{name} {id}", {"name": cell, "id": 7}) == [
        "tool",
        f"{cell} and {cell}",
        f"-x{cell}",
        "7",
    ]


@pytest.mark.parametrize(
    ("text", "shell", "expected"),
    [
        ("awk '{{print $1}}' {id}", False, ["awk", "{print $1}", "1"]),
        ("awk '{print $1}' {id}", False, ["awk", "{print $1}", "1"]),
        ("curl -d '{\"id\": {id}}' x", False, ["curl", "-d", '{"id": 1}', "x"]),
        ("tool {missing}", False, ["tool", ""]),
        ("tool '{first name}'", False, ["tool", "Ada"]),
        ("{ id; } ${id:-x} {id}", True, ["/bin/sh", "-c", "{ id; } ${id:-x} ID"]),
        ("cd ${HOME} && ls {id}", True, ["/bin/sh", "-c", "cd ${HOME} && ls ID"]),
        ("f {first name} \"{id}\" {id}", True, ["/bin/sh", "-c", 'f NAME "ID" ID']),
        (r"echo \"{id}\"", True, ["/bin/sh", "-c", r"echo \"ID\""]),
    ],
)  # fmt: skip
def test_braces_quotes_and_the_shells_own_variables(text, shell, expected):
    found = words(text, {"id": 1, "missing": None, "first name": "Ada"}, shell=shell)
    variables = (('${batchrun_1+"$batchrun_1"}', "ID"), ('${batchrun_2+"$batchrun_2"}', "NAME"))
    assert [reduce(lambda word, pair: word.replace(*pair), variables, word) for word in found] == expected


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("cell", ["a b", "*", "", 'x"y`z$(id)', "don't", "\\"])
@pytest.mark.parametrize(
    "inner",
    ['"$(TOOL {p})"', '"$(TOOL "{p}")"', "$(TOOL {p})", '"`TOOL {p}`"', "`TOOL {p}`", '"$(echo "$(TOOL {p})")"',
     "'a\\' \"$( (TOOL {p}) )\"", '"(" "$(TOOL {p})"'],
)  # fmt: skip
def test_a_cell_stays_one_argument_in_whatever_a_shell_substitutes(shell, inner, cell):
    command = f'for word in {inner}; do last=$word; done; printf %s "$last"'.replace("TOOL", "printf '<%s>'")
    ran = by_shell(shell, command, {"p": cell})
    # Outside double quotes the shell takes apart what the substitution printed, but not the cell in it.
    whole = f"<{cell}>"
    assert ran.stdout.decode() == (whole if inner.endswith('"') else (whole.split() or [""])[-1])
    assert ran.stderr == b""


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"command": ""}, "--command is empty", ""),
        ({"command": "tool {nmae}"}, "given no column 'nmae'", "Did you mean 'name'?"),
        ({"command": "tool 'x {id}"}, "cannot be split into words: No closing quotation", ""),
        ({"command": "tool {name!r}"}, "the command has {name!r}, which is not filled in", "write {name} for the cell"),
        ({"command": "tool { name }"}, "the command has { name }", "or {{name}} for the text"),
        ({"command": "tool {My Name}"}, "the command has {My Name}", "write {my name} for the cell"),
        ({"command": "tool {name|lower}", "shell": True}, "the command has {name|lower}", "write {name} for the cell"),
        ({"command": "tool {my name}"}, "{my name} is split at its space", "put it in quotes: '{my name}'"),
        ({"command": "tool '{name}'", "shell": True}, "{name} is inside single quotes", ""),
        ({"command": r"tool \{name}", "shell": True}, "{name} comes after a backslash", "leave the backslash out"),
        ({"command": r'tool "\{name}"', "shell": True}, "{name} comes after a backslash", "leave the backslash out"),
        ({"command": "echo $(( {id} + 1 ))", "shell": True}, "{id} is inside ((...))", "let expr or awk count"),
        ({"command": 'echo "$(((2)*{id}))"', "shell": True}, "{id} is inside ((...))", "let expr or awk count"),
        ({"command": "x={id}; echo $((x + 1))", "shell": True}, "{id} is inside ((...)), or where bash evaluates", ""),
        ({"command": "for n in {id} 2; do echo $[n]; done", "shell": True}, "{id} is inside ((...))", ""),
        ({"command": "if (( 1 < {id} )); then a; fi", "shell": True}, "{id} is inside ((...))", "let expr or awk"),
        ({"command": "cat <<'EOF'\n{id}\nEOF", "shell": True}, "or in a here-document that begins with quotes", ""),
        ({"command": "cat <<-\\EOF\n{id}\n\tEOF", "shell": True}, "or in a here-document that begins with quotes", ""),
        ({"command": "echo \"$(echo '{id}')\"", "shell": True}, "{id} is inside single quotes", ""),
        ({"command": "tool", "stdin": "nmae"}, "--stdin: the task is given no column 'nmae'", "Did you mean 'name'?"),
        ({"command": "tool", "task": "repair"}, "--task and --command cannot be combined", ""),
        ({"stdin": "name"}, "--stdin belongs to --command", ""),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_right_is_refused(tmp_path, options, message, hint):
    with pytest.raises(UsageError) as refused:
        resolve(options, {}, tmp_path).spec.check(("id", "name", "my name"))
    assert message in str(refused.value)
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-tool-anywhere {id}", "there is no program 'no-such-tool-anywhere'"),
        ("./data.csv {id}", "'./data.csv' is not executable"),
        ("tool {nmae}", "Did you mean 'name'?"),
    ],
)
def test_a_refused_command_leaves_no_checkpoint_and_no_results(tmp_path, command, message):
    (tmp_path / "data.csv").write_text("id,name\n1,a\n")
    ended = batchrun("process", "data.csv", "--command", command, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert not database(tmp_path / "data.csv", "command").exists()
    assert not list(tmp_path.glob("*.results.csv"))


def test_stdout_goes_down_the_ladder_like_any_reply(tmp_path):
    table = table_of(tmp_path, ["x"])
    command = 'printf \'Here it is:\\n```json\\n{"id": %s, "tags": [1, 2]}\\n```\\n\' {id}'
    assert batchrun("process", table, "--command", command).returncode == 0
    row = shown(table, 1)
    assert (row["result"], row["how"], row["raw"].split("\n")[0]) == ({"id": 1, "tags": [1, 2]}, "fence", "Here it is:")


def test_a_failure_keeps_the_exit_code_and_the_end_of_stderr(tmp_path):
    table = table_of(tmp_path, ["a", "b", "c"])
    script = (
        "echo 'first line' >&2; echo 'no luck with {id}' >&2; "
        'case "{id}" in 1) exit 3;; 2) kill -9 $$;; 3) echo 7;; esac'
    ).replace("'no luck with {id}'", '"no luck with {id}"')
    ended = batchrun("process", table, "--shell", "--command", script, "--retries", 0)
    assert ended.returncode == 1
    first, second = shown(table, 1)["error"], shown(table, 2)["error"]
    assert (first["kind"], first["message"]) == ("exception", "exited with code 3: no luck with 1")
    assert "first line\nno luck with 1" in first["traceback"]
    assert second["message"] == "killed by signal 9: probably out of memory: no luck with 2"
    assert results(table)[3] == 7
    log = database(table, "command").with_suffix(".log").read_text()
    assert [line.split("] ")[1] for line in log.splitlines() if "[row 3]" in line] == ["first line", "no luck with 3"]


def test_where_the_ends_of_children_are_ignored_a_program_that_fails_still_fails_its_row(tmp_path):
    table = table_of(tmp_path, ["a"])
    command = ("process", table, "--shell", "--command", "echo {id}; sleep 0.1; exit 3", "--retries", 0)
    ended = batchrun_ignoring_sigchld(*command)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert shown(table, 1)["error"]["message"] == "exited with code 3"


def test_a_program_reads_a_cell_of_any_length_from_its_stdin(tmp_path):
    texts = ["x" * 1_000_000, "", "ü" * 1000, "more\nlines"]
    table = table_of(tmp_path, texts)
    assert batchrun("process", table, "--command", "wc -c", "--stdin", "name").returncode == 0
    assert list(results(table).values()) == [len(text.encode()) for text in texts]


def test_a_program_that_reads_nothing_is_not_hurt_by_its_stdin(tmp_path):
    table = table_of(tmp_path, ["x" * 1_000_000])
    assert batchrun("process", table, "--command", "echo 5", "--stdin", "name").returncode == 0
    assert results(table) == {1: 5}


def test_cells_that_no_argument_can_hold_fail_their_rows_alone(tmp_path):
    table = tmp_path / "data.jsonl"
    cells = ["fine", "a\0b", "x" * 200_000, "fine too"]
    table.write_text("".join(json.dumps({"id": n, "name": cell}) + "\n" for n, cell in enumerate(cells, start=1)))
    ended = batchrun("process", table, "--command", "printf '\"%s\"' {name}", "--retries", 0)
    assert ended.returncode == 1
    assert {row: result for row, result in results(table).items() if result} == {1: "fine", 4: "fine too"}
    assert "NUL" in shown(table, 2)["error"]["message"]
    assert "an argument of 200,000 bytes is too long" in shown(table, 3)["error"]["message"]


def test_a_program_named_by_a_cell_fails_its_row_if_it_is_not_there(tmp_path):
    table = table_of(tmp_path, ["echo", "no-such-tool-anywhere"])
    assert batchrun("process", table, "--command", "{name} {id}", "--retries", 0).returncode == 1
    assert results(table)[1] == 1
    message = "'no-such-tool-anywhere' cannot be started: No such file or directory"
    assert shown(table, 2)["error"]["message"] == message


def test_output_that_is_not_utf_8_is_a_failure_that_says_where():
    with pytest.raises(ProgramError, match=r"its output is not UTF-8 \(byte 7\)"):
        run([b"printf", rb'{"a": "\374"}'], None, None)


def test_a_program_that_never_stops_writing_fails_its_row_and_is_gone():
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ProgramError, match="more than 100,000 bytes"):
        run([b"sh", b"-c", b"yes & yes"], None, None, most=100_000)
    assert not alive(set(psutil.Process().children(recursive=True)) - before)


def test_a_child_left_in_the_background_does_not_hold_the_row(tmp_path):
    table = table_of(tmp_path, ["a", "b"])
    marker = f"600.{os.getpid()}"
    ended = batchrun("process", table, "--shell", "--command", f"sleep {marker} & echo {{id}}", timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert results(table) == {1: 1, 2: 2}
    wait_for(lambda: not running(marker))


def running(marker: str) -> list[psutil.Process]:
    """Processes that have `marker` among their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            if marker in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return alive(found)


FAMILY = "setsid sleep {marker} & (sleep {marker} &) ; sleep {marker} & echo {{id}} >> started; wait"


def test_the_timeout_kills_a_program_with_its_children_even_those_in_other_sessions(tmp_path):
    table = table_of(tmp_path, ["a", "b"])
    marker = f"601.{os.getpid()}"
    command = FAMILY.format(marker=marker)
    options = ("--timeout", "2s", "--retries", 0, "--jobs", 2)
    ended = batchrun("process", table, "--shell", "--command", command, *options, cwd=tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert shown(table, 1)["status"] == "timed_out"
    assert lines_of(tmp_path / "started")
    wait_for(lambda: not running(marker))


def test_nothing_survives_the_death_of_the_coordinator(tmp_path):
    table = table_of(tmp_path, ["a", "b"])
    marker = f"602.{os.getpid()}"
    run_ = start("process", table, "--shell", "--command", FAMILY.format(marker=marker), "--jobs", 2, cwd=tmp_path)
    wait_for(lambda: len(lines_of(tmp_path / "started")) == 2)
    assert len(wait_for(lambda: running(marker))) >= 2
    kill(run_)
    wait_for(lambda: not running(marker))


def test_rows_may_share_a_process_in_threads(tmp_path):
    table = table_of(tmp_path, [str(n) for n in range(40)])
    ended = batchrun("process", table, "--command", "echo {name}", "--jobs", 4, "--threads", 4)
    assert ended.returncode == 0, ended.stderr
    assert results(table) == {n: n - 1 for n in range(1, 41)}


def test_another_command_is_another_task_and_nothing_is_repeated_unasked(tmp_path):
    table = table_of(tmp_path, ["a"])
    assert batchrun("process", table, "--command", "echo {id}").returncode == 0
    for changed in (("--command", "echo {id}0"), ("--command", "echo {id}", "--shell")):
        stopped = batchrun("process", table, *changed)
        assert stopped.returncode == 2
        assert "--on-change" in stopped.stderr
    assert batchrun("process", table, "--command", "echo {id}0", "--on-change", "redo").returncode == 0
    assert results(table) == {1: 10}


def test_a_dry_run_shows_the_command_of_the_first_row_and_runs_nothing(tmp_path):
    table = table_of(tmp_path, ["it's"])
    ended = batchrun("process", table, "--command", "touch ran {name}", "--stdin", "id", "--dry-run", cwd=tmp_path)
    assert ended.returncode == 0
    assert """touch ran 'it'"'"'s'\n\nstdin: 1""" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_each_worker_says_that_the_program_is_missing_where_it_runs():
    with pytest.raises(TaskError, match="there is no program"):
        runner(Program("no-such-tool-anywhere {id}"))
    assert runner(Program("echo {id}"))({"id": 3}) == "3"
    with pytest.raises(UsageError, match="no column 'x'"):
        Program("echo {x}").check(("id",))


def test_a_command_that_is_the_same_for_all_rows_is_said(tmp_path):
    table = table_of(tmp_path, ["a", "b"])
    note = "note: the command names no column, and there is no --stdin: it is the same for every row"
    for options, said in [
        (("echo 1",), True),
        (("echo 1 # ${HOME}", "--shell"), True),
        (("cat", "--stdin", "id"), False),
        (("echo {id}",), False),
        (("echo {id}", "--shell"), False),
    ]:
        ended = batchrun("process", table, "--command", *options, "--fresh", cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert (note in ended.stderr) == said, options
    again = batchrun("process", table, "--command", "echo {id}", "--shell", cwd=tmp_path)
    assert again.returncode == 0
    assert "note" not in again.stderr
