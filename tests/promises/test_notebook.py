"""What a cell of a real kernel of Jupyter's shows; functions and tables are the cells' own."""

import queue
from collections.abc import Iterator

import pytest

manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipykernel")

SETUP = """
import batchrun, pandas as pd
table = pd.DataFrame({"id": range(1, 8)})
word = "no luck"

def some(row):
    if row["id"] == 3:
        raise ValueError(word)
    return {"double": row["id"] * 2}
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory) -> Iterator[object]:
    folder = tmp_path_factory.mktemp("notebook")
    kernel, client = manager.start_new_kernel(cwd=str(folder))
    try:
        shown(client, SETUP)
        yield client
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def shown(client, code: str) -> list[tuple[str, dict]]:
    """The kinds and contents of what a cell shows, up to its end."""
    client.execute(code)
    found = []
    while True:
        try:
            message = client.get_iopub_msg(timeout=60)
        except queue.Empty:
            raise AssertionError(found) from None
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle":
            return found
        if kind not in ("status", "execute_input"):
            found.append((kind, content))


def test_progress_is_one_line_and_the_summary_a_table(kernel):
    outputs = shown(kernel, "batchrun.process(table, task=some, retries=0, jobs=1, name='some')")
    kinds = [kind for kind, _ in outputs]
    assert set(kinds) == {"display_data", "update_display_data", "execute_result"}, outputs
    lines = [content for kind, content in outputs if kind == "display_data"]
    assert [bool(line["transient"]) for line in lines] == [False, True, False], "what is said, the line, how it ended"
    assert len({str(c["transient"]) for kind, c in outputs if kind == "update_display_data"}) == 1
    last = [content["data"]["text/plain"] for kind, content in outputs if kind == "update_display_data"][-1]
    assert "7 of 7 rows" in last
    assert "6 done, 1 failed of 7" in outputs[-1][1]["data"]["text/html"]
    assert "no luck" in outputs[-1][1]["data"]["text/html"]


def test_rows_are_handed_over_and_quiet_shows_nothing_else(kernel):
    code = "for row in batchrun.iterate(table.head(2), task=some, name='two', quiet=True): print(row['result'])"
    outputs = shown(kernel, code)
    assert {(kind, content["name"]) for kind, content in outputs} == {("stream", "stdout")}
    assert sorted("".join(content["text"] for _, content in outputs).splitlines()) == ["{'double': 2}", "{'double': 4}"]


def test_an_error_shows_the_cells_line_and_what_to_do(kernel):
    ((kind, content),) = shown(kernel, "batchrun.process(table, task=some, jbs=3)")
    told = "\n".join(content["traceback"])
    assert kind == "error"
    assert "batchrun.process(table, task=some, jbs=3)" in told
    assert told.count('File "') == 1, told
    assert "→ Did you mean 'jobs'?" in told
