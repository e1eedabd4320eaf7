"""Where the requests of a prompt go: the base URL, and proxies on the way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import MANNERS, served
from support import batchrun, lines_of, write_table

from batchrun.errors import UsageError
from batchrun.task.prompt.address import Proxy, checked_url, is_another_server, proxy_for

KEY = "sk-not-to-be-seen-0123456789"


def ask(folder, url: str, *args: object, env: dict[str, str] | None = None):
    """One row asked about; how that ended, and the row."""
    folder.mkdir(exist_ok=True)
    table = write_table(folder / "data.csv", [(1, "one")])
    options = ["--prompt", "Double {id}", "--model", "loopback", "--base-url", url, "-o", folder / "out.jsonl"]
    quiet = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"), "")
    env = {**quiet, "OPENAI_API_KEY": KEY, **(env or {})}
    ended = batchrun("process", table, *options, "--retries", 0, "--overwrite", *args, cwd=folder, env=env)
    return ended, json.loads(lines_of(folder / "out.jsonl")[0]) if (folder / "out.jsonl").exists() else {}


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1//", "/v1/chat/completions"),
        ("", "/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/deployments/m?api-version=2024-10-21", "/deployments/m/chat/completions?api-version=2024-10-21"),
        ("/deployments/m/?api-version=1&x=a%20b&x=2", "/deployments/m/chat/completions?api-version=1&x=a%20b&x=2"),
        ("/d/m/chat/completions?api-version=1", "/d/m/chat/completions?api-version=1"),
    ],
)
def test_a_base_url_is_asked_where_it_says_with_its_query_behind(tmp_path, said, path):
    with served() as server:
        ended, row = ask(tmp_path, server.url.removesuffix("/v1") + said)
        assert ended.returncode == 0, ended.stderr
        assert row["result"] == {"double": 2}
        assert server.books.paths == [path]
        assert server.books.headers[0].get("api-key") == (KEY if "api-version" in said else None)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h/v1?api-key=x", "holds a password"),
        ("http://h/v1?code=x", "holds a password"),
        ("http://h/v1/completions", "give http://h/v1"),
        ("http://h/v1/responses?api-version=1", "give http://h/v1?api-version=1"),
        ("h:8000/v1", "is not an address"),
        ("http:///v1", "is not an address"),
        ("", "is not an address"),
    ],
)
def test_a_base_url_that_cannot_be_right_is_refused(url, says):
    with pytest.raises(UsageError) as refused:
        checked_url(url)
    assert says in f"{refused.value} {refused.value.hint}"


# --- proxies ------------------------------------------------------------------------------------------------------

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_server_on_this_machine_is_reached_without_a_proxy(tmp_path, variable):
    with served() as server:
        ended, row = ask(tmp_path, server.url, env={variable: "socks5://127.0.0.1:9" if "ALL" in variable else NOWHERE})
        assert ended.returncode == 0, ended.stderr
        assert row["result"] == {"double": 2}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_is_not_there_is_named_and_its_password_is_not(tmp_path, variable):
    ended, row = ask(tmp_path, "http://models.invalid/v1", env={variable: "http://me:secret-word@127.0.0.1:9"})
    assert ended.returncode == 1, ended.stderr
    assert row["error"]["kind"] == "connection"
    assert f"no answer from models.invalid through the proxy 127.0.0.1:9 ({variable})" in row["error"]["message"]
    assert "secret-word" not in ended.stderr + json.dumps(row)


def test_a_proxy_that_is_there_is_asked_and_named_where_it_answers_itself(tmp_path):
    with served() as proxy:
        address = proxy.url.removesuffix("/v1")
        ended, row = ask(tmp_path, "http://models.invalid/v1", env={"HTTP_PROXY": address})
        assert ended.returncode == 0, ended.stderr
        assert proxy.books.paths == ["http://models.invalid/v1/chat/completions"]
        proxy.manner = "an-array"
        ended, row = ask(tmp_path / "html", "http://models.invalid/v1", env={"HTTP_PROXY": address})
        assert f"did it come from the proxy {address.removeprefix('http://')} (HTTP_PROXY)?" in row["error"]["message"]


def test_a_server_that_no_proxy_names_is_reached_directly(tmp_path):
    env = {"HTTP_PROXY": NOWHERE, "NO_PROXY": "other.invalid, .models.invalid"}
    ended, row = ask(tmp_path, "http://eu.models.invalid/v1", env=env)
    assert ended.returncode == 1, ended.stderr
    assert "no answer from eu.models.invalid: " in row["error"]["message"]


def test_a_proxy_that_cannot_be_used_is_named_before_any_row_fails(tmp_path):
    ended, _ = ask(tmp_path, "http://models.invalid/v1", env={"ALL_PROXY": "foo://me:secret-word@h:1"})
    assert ended.returncode == 2, ended.stderr
    assert "ALL_PROXY" in ended.stderr
    assert "secret-word" not in ended.stderr


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "api.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
def test_what_is_this_machine_needs_no_proxy(host):
    assert proxy_for(f"http://{host}:8000/v1", {"http_proxy": NOWHERE, "ALL_PROXY": NOWHERE}) is None


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"HTTPS_PROXY": "h:1"}, Proxy("HTTPS_PROXY", "http://h:1")),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, Proxy("https_proxy", "http://b:1")),
        ({"HTTP_PROXY": "http://a:1"}, None),
        ({"HTTP_PROXY": "http://a:1", "all_proxy": "socks5h://b:1"}, Proxy("all_proxy", "socks5h://b:1")),
        ({"HTTPS_PROXY": ""}, None),
        *(({"HTTPS_PROXY": "http://a:1", "NO_PROXY": rule}, None) for rule in (
            "*", "10.1.2.3", "10.0.0.0/8", "x, 10.1.2.3:8000", ".other,10.1.2.3",
        )),
        *(({"HTTPS_PROXY": "http://a:1", "NO_PROXY": rule}, Proxy("HTTPS_PROXY", "http://a:1")) for rule in (
            "", "10.1.2.3:9", "11.0.0.0/8", "10.0.0.0/999", "3", ",", "/",
        )),
    ],
)  # fmt: skip
def test_the_variables_for_proxies_mean_what_they_mean_elsewhere(environment, found):
    assert proxy_for("https://10.1.2.3:8000/v1", environment) == found


@given(st.text(max_size=20), st.text(st.sampled_from("a.:[]/*,0123"), max_size=20))
def test_any_rule_for_any_host_is_read(host, rule):
    try:
        url = checked_url(f"http://{host}/v1")
    except UsageError:
        return
    proxy_for(url, {"http_proxy": NOWHERE, "no_proxy": rule})


# --- servers that send requests elsewhere -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_row_never_goes_to_a_server_that_the_user_has_not_named(tmp_path, monkeypatch, status):
    with served() as server, served() as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        sends_on = {"location": f"{elsewhere}/chat/completions?x=1"}
        monkeypatch.setitem(MANNERS, "sends_on", lambda handler, *_: handler.send(status, "", headers=sends_on))
        server.manner = "sends_on"
        ended, _ = ask(tmp_path, server.url)
        assert ended.returncode not in (0, 70)
        assert other.books.connections == 0
        for url in (server.url, elsewhere):
            assert url.split("/")[2] in ended.stderr
        assert "--base-url" in ended.stderr


@pytest.mark.parametrize(
    ("asked", "target", "another"),
    [
        ("https://h/v1", "https://h/v1/", False),
        ("http://h/v1", "https://h/v1", False),
        ("https://h/v1", "http://h/v1", True),
        ("http://h/v1", "http://h:8080/v1", True),
        ("https://h/v1", "https://h:443/v1", False),
        ("https://h/v1", "https://i/v1", True),
        ("https://h/v1", "https://h.evil/v1", True),
        ("https://h/v1", "https://u:p@h/v1", False),
    ],
)
def test_another_server_is_one_of_another_host_port_or_without_tls(asked, target, another):
    assert is_another_server(asked, target) == another


@pytest.mark.parametrize("name", ["api-key", "access_token", "auth", "pwd", "passwd", "cred", "client_secret", "sig"])
def test_no_secret_is_taken_in_a_base_url(name):
    with pytest.raises(UsageError, match="holds a password"):
        checked_url(f"http://h/v1?{name}=hunter2hunter2")


def test_no_secret_in_a_parameter_or_a_proxys_address_is_kept_or_shown(tmp_path):
    secrets = ("hunter2hunter2", "correct horse", "pa%24%24word-9", "pa$$word-9")
    given = ['--param=extra={"api_token": "hunter2hunter2"}', "--param=password=correct horse", "--param=max_tokens=77"]
    with served() as server:
        proxy = {"HTTPS_PROXY": "http://me:pa%24%24word-9@127.0.0.1:9", "JOB_URL": "postgres://me:pa%24%24word-9@h/x"}
        ended, _ = ask(tmp_path, server.url, *given, env=proxy)
        assert ended.returncode == 0, ended.stderr
        shown = ended.stderr + batchrun("report", tmp_path / "data.csv", "-o", "-").stdout
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data.csv.batchrun").rglob("*") if path.is_file())
    for secret in secrets:
        assert secret not in shown
        assert secret.encode() not in kept
    assert b"'max_tokens': 77" in kept
