"""One row's question: render, call, read the answer. Runs in workers, many at once on one event loop."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from batchrun.task import notice
from batchrun.task.api import Skip

from . import formats
from .answer import Answer, reply_of
from .client import Client
from .prompt import Prompt
from .template import Template, is_empty


def asker(prompt: Prompt) -> Callable[[dict[str, Any]], Coroutine[Any, Any, str]]:
    """The function of a row. Raises `TaskError` if the library or the key is missing."""
    client = Client(prompt)
    form = Form(prompt)
    templates: dict[tuple[str, ...], Template] = {}

    async def ask(row: dict[str, Any]) -> str:
        for name in prompt.skip_empty:
            if is_empty(row[name]):
                raise Skip(f"column {name!r} is empty")
        columns = tuple(row)
        if columns not in templates:
            templates[columns] = Template(prompt.text, columns)
        answer = await form.ask(client, templates[columns].render(row))
        return reply_of(answer, model=prompt.model, key_name=prompt.key_name, accept_truncated=prompt.accept_truncated)

    return ask


class Form:
    """Asks in the strongest form that the server has understood so far."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._schema = None if prompt.schema is None else json.loads(prompt.schema)
        self._now = formats.WORDS if prompt.schema is None else formats.SCHEMA

    async def ask(self, client: Client, text: str) -> Answer:
        """The server's answer to the question `text`."""
        form = self._now
        answer = await client.post(self._body(form, text))
        while formats.is_refused(answer) and (next_form := formats.weaker(form)) and self._schema is not None:
            form = next_form
            answer = await client.post(self._body(form, text))
        if form != self._now and answer.status == 200:
            self._settle(form)
        return answer

    def _settle(self, form: str) -> None:
        """The server takes this form and refused the one before: keep to it."""
        self._now = form
        how = "asked for any JSON" if form == formats.JSON else "asked in words only"
        notice.say_notice(f"the server rejects the JSON Schema and is {how}; every reply is still checked")

    def _body(self, form: str, text: str) -> dict[str, Any]:
        """A request: what the user asked for, and nothing else."""
        system = self._prompt.system
        fields: dict[str, Any] = {}
        if self._schema is not None:
            fields = formats.fields_of(form, self._schema)
            system = "\n\n".join(filter(None, (system, formats.format_in_words(form, self._schema)))) or None
        messages = [{"role": "user", "content": text}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        return {"model": self._prompt.model, "messages": messages, **fields, **self._prompt.params}
