"""Tables at an address are fetched once for each version of them, and kept."""

import hashlib
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import batchrun, environment, ran, starts, wait_for

pytest.importorskip("aiohttp")

TASK = "tasks.py:double"
AS_CSV = {"Content-Type": "text/csv"}
ROWS = b"id,text\n1,a\n2,b\n"


class Site(ThreadingHTTPServer):
    """A server of files. `gets`: those that were fetched. `tags`: whether it tells versions; `cut`: breaks off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.gets: list[str] = []
        self.tags, self.cut, self.status = True, False, 200

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Answer(BaseHTTPRequestHandler):
    server: Site

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.server.gets.append(self.path)
        body = self._answer()
        self.wfile.write(body[: len(body) // 2] if self.server.cut else body)

    def _answer(self) -> bytes:
        body = self.server.files.get(self.path.partition("?")[0].lstrip("/"))
        self.send_response(self.server.status if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        if body is not None and self.server.tags:
            self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.end_headers()
        return body or b""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        server.files["data.csv"] = ROWS
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def process(folder: Path, table: str, *args: object, env: dict[str, str] | None = None):
    return batchrun("process", table, "--task", TASK, "--json", *args, cwd=folder, env=env)


def test_a_table_is_fetched_once_for_each_version(folder, site):
    address = site.address("data.csv")
    assert ran(process(folder, address, "--limit", "1")) == 1
    assert ran(process(folder, address)) == 1
    assert site.gets == ["/data.csv"]
    site.files["data.csv"] += b"3,c\n"
    assert ran(process(folder, address)) == 1
    assert len(site.gets) == 2
    assert set(starts(folder).values()) == {1}
    assert len((folder / "data.results.csv").read_text().splitlines()) == 4
    kept = folder / "data.csv.batchrun" / "data.csv"
    assert kept.stat().st_mode & 0o777 == 0o600
    for table in (address, "data.csv"):
        assert "3 done" in batchrun("status", table, cwd=folder).stdout
        assert batchrun("verify", table, cwd=folder).returncode == 0
    assert ran(process(folder, "data.csv")) == 0, "without the server"


def test_without_a_version_it_is_fetched_each_time(folder, site):
    site.tags = False
    for _ in range(2):
        process(folder, site.address("data.csv"))
    assert len(site.gets) == 2
    assert set(starts(folder).values()) == {1}


def test_a_signed_address_is_nowhere_written_down(folder, site):
    assert ran(process(folder, site.address("data.csv?signature=SECRET"))) == 2
    assert ran(process(folder, site.address("data.csv?signature=OTHER"))) == 0
    assert site.gets == ["/data.csv?signature=SECRET"]
    kept = [file.read_bytes() for file in (folder / "data.csv.batchrun").iterdir() if file.is_file()]
    assert not any(b"SECRET" in each for each in kept)


def test_what_comes_in_part_only_does_not_replace_what_was_kept(folder, site):
    assert ran(process(folder, site.address("data.csv"))) == 2
    site.files["data.csv"] += b"3,c\n"
    site.cut = True
    done = process(folder, site.address("data.csv"))
    assert done.returncode == 2
    assert "batchrun process data.csv" in done.stderr
    assert (folder / "data.csv.batchrun" / "data.csv").read_bytes() == ROWS


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing.csv", "does not exist"), ("", "does not end in a file name"), ("page.csv", "is an HTML page")],
)
def test_what_cannot_be_fetched_or_is_no_table_is_told(folder, site, name, said):
    site.files["page.csv"] = b"<html><title>Sign in</title></html>"
    done = process(folder, site.address(name))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not starts(folder)


@pytest.mark.parametrize(("status", "said"), [(403, "access denied"), (500, "cannot be fetched: 500")])
def test_what_a_server_refuses_is_told(folder, site, status, said):
    site.status = status
    done = process(folder, site.address("data.csv"))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_nobody_at_the_address_is_told(folder, site):
    address = site.address("data.csv")
    site.shutdown()
    site.server_close()
    done = process(folder, address)
    assert (done.returncode, "cannot be fetched" in done.stderr) == (2, True), done.stderr


def test_two_addresses_do_not_share_a_place(folder, site):
    site.files["other/data.csv"] = ROWS
    assert ran(process(folder, site.address("data.csv"))) == 2
    done = process(folder, site.address("other/data.csv"))
    assert (done.returncode, "choose another folder with --dir" in done.stderr) == (2, True)
    (folder / "there").mkdir()
    assert ran(process(folder, site.address("other/data.csv"), "--dir", "there")) == 2
    (folder / "more.csv").write_bytes(ROWS)
    site.files["more.csv"] = ROWS
    assert "already exists" in process(folder, site.address("more.csv")).stderr


def test_a_dry_run_leaves_nothing_behind(folder, site):
    before = sorted(folder.rglob("*"))
    assert "2 new" in process(folder, site.address("data.csv"), "--dry-run").stderr
    assert sorted(folder.rglob("*")) == before


def test_python_and_the_configuration_take_an_address(folder, site):
    code = f"import batchrun\nprint(batchrun.process({site.address('data.csv')!r}, '{TASK}', quiet=True).done)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.stdout == "2\n", done.stderr
    (folder / "batchrun.toml").write_text(f'input = "{site.address("data.csv")}"\ntask = "{TASK}"\n')
    assert ran(batchrun("process", "--json", cwd=folder)) == 0
    assert "2 done" in batchrun("status", "data.csv", cwd=folder).stdout


def test_without_the_packages_the_remedy_is_told(folder, site):
    (folder / "fsspec.py").write_text("raise ImportError('no fsspec')")
    done = process(
        folder, site.address("data.csv"), env={"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    )
    assert done.returncode == 2
    assert "[remote]" in done.stderr


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """A bucket `tables` on a server that speaks S3; the variables that lead there."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with Site() as free:
        port = free.server_address[1]
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    where = f"http://127.0.0.1:{port}"

    def put(name: str, data: bytes | None = None) -> bool:
        try:
            request = urllib.request.Request(f"{where}/{name}", data=data or b"", method="PUT", headers=AS_CSV)
            return urllib.request.urlopen(request, timeout=5).status == 200
        except OSError:
            return False

    try:
        wait_for(lambda: put("tables"))
        assert put("tables/of/data.csv", ROWS)
        yield {
            "AWS_ENDPOINT_URL": where,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.kill()
        server.wait()


def test_a_table_in_a_bucket_is_fetched_once_and_resumes(folder, bucket):
    assert ran(process(folder, "s3://tables/of/data.csv", "--limit", "1", env=bucket)) == 1
    assert ran(process(folder, "s3://tables/of/data.csv", env=bucket)) == 1
    assert (folder / "data.csv.batchrun" / "data.csv").read_bytes() == ROWS
    done = process(folder, "s3://tables/of/missing.csv", env=bucket)
    assert (done.returncode, "does not exist" in done.stderr) == (2, True), done.stderr
    assert ran(process(folder, "data.csv")) == 0
