"""The deciding parts of `--prompt`, one by one: template, fields, schemas, and what an error means."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun import Abort, process
from batchrun.core.redact import Redactor
from batchrun.engine.worker.attempt import failed
from batchrun.errors import UsageError
from batchrun.options.parsing import listed
from batchrun.task.prompt.answer import Answer, decoded, reply_of
from batchrun.task.prompt.fields import as_schema
from batchrun.task.prompt.formats import is_strict
from batchrun.task.prompt.prompt import Prompt
from batchrun.task.prompt.refusals import CallError, complaint_in, failure, failure_in_answer
from batchrun.task.prompt.template import Template
from batchrun.task.reply import ReplyError, fitting, parse
from batchrun.task.reply.schema import checked


def rendered(text: str, **row: object) -> str:
    return Template(text, tuple(row)).render(row)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a}", "1"),
        ("{a}{a} {Sample Number}", "11 7"),
        ("{{a}} is literal", "{a} is literal"),
        ('{{"same": true}}', '{"same": true}'),
        ('{"same": {"x": true}} {a}', '{"same": {"x": true}} 1'),
        ('{"same": {"x": "{a}"}}', '{"same": {"x": "1"}}'),
        ("{{{a}}}", "{1}"),
        ("{ b } {} {b.c} {b!r} {0} {a", "{ b } {} {b.c} {b!r} {0} {a"),
        ("a {{ b }} c", "a { b } c"),
    ],
)
def test_a_column_in_braces_is_replaced_and_any_other_brace_stays(text, expected):
    assert rendered(text, **{"a": 1, "Sample Number": 7}) == expected


@given(st.text(), st.text())
def test_a_cell_is_inserted_once_and_never_expanded_again(one, other):
    assert rendered("<{a}|{b}>", a=one, b=other) == f"<{one}|{other}>"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""), (float("nan"), ""), ("NA", "NA"), (True, "true"), (2.50, "2.5"), (10**20, str(10**20)),
        (date(2026, 1, 2), "2026-01-02"), (Decimal("1.10"), "1.10"), ({"ä": [1, None]}, '{"ä": [1, null]}'),
    ],
)  # fmt: skip
def test_a_cell_is_written_as_a_person_would(cell, text):
    assert rendered("{a}", a=cell) == text


@pytest.mark.parametrize("text", ["{b}", "{ä}", "{a} {_x1}"])
def test_an_identifier_in_braces_that_is_no_column_is_refused(text):
    with pytest.raises(UsageError):
        Template(text, ("a",)).check()


COLUMNS = ("name", "price", "Sample Number", "day", "unit_price")


@pytest.mark.parametrize(
    ("inside", "column"),
    [
        *((text, "price") for text in (
            " price ", "Price ", "price:.2f", "price:", "price:,", "price:>10", "price: .2f", "price:05d", "price!r",
            "price!s:>8", "price|round", "price | round(2)", "price[0]", "price.real", "price=", "price=!r",
            "price * 2", "round(price, 2)",
            "price or 'none'", "price:-none", "price ?? 'none'", "$price", ".price", "price?",
            "'price'", '"price"', "row[price]", "row['price']", 'row["price"]:.2f', "row.price", "row.get('price', 0)",
            "\nprice\n", "int(row['price'])", "price if price else 0",
        )),
        *((text, "Sample Number") for text in (
            "sample number", "SAMPLE NUMBER", "Sample-Number", "Sample  Number", "Sample Number:d", "Sample Number|int",
            "row['Sample Number']",
        )),
        ("day:%d.%m.%Y", "day"), ("name.upper()", "name"), ("unit price", "unit_price"),
    ],
)  # fmt: skip
def test_braces_that_nearly_name_a_column_are_refused_with_the_column_that_was_meant(inside, column):
    template = Template(f"{{name}} costs {{{inside}}}", COLUMNS)
    with pytest.raises(UsageError) as refused:
        template.check()
    assert f"{{{inside}}}, which is not filled in" in str(refused.value)
    assert refused.value.hint.startswith(f"write {{{column}}} for the cell")
    # The other remedy works, too.
    remedy = refused.value.hint.partition(", or ")[2].partition(" for the text")[0]
    Prompt(f"{{name}} costs {remedy}", "m").check(COLUMNS)
    assert rendered(f"{{name}} costs {remedy}", name="a") == f"a costs {{{inside.strip()}}}"


@pytest.mark.parametrize(
    "inside",
    [
        '"price": 1', '"price":', "'price': 1", '"a": "price", "b": 2', "price: number", "price: string, name: string",
        "price: ?", "price: 1", "price: [], name", "price, name", "the price", "price in the list, or null", "print $1",
        " return price; ", "1,3", "0", "", "...", "true|false", "a b" * 999, "(" * 300, "\0",
    ],
)  # fmt: skip
def test_braces_around_anything_else_are_text(inside):
    template = Template(f"{{name}}: {{{inside}}}", COLUMNS)
    template.check()
    assert template.render({"name": "a"}) == f"a: {{{inside}}}"


@given(st.text(st.sampled_from("ab{}[]()|!:.,'\" %$\n"), max_size=40))
def test_any_text_is_a_template_or_refused_and_what_is_refused_names_a_column(text):
    refused = None
    try:
        Template(text, ("a", "b")).check()
    except UsageError as error:
        refused = error
    assert refused is None or "no column" in str(refused) or refused.hint.startswith(("write {a} ", "write {b} "))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{name} costs {{ price }}", "{{ price }}"),
        ("{name} costs {{ price | round }}", "{{ price | round }}"),
        ("{name} costs {{ row.price }}", "{{ row.price }}"),
        ("{name} costs %(price)s", "%(price)s"),
        ("{name} costs %(price).2f", "%(price).2f"),
        ("How dear is {{price}}?", "{{price}}"),
        ("How dear is <price>?", "<price>"),
        ("How dear is [price]?", "[price]"),
        ("How dear is $price?", "$price"),
        ("How dear is %price%?", "%price%"),
    ],
)
def test_cells_written_as_other_languages_of_templates_do_are_refused(text, found):
    with pytest.raises(UsageError, match="not filled in") as refused:
        Prompt(text, "m").check(COLUMNS)
    assert found in str(refused.value)
    assert refused.value.hint == "write {price}"


@pytest.mark.parametrize(
    "text",
    [
        "<name>{name}</name>",
        "[price] of {name}",
        "{name} costs $price",
        "{{name}} of {name}",
        "{{ x }} {name}",
        "$9 <b>",
    ],
)
def test_other_signs_around_a_name_are_text_where_a_cell_is_put_in(text):
    Prompt(text, "m").check(COLUMNS)


def test_doubled_braces_that_make_text_of_a_column_are_noted():
    note = "the prompt's {{price}} is sent as the text {price}: single braces insert the cell"
    assert Prompt("{name} {{price}}", "m").note(COLUMNS) == note
    assert Prompt("{name} {{cost}}", "m").note(COLUMNS) is None


@pytest.mark.parametrize("inside", ["price", "Price ", "price:.2f", "row[price]"])
def test_a_system_text_takes_no_cells_and_says_so(inside):
    with pytest.raises(UsageError, match="it is the same for all rows") as refused:
        Prompt("{name}", "m", system=f"It costs {{{inside}}}").check(COLUMNS)
    assert "put {price} into --prompt" in refused.value.hint
    Prompt("{name}", "m", system='Be {brief}: {"price": 1}, {{price}}').check(COLUMNS)


def test_fields_name_types_and_close_the_object():
    assert as_schema("same bool, reason") == {
        "type": "object",
        "properties": {"same": {"type": "boolean"}, "reason": {"type": "string"}},
        "required": ["same", "reason"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("same: bool, reason: str", "a comma between fields: 'same bool'"),
        ("same=bool", "'same bool'"),
        ("same:bool", "'same bool'"),
        ("reason, same (bool)", "'same bool'"),
        ("same bool; reason", "a comma between fields"),
        ("tags list[str]", "'tags list'"),
        ('{"same": "bool"}', "'same bool'"),
        ("bool same", "write the name first: 'same bool'"),
        ("reason, string text", "write the name first"),
        ("boolean same", "write the name first: 'same bool'"),
        ("same bool reason", "separate fields by commas"),
        ("same,, reason", "nothing between two commas"),
        ("same, ", "nothing between two commas"),
        ("same boolean", "Did you mean 'bool'?"),
        ("same String", "Did you mean 'str'?"),
        ("same number", "Did you mean 'float'?"),
        ("same bolo", "Did you mean 'bool'?"),
        ("same bool, same", "names 'same' twice"),
    ],
)
def test_fields_in_another_notation_are_refused_with_the_right_one(fields, says):
    with pytest.raises(UsageError) as refused:
        as_schema(fields)
    assert says in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("fields", [{"same": "bool", "reason": "str"}, {"same": bool, "reason": str}])
def test_in_python_fields_may_be_a_dict_of_types(fields):
    assert as_schema(listed(fields)) == as_schema("same bool, reason")


WANTED = as_schema("verdict")


@pytest.mark.parametrize(
    "said",
    [
        {"name": "answer", "strict": True, "schema": WANTED},
        {"name": "answer", "description": "d", "schema": WANTED},
        {"type": "json_schema", "json_schema": {"name": "answer", "schema": WANTED}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": WANTED}}},
        {"model": "m", "response_format": {"type": "json_schema", "json_schema": {"schema": WANTED}}},
        {"type": "json_schema", "name": "answer", "schema": WANTED},
        {"text": {"format": {"type": "json_schema", "name": "answer", "schema": WANTED}}},
        {"type": "function", "function": {"name": "answer", "parameters": WANTED}},
        {"name": "answer", "input_schema": WANTED},
        {"format": WANTED},
        {"structured_outputs": {"json": WANTED}},
        json.dumps(WANTED),
        WANTED,
    ],
)
def test_a_schema_is_taken_out_of_what_services_want_around_it(said):
    assert json.loads(checked(json.dumps(said), "--schema x")) == WANTED


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"A": WANTED}, "$ref": "#/$defs/A"},
        {"anyOf": [WANTED, {"type": "null"}], "title": "pydantic's"},
        {"type": "array", "items": WANTED},
        {"type": "object", "properties": {"schema": WANTED, "any": True}, "additionalProperties": False},
        {"properties": {"name": {"type": "string"}}, "propertyOrdering": ["name"]},
        {"enum": ["yes", "no"]},
        {"pattern": "^a"},
    ],
)
def test_what_is_a_schema_is_taken_as_it_is(schema):
    text = json.dumps(schema)
    assert checked(text, "--schema x") == text


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"same": True, "reason": "one city"}, "give --fields 'same bool, reason'"),
        ({"same": "bool", "score": "float"}, "give --fields 'same bool, score float'"),
        ({"text": {"type": "string"}, "same": {"type": "boolean"}}, 'put these into "properties"'),
        ({"text": {"type": "string"}}, 'put these into "properties"'),
        ({"format": "pdf", "pages": 3}, "none of its keys is a keyword ('format', 'pages')"),
        ({"name": "answer", "schema": {"verdict": "str"}}, "none of its keys is a keyword ('verdict')"),
        ({"name": "answer", "schema": {}}, "anything would fit it"),
        ({"title": "Answer", "description": "d"}, "it says nothing about a reply"),
        ({"$defs": {"A": WANTED}}, "it says nothing about a reply"),
        ({"type": "object", "same": {"type": "boolean"}}, "'same' is next to 'type'"),
        (True, "anything would fit it"), (False, "nothing would fit it"), ({}, "anything would fit it"),
        ([WANTED], "it holds no object"), (3, "it holds no object"), (None, "it holds no object"),
        ("text", "not JSON"), ({"type": "json_object"}, "json_object"),
    ],
)  # fmt: skip
def test_a_file_that_says_nothing_of_a_reply_is_no_schema(said, says):
    with pytest.raises(UsageError) as refused:
        checked(json.dumps(said), "--schema x")
    assert says in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (as_schema("a, b int, c float, d bool"), True),
        (as_schema("a list"), False),
        (as_schema("a object"), False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "array", "items": {"type": "string"}}, True),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, False),
        ({"enum": [{"type": "object"}]}, True),
    ],
)
def test_strict_mode_is_asked_for_where_the_schema_allows_it(schema, strict):
    assert is_strict(schema) is strict


def test_the_version_follows_what_decides_the_result_and_nothing_else():
    usual = Prompt("Is {a}?", "m", system="s", schema='{"type": "object"}', params={"x": 1})
    same = (
        {"base_url": "http://other"}, {"key_name": "OTHER"}, {"deadline": 1.0}, {"skip_empty": ("a",)},
        {"accept_truncated": True}, {"schema": '{ "type":"object" }'},
    )  # fmt: skip
    other = ({"text": "Was {a}?"}, {"model": "n"}, {"system": None}, {"schema": None}, {"params": {"x": 2}})
    fields = {name: getattr(usual, name) for name in Prompt.__slots__}
    assert {Prompt(**{**fields, **change}).version for change in same} == {usual.version}
    assert len({usual.version, *(Prompt(**{**fields, **change}).version for change in other)}) == 1 + len(other)


def test_of_several_values_the_one_that_fits_the_schema_is_taken():
    fits = fitting(json.dumps(as_schema("same bool")))
    for text in (
        'In {"x": 1} I see {"same": true}',
        'Example:\n```json\n{"same": "yes or no"}\n```\nAnswer: {"same": true}',
        '```json\n{"x": 1}\n```\nbefore that: {"same": true}, behind',
        "[1, 2] and {'same': True}",
    ):
        assert parse(text, fits=fits).value == {"same": True}, text
    with pytest.raises(ReplyError, match=r"does not fit the schema: \$\.same: 'yes' is not of type 'boolean'"):
        parse('{"same": "yes"}', fits=fits)
    with pytest.raises(ReplyError, match="differ"):
        parse('{"same": true} or {"same": false}', fits=fits)


@pytest.mark.parametrize("reference", ["https://example.com/x.json", "other.json", "#/$defs/none"])
def test_a_schema_that_refers_elsewhere_is_refused_rather_than_fetched(reference):
    with pytest.raises(UsageError, match="leads nowhere"):
        checked(json.dumps({"properties": {"a": {"$ref": reference}}}), "--schema x")


def test_a_schema_may_refer_to_itself():
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#"}}}
    fits = fitting(checked(json.dumps(schema), "--schema x"))
    assert fits({"a": 1, "b": {"a": 2}}) is None
    assert "integer" in fits({"a": 1, "b": {"a": "two"}})


# --- what an error means ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "meaning"),
    [
        (401, {"message": "no"}, Abort),
        (402, {"message": "no"}, Abort),
        (403, {"message": "no"}, Abort),
        (403, {"message": "input flagged"}, "filtered"),
        (404, {"message": "Not Found"}, Abort),
        (400, {"message": "Model Not Exist"}, Abort),
        (429, {"message": "quota", "code": "insufficient_quota"}, Abort),
        (429, {"message": "slow"}, "rate_limited"),
        (400, {"message": "no"}, "bad_request"),
        (422, {"message": "no"}, "bad_request"),
        (400, {"message": "x", "type": "exceed_context_size_error"}, "context_length"),
        (400, {"message": "This model's maximum context length is 8 tokens"}, "context_length"),
        (408, {"message": "no"}, "server"),
        (409, {"message": "no"}, "server"),
        (503, {"message": "no"}, "server"),
    ],
)
def test_an_error_is_of_the_row_of_the_moment_or_of_the_run(status, error, meaning):
    found = failure(status, complaint_in({"error": error}), {}, "m", "KEY")
    assert found.kind == meaning if isinstance(meaning, str) else isinstance(found, meaning)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (503, "Loading model"), (500, "llm server loading model"), (400, "The model is loading"),
        (404, "Model m is currently loading"), (503, "Service Unavailable"), (529, "Overloaded"),
        (424, "model m is not ready"), (409, "Model m is still being loaded, please retry"),
    ],
)  # fmt: skip
def test_a_model_that_is_being_loaded_is_busy_with_whatever_status_that_is_said(status, message):
    error = failure(status, complaint_in({"error": {"message": message}}), {}, "m", "KEY")
    assert failed(1, 0.0, error).outcome == "refused"


@pytest.mark.parametrize(
    ("status", "message"), [(500, "error while loading image"), (400, "the model cannot load this"), (502, "m")]
)
def test_other_failures_are_no_model_that_is_being_loaded(status, message):
    error = failure(status, complaint_in({"error": {"message": message}}), {}, "m", "KEY")
    assert failed(1, 0.0, error).outcome == "failed"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m"}, "m"),
        ({"object": "error", "message": "m", "code": 400}, "m"),
        ({"detail": "m"}, "m"),
        ([{"error": {"message": "m"}}], "m"),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, "[{'loc': ['body'], 'msg': 'm'}]"),
    ],
)
def test_errors_are_understood_in_the_shapes_in_which_servers_send_them(body, message):
    assert complaint_in(body).message == message


@pytest.mark.parametrize("body", [{"choices": []}, {"error": None}, [], "text", None, 3])
def test_what_is_no_error_is_not_taken_for_one(body):
    assert complaint_in(body) is None


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "m", "code": 429}, "rate_limited", 429),
        ({"message": "m", "code": "rate_limit_exceeded"}, "rate_limited", 429),
        ({"message": "m", "code": 502}, "server", 502),
        ({"message": "m", "type": "overloaded_error"}, "server", 503),
        ({"message": "Loading model"}, "server", 503),
        ({"message": "m"}, "server", None),
    ],
)
def test_an_error_inside_a_good_answer_counts_as_the_error_that_it_is(error, kind, status):
    found = failure_in_answer(complaint_in({"error": error}), {}, "m", "KEY")
    assert isinstance(found, CallError)
    assert (found.kind, found.status_code) == (kind, status)


@pytest.mark.parametrize(
    ("broken_off", "status"),
    [({"finish_reason": "error"}, None), ({"finish_reason": "error", "error": {"message": "m", "code": 502}}, 502)],
)
def test_a_reply_that_the_service_broke_off_is_no_reply_however_whole_it_looks(broken_off, status):
    body = {"choices": [{"message": {"content": '{"a": 1}'}, **broken_off}]}
    with pytest.raises(CallError) as raised:
        reply_of(Answer(200, json.dumps(body)), model="m", key_name="KEY", accept_truncated=False)
    assert (raised.value.kind, raised.value.status_code) == ("server", status)


def message_with(**message: object) -> Answer:
    return Answer(200, json.dumps({"choices": [{"message": {"content": None, **message}, "finish_reason": "stop"}]}))


@pytest.mark.parametrize(
    ("answer", "said", "kept"),
    [
        (message_with(reasoning_content="So: {}"), "reasoning_content has: So: {}", "So: {}"),
        (message_with(reasoning="So"), "reasoning has: So", "So"),
        (message_with(reasoning_details=[{"type": "reasoning.text", "text": "So"}]), "reasoning_details has: So", "So"),
        (message_with(reasoning_details=[{"type": "x", "summary": "So"}]), "reasoning_details has: So", "So"),
        (message_with(thinking="So"), "thinking has: So", "So"),
        (message_with(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "So"}]}]), "has: So", "So"),
        (message_with(content=[{"type": "reasoning", "text": "So"}]), "content has: So", "So"),
        (message_with(tool_calls=[{"function": {"arguments": '{"a": 1}'}}]), "called a tool instead", '{"a": 1}'),
        (message_with(tool_calls=[{"function": {"arguments": {"a": 1}}}]), "called a tool instead", '{"a": 1}'),
        (message_with(function_call={"arguments": '{"a": 1}'}), "called a tool instead", '{"a": 1}'),
        (message_with(reasoning_content=None, tool_calls=[]), "the reply is empty (finish_reason stop)", None),
        (message_with(tool_calls=7, reasoning=[3, None]), "the reply is empty (finish_reason stop)", None),
    ],
)
def test_what_came_in_another_field_is_kept_and_said_but_is_no_reply(answer, said, kept):
    with pytest.raises(ReplyError, match="the reply is empty") as raised:
        reply_of(answer, model="m", key_name="KEY", accept_truncated=False)
    assert said in str(raised.value)
    assert raised.value.text == kept


def test_parts_that_think_are_no_part_of_the_reply():
    parts = [{"type": "reasoning", "text": "a draft"}, {"type": "text", "text": "yes"}, "!"]
    assert reply_of(message_with(content=parts), model="m", key_name="K", accept_truncated=False) == "yes!"


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        ("ä".encode(), "", "ä"),
        ("ä".encode(), "application/json", "ä"),
        ("ä".encode("latin-1"), "application/json; charset=ISO-8859-1", "ä"),
        ("ж".encode("cp1251"), 'text/plain; Charset="windows-1251"; x=y', "ж"),
        ("ä".encode(), "application/json; charset=no-such", "ä"),
        ("ä".encode(), "application/json; charset=hex", "ä"),
        ("\ufeffä".encode(), "application/json; charset=latin-1", "ä"),
        ('{"a": 1}'.encode("utf-16-le"), "", '{"a": 1}'),
        ('{"a": 1}'.encode("utf-16"), "application/json; charset=utf-16", '{"a": 1}'),
        (b"\xef\xbb\xbf", "", ""),
        (b"", "", ""),
    ],
)
def test_an_answer_is_decoded_as_its_header_says(data, kind, text):
    assert decoded(data, kind) == (text, "")


@given(st.text(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1251", "gb18030"]))
def test_an_answer_in_any_charset_that_is_named_arrives_as_it_was(text, charset):
    data = f"{{{text}".encode(charset, "ignore")
    assert decoded(data, f"application/json; charset={charset}") == (data.decode(charset), "")


def test_what_cannot_be_decoded_is_a_failure_and_no_mangled_reply():
    text, flaw = decoded('{"a": "ä"}'.encode("latin-1"), "application/json")
    assert "not utf-8, which it should be (byte 8)" in flaw
    assert decoded(b"\x8b\xff", "", "br")[1] == "the answer is compressed (br), which was not asked for"
    with pytest.raises(CallError, match="not utf-8"):
        reply_of(Answer(200, text, flaw=flaw), model="m", key_name="KEY", accept_truncated=False)


def test_a_number_of_tokens_that_no_call_can_have_used_ends_nothing(tmp_path):
    (tmp_path / "data.csv").write_text("id\n1\n2\n")
    (tmp_path / "own.py").write_text(
        "import batchrun\ndef ask(row):\n    batchrun.count_tokens(prompt=10 ** (20 if row['id'] == 1 else 1))\n"
    )
    ran = process(tmp_path / "data.csv", task=f"{tmp_path}/own.py:ask", retries=0, quiet=True)
    assert (ran.done, ran.failed, ran.exit_code) == (1, 1, 1)


def test_a_key_under_any_name_is_redacted():
    redactor = Redactor({"MY_ACCESS": "abcdefgh-ijk\n", "PLAIN": "not-a-secret"}, ("MY_ACCESS",))
    assert redactor.text("abcdefgh-ijk not-a-secret") == "[redacted] not-a-secret"
