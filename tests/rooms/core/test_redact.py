"""What is a secret, and in which forms it is found again."""

import base64
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as some

from batchrun.core.redact import MASK, Redactor, without_secret

VALUE = "s3cr3t+/=?&%é ü"


@pytest.mark.parametrize(
    "name",
    ["MY_KEY", "x_token", "SECRET", "DB_PASS", "DbPassword", "MYSQL_PWD", "AWS_CREDENTIALS", "AUTH", "SENTRY_DSN"],
)
def test_values_of_variables_that_are_named_like_secrets_are_masked(name):
    assert Redactor({name: VALUE}).text(f"401 for {VALUE}!") == f"401 for {MASK}!"


@pytest.mark.parametrize(
    "name", ["PWD", "OLDPWD", "SSH_AUTH_SOCK", "AUTHOR", "GIT_AUTHOR_NAME", "HOME", "BATCHRUN_KEY"]
)
def test_values_of_other_variables_are_not(name):
    assert not Redactor({name: "/home/somebody"}).active


@pytest.mark.parametrize("url", ["postgres://me:{}@h/db", "http://:{}@h:8080", "amqp://a%40b:{}@h"])
def test_passwords_in_addresses_are_masked_whatever_the_variable_is_called(url):
    redactor = Redactor({"JOBS": url.format(urllib.parse.quote(VALUE, safe=""))})
    for text in (VALUE, urllib.parse.quote(VALUE, safe="")):
        assert redactor.text(f"no {text} here") == f"no {MASK} here"
    assert redactor.text("http://h/db") == "http://h/db"


FORMS = {
    "itself": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "an address": lambda text: urllib.parse.quote(text, safe=""),
    "a form": urllib.parse.quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
}


@given(
    some.text(some.characters(exclude_categories=["Cs"]), min_size=8, max_size=30).map(str.strip),
    some.sampled_from(list(FORMS)),
)
def test_a_secret_is_found_again_however_it_is_written(value, form):
    if len(value) >= 8 and "\0" not in value:
        written = FORMS[form](value)
        redacted = Redactor({"API_KEY": value}).text(f"<{written}>")
        assert MASK in redacted
        assert written not in redacted.replace(MASK, "")


@given(some.binary(max_size=7), some.text("abcdefgh0123", min_size=12, max_size=30), some.binary(max_size=7))
def test_a_secret_is_found_amid_what_is_encoded_with_it(before, value, after):
    encoded = base64.b64encode(before + value.encode() + after).decode()
    redacted = Redactor({"API_KEY": value}).text(encoded)
    assert MASK in redacted
    left = redacted.replace(MASK, "")
    assert len(encoded) - len(left) >= len(value) * 8 // 6 - 2


def test_what_is_named_like_a_secret_is_left_out_of_what_is_written_down():
    said = {"max_tokens": 5, "api_key": "x", "inner": [{"auth": [1], "url": "http://me:pw@h/"}], "n": 1}
    assert without_secret("", said) == {
        "max_tokens": 5, "api_key": MASK, "inner": [{"auth": MASK, "url": f"http://{MASK}@h/"}], "n": 1,
    }  # fmt: skip
