"""How long an attempt may take, and how many rows may fail. Pure."""

from dataclasses import dataclass

LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """`--max-failures`: a number of rows, or a share of the rows to run (`percent`)."""

    number: float
    percent: bool = False

    def reached(self, failed: int, to_run: int) -> bool:
        """Whether so many failed rows are too many."""
        if self.percent:
            return failed > self.number / 100 * to_run
        return failed >= max(1, self.number)

    def __str__(self) -> str:
        return f"{self.number:g}{'%' if self.percent else ''}"


@dataclass(frozen=True, slots=True)
class Timeout:
    """`--timeout`: seconds for one attempt, or (`multiple`) so many times the running median."""

    number: float
    multiple: bool = False

    def limit(self, median: float | None) -> float | None:
        """Seconds for one attempt now. `median`: seconds, None while too few attempts have ended.

        A multiple is never less than a second: a machine that stutters must not end quick rows.
        """
        if not self.multiple:
            return self.number
        return None if median is None else max(LEAST_SECONDS, self.number * median)

    def __str__(self) -> str:
        return f"{self.number:g}{'x' if self.multiple else 's'}"
