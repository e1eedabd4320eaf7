"""What somebody may have meant by a name that is not known, and what there is."""

import difflib
from collections.abc import Iterable, Sequence


def suggest(name: str, known: Sequence[str], what: str) -> str:
    """A hint: names like this one, then all there are. `what`: the words before those, as `The columns are`."""
    return f"{meant(name, known)}{what}: {listing(known)}."


def meant(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'? ` if there is a name like this one, else nothing."""
    folded = {other.casefold(): other for other in known}
    close = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded)]
    return f"Did you mean {' or '.join(map(repr, close))}? " if close else ""


def listing(names: Iterable[str], most: int = 12) -> str:
    """Names for an error's hint, cut off after `most`."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
