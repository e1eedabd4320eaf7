"""What somebody may have meant by a name that is not known, and what there is."""

import difflib
from collections.abc import Iterable


def suggest(name: str, known: Iterable[str], what: str) -> str:
    """A hint: names like this one, then what there is. `what`: the words before that, as `The columns are`."""
    known = list(known)
    return f"{meant(name, known)}{what}: {listing(known)}."


def meant(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'? ` if there is a name like this one, else nothing."""
    close = alike(name, known)
    return f"Did you mean {' or '.join(map(repr, close))}? " if close else ""


def alike(name: str, known: Iterable[str]) -> list[str]:
    """The names like this one, at most three, the one most alike first."""
    folded = {other.casefold(): other for other in known}
    return [folded[match] for match in difflib.get_close_matches(name.casefold(), folded)]


def listing(names: Iterable[str], most: int = 12, longest: int = 300) -> str:
    """Names for an error's hint, cut off after `most`, or where they would take more than `longest` characters.

    One with a comma in it is quoted, or it would look like two.
    """
    names = [repr(name) if "," in name else name for name in names]
    shown = names[:most]
    while len(shown) > 1 and len(", ".join(shown)) > longest:
        shown.pop()
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more
