"""What names the rows of a table, and what is to be done when that has changed. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BY_NAME, BY_PLACE, BY_CONTENT = "name", "place", "content"


@dataclass(frozen=True, slots=True)
class Naming:
    """`key`: the columns that name a row, none if its content does. `content`: those that make up its content,
    sorted. `chosen`: they were chosen, by the task or by `--columns`, and are not simply all that there are.
    """

    key: tuple[str, ...]
    content: tuple[str, ...]
    chosen: bool

    def as_fact(self) -> dict[str, Any]:
        """What the checkpoint remembers of it."""
        return {"key": self.key, "content": self.content, "chosen": self.chosen}

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """All that the names of rows depend on."""
        return self.key, self.content


def naming_of(reading: Mapping[str, Any], columns: Sequence[str]) -> Naming:
    """How rows of a table with these columns are named, if it is read with these options (see `Binder`)."""
    chosen = reading.get("content")
    if chosen is None:
        chosen = reading["columns"] or None
    content = [column for column in columns if chosen is None or column in chosen]
    return Naming(tuple(sorted(reading["key"])), tuple(sorted(content)), chosen is not None)


@dataclass(frozen=True, slots=True)
class Change:
    """How rows are found again. `columns`: those of the table.

    `by`: `name`, as ever; `place`, the table being the same; or `content`: by the columns that named them before,
    and by those that their content still has.
    """

    by: str
    before: Naming
    now: Naming
    columns: tuple[str, ...]

    @property
    def came(self) -> tuple[str, ...]:
        """Columns of the content that it did not have before."""
        return tuple(column for column in self.now.content if column not in self.before.content)

    @property
    def went(self) -> tuple[str, ...]:
        """Columns of the content before that are not in the table."""
        return tuple(column for column in self.before.content if column not in self.columns)

    @property
    def lost_key(self) -> tuple[str, ...]:
        """Columns of the key before that are not in the table."""
        return tuple(column for column in self.before.key if column not in self.columns)

    @property
    def shared(self) -> tuple[str, ...]:
        """The columns that rows are compared by: those that stayed, or that were chosen of them."""
        stayed = self.now.content if self.now.chosen else self.columns
        return tuple(column for column in self.before.content if column in stayed)

    @property
    def by_names(self) -> bool:
        """Whether rows can be named as before."""
        return not (self.lost_key if self.before.key else self.went)

    @property
    def same(self) -> bool:
        """Whether rows that are alike in the columns that stayed are alike to the task."""
        if self.by == BY_PLACE:
            return True
        return set(self.now.content) <= set(self.shared) and (self.now.chosen or not self.went)


def change_of(before: Naming, now: Naming, columns: Sequence[str], *, same_table: bool) -> Change:
    """Decide how the rows of a table with these columns are found. `same_table`: it holds what it held."""
    by = BY_NAME if before.names == now.names else BY_PLACE if same_table else BY_CONTENT
    return Change(by, before, now, tuple(columns))
