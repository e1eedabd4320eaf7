"""Reading option values, as typed on a command line or written in TOML. Each raises `ValueError` in words."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar

from batchrun.core.limits import MaxFailures, Timeout
from batchrun.core.processes import cpus
from batchrun.core.suggest import meant

Word = TypeVar("Word", bound=str)

MOST_ROWS = 1_000_000
MOST_JOBS = 100_000
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def jobs(value: Any) -> int:
    """`50`, `200%` of the CPUs, or `auto` (the number of CPUs)."""
    text = str(value).strip()
    if text == "auto":
        return cpus()
    number, percent, _ = text.partition("%")
    if number.isdecimal() and text == number + percent and int(number):
        found = max(1, cpus() * int(number) // 100) if percent else int(number)
        if found <= MOST_JOBS:
            return found
        raise ValueError(f"{text!r} is more than {MOST_JOBS:,} jobs")
    raise ValueError(f"{text!r} is not a number of jobs (50, 200%, auto)")


def cluster(value: Any) -> str:
    """A scheduler's address, a scheduler file, or `local:N`."""
    text = str(value).strip()
    if text.startswith("local:") and not re.fullmatch(r"local:[1-9]\d{0,2}", text):
        raise ValueError(f"{text!r} is not local:N with N workers (local:2)")
    return text


def whole(value: Any) -> int:
    """A whole number, 0 or more."""
    text = str(value).strip().replace("_", "")
    if not text.isdigit():
        raise ValueError(f"{text!r} is not a whole number{' of 0 or more' if text.startswith('-') else ''}")
    return int(text)


def at_least_one(value: Any) -> int:
    """A whole number, 1 or more."""
    number = whole(value)
    if not number:
        raise ValueError("0 is too few")
    return number


def size(value: Any) -> int:
    """Bytes, from `300M`, `1.5G`, `500 MB`, `2GiB`: multiples of 1024."""
    text = str(value).strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?", text.lower())
    number = int(float(found[1]) * _SIZES[found[2]]) if found else 0
    if not number:
        raise ValueError(f"{text!r} is not a size (300M, 2G)")
    if number < _SIZES["m"]:
        raise ValueError(f"{text!r} is less than a megabyte (300M, 2G)")
    return number


def seconds_of(value: Any) -> float:
    """Seconds, from `30`, `30s`, `1.5m`, `2h`, `500ms`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|)", str(value).strip())
    if not found or not float(found[1]):
        raise ValueError(f"{value!r} is not a duration (30, 30s, 5m, 1h)")
    return float(found[1]) * _UNITS[found[2]]


def timeout(value: Any) -> Timeout:
    """A duration, or a multiple of the running median: `10x`."""
    text = str(value).strip()
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)x", text):
        if float(found[1]) <= 1:
            raise ValueError(f"{text!r}: a multiple of the median must be more than 1")
        return Timeout(float(found[1]), multiple=True)
    return Timeout(seconds_of(text))


def names(value: Any) -> tuple[str, ...]:
    """Column names, each once: `a,b`, or a list."""
    if isinstance(value, str):
        found = tuple(name.strip() for name in value.split(",") if name.strip())
    else:
        found = tuple(map(str, value))  # as they are: a name may hold a comma, or begin with a space
    if not found:
        raise ValueError("no column is named")
    return tuple(dict.fromkeys(found))


def words(value: Any) -> tuple[str, ...]:
    """One word as it is, commas and spaces included, or a list of some."""
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def listed(value: Any) -> str:
    """Text with commas, a list of its parts, or a table of names and types."""
    if isinstance(value, Mapping):
        value = [f"{name} {kind.__name__ if isinstance(kind, type) else kind}" for name, kind in value.items()]
    return value if isinstance(value, str) else ",".join(map(str, value))


def rows(value: Any) -> frozenset[int]:
    """Row numbers: `3,17-20`."""
    found: set[int] = set()
    for part in _parts(value):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise ValueError(f"{part!r} is not a row or a range of rows (3,17-20; the first row is 1)")
        if last - first >= MOST_ROWS:
            raise ValueError(f"{part!r} names more than {MOST_ROWS:,} rows; --limit takes the first ones")
        found.update(range(first, last + 1))
    if not found:
        raise ValueError("no row is named")
    return frozenset(found)


def positive(value: Any) -> float:
    """A number above 0."""
    found = amount(value)
    if not found:
        raise ValueError("it must be more than 0")
    return found


def gpus(value: Any) -> float:
    """A part of one GPU, or a whole number of them."""
    found = positive(value)
    if found > 1 and found % 1:
        raise ValueError(f"{value} is neither a part of a GPU (0.5) nor a whole number (2)")
    return found


def amount(value: Any) -> float:
    """A number, 0 or more: `600`, `2.5`."""
    text = str(value).strip().replace("_", "")
    if not re.fullmatch(r"-?(?:\d+(?:\.\d+)?|\.\d+)", text):
        raise ValueError(f"{text!r} is not a number")
    if text.startswith("-"):
        raise ValueError(f"{text} is less than 0")
    return float(text)


def json_schema(value: Any) -> str | Mapping[str, Any]:
    """The name of a file with a JSON Schema; in Python also the schema itself, or a pydantic model."""
    if isinstance(value, type) and hasattr(value, "model_json_schema"):
        value = value.model_json_schema()
    if isinstance(value, str) and value.lstrip().startswith("{"):
        raise ValueError("a file is named here, not the schema itself: save it, and give the file's name")
    return dict(value) if isinstance(value, Mapping) else str(value)


def max_failures(value: Any) -> MaxFailures:
    """`10`, or `5%` of the rows to run."""
    text = str(value).strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    if not found or ("." in found[1] and not found[2]):
        raise ValueError(f"{text!r} is not a number of rows or a share of them (10, 5%)")
    return MaxFailures(float(found[1]), bool(found[2]))


def order(value: Any) -> str:
    """`input`; `random`, or `random:7` with a seed, which is made `random:1` where none is given."""
    text = str(value).strip()
    if not re.fullmatch(r"input|random(:\d{1,18})?", text):
        raise ValueError(f"{text!r} is not an order (input, random, random:SEED with a number)")
    return "random:1" if text == "random" else text


def yes_no(value: Any) -> bool:
    """A switch."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{value!r} is neither yes nor no")


class OneOf(Generic[Word]):
    """Reads one of the given words."""

    def __init__(self, *choices: Word) -> None:
        self.choices = choices

    def __call__(self, value: Any) -> Word:
        """The word itself."""
        for choice in self.choices:
            if str(value) == choice:
                return choice
        close = meant(str(value), self.choices)
        raise ValueError(f"{str(value)!r} is not one of {', '.join(self.choices)}. {close}".strip())


reply: OneOf[Literal["auto", "json", "text"]] = OneOf("auto", "json", "text")


def _parts(value: Any) -> Iterable[str]:
    several = [value] if isinstance(value, (str, int)) else value
    return [part.strip() for item in several for part in str(item).split(",") if part.strip()]
