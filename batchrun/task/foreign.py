"""numpy, pandas and pydantic values, without importing any of them.

Importing pandas costs each worker process 90 MB and most of a second; a value that comes from it brings
all the code that is needed to read it.
"""

from typing import Any

NOT_FOREIGN: object = object()  # what `unwrap` answers for a value that it does not know

_LISTS = frozenset({"Index", "RangeIndex", "MultiIndex", "DatetimeIndex", "TimedeltaIndex", "Categorical"})


def unwrap(value: Any) -> object:
    """The Python value inside a numpy, pandas, pyarrow or pydantic one, one level; else NOT_FOREIGN.

    Raises whatever the value's own methods raise.
    """
    library = type(value).__module__.partition(".")[0]
    if library == "numpy":
        return _from_numpy(value)
    if library == "pandas":
        return _from_pandas(value)
    if library == "pyarrow" and hasattr(value, "as_py"):
        return value.as_py()
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    return NOT_FOREIGN


def _from_numpy(value: Any) -> object:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if getattr(value, "ndim", 0):
        # tolist() turns datetimes into a bare count of nanoseconds; their scalars are known here.
        return list(value) if kind in "mM" else value.tolist()
    if kind in "mM" and kind:
        return _from_numpy_time(value, kind)
    if kind == "f":
        return float(value)  # item() of a long double is a long double again
    return value.item() if kind in ("b", "i", "u", "U", "O") else NOT_FOREIGN


def _from_numpy_time(value: Any, kind: str) -> object:
    """ISO text of a datetime64, the timedelta of a timedelta64, None for NaT."""
    text = str(value)
    if text == "NaT":
        return None
    return text if kind == "M" else value.astype("timedelta64[us]").item()


def _from_pandas(value: Any) -> object:
    name = type(value).__name__
    if name == "Series":
        return value.to_dict()
    if name in _LISTS or name.endswith("Array"):
        return list(value)
    return str(value) if name == "Period" else NOT_FOREIGN
