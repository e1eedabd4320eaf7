"""What `--prompt` and its options say, as plain data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xxhash

from batchrun.core.suggest import listing

from .needs import check_package, key_in
from .template import Template, check_system, columns_named, mentions

DEADLINE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question to a model about each row.

    `text`: the template. `schema`: a JSON Schema as text. `params`: further fields of the request, as they are
    sent. `skip_empty`: rows without a value in one of these columns are skipped. `key_name`: the environment
    variable that holds the key, which is read in the workers and is nowhere else. `deadline`: seconds for a call.
    `accept_truncated`: take an answer that the model broke off.
    """

    text: str
    model: str
    system: str | None = None
    schema: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    skip_empty: tuple[str, ...] = ()
    base_url: str | None = None
    key_name: str = "OPENAI_API_KEY"
    deadline: float = DEADLINE_SECONDS
    accept_truncated: bool = False

    @property
    def is_async(self) -> bool:
        """Many answers are waited for at once."""
        return True

    @property
    def version(self) -> str:
        """Digest of model, template, system text, schema and parameters; the server's address is not part of it."""
        schema = None if self.schema is None else json.loads(self.schema)
        said = [self.model, self.text, self.system, schema, dict(self.params)]
        return xxhash.xxh3_128_hexdigest(json.dumps(said, sort_keys=True).encode())

    @property
    def asks_for_json(self) -> bool:
        """Whether prompt or system text say "JSON"; the names of columns, whose cells stand in their place, don't."""
        return mentions("json", self.text) or "json" in (self.system or "").lower()

    @property
    def libraries(self) -> tuple[str, ...]:
        """What asks, and what that is made of."""
        return ("openai", "httpx2", "batchrun.task.prompt.asking")

    @property
    def named(self) -> frozenset[str]:
        """The columns that the template inserts, and those of `--skip-empty`."""
        return frozenset((*columns_named(self.text), *self.skip_empty))

    def check(self, columns: Sequence[str]) -> None:
        """Raise `UsageError` if the template or `--skip-empty` names a column that is not there, or nearly names one,
        and if the system text has one's name in braces.
        """
        template = Template(self.text, columns)
        template.check(self.skip_empty)
        template.check_notation()
        if self.system is not None:
            check_system(self.system, columns)

    def note(self, columns: Sequence[str]) -> str | None:
        """A sentence if every row would be asked the same, or a column's name stands in doubled braces."""
        template = Template(self.text, columns)
        if not template.used:
            return f"the prompt names no column: every row gets the same question (the columns are: {listing(columns)})"
        if template.doubled:
            name = min(template.doubled)
            return f"the prompt's {{{{{name}}}}} is sent as the text {{{name}}}: single braces insert the cell"
        return None

    @property
    def needs_key(self) -> bool:
        """A server of one's own may go without."""
        return self.base_url is None

    def require(self) -> None:
        """Raise `TaskError` without a key or the openai package."""
        check_package()
        key_in(self.key_name, required=self.needs_key)

    def preview(self, row: dict[str, Any]) -> str:
        """The messages that would be sent for a row."""
        text = Template(self.text, tuple(row)).render(row)
        return text if self.system is None else f"system: {self.system}\n\nuser: {text}"

    def __str__(self) -> str:
        return f"prompt for {self.model}"
