"""Handwritten JSON as strict JSON: trailing commas, comments, other quotes, bare keys, Python literals.

What these rules cannot read without guessing is refused, never guessed.
"""

import re

from .scan import Token, tokens

LITERALS = {
    **dict.fromkeys(("true", "True", "TRUE"), "true"),
    **dict.fromkeys(("false", "False", "FALSE"), "false"),
    **dict.fromkeys(("null", "None", "NULL", "undefined"), "null"),
    **dict.fromkeys(("NaN", "nan"), "NaN"),
    **dict.fromkeys(("Infinity", "+Infinity", "inf"), "Infinity"),
    **dict.fromkeys(("-Infinity", "-inf"), "-Infinity"),
}
_NUMBER = re.compile(r"([+-]?)(0|[1-9]\d*)?(?:\.(\d*))?([eE][+-]?\d+)?", re.ASCII)
_BARE_KEY = re.compile(r"[^\W\d][\w$-]*|\d+")
_STRAY = re.compile(r"\"|\d'")
_TWO_STRINGS = re.compile(r"\"\s*\"")
_UNSURE = re.compile(r"\"\s*[\"\n:{\[}\]\d]|[,:{\[]\s*\"")
_ESCAPED = re.compile(r'\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|["\\/bfnrt\'])')
_ESCAPE = re.compile(rf'{_ESCAPED.pattern}|["\\\x00-\x1f]')
_CONTROL = re.compile(r"\\[bfnrt]")


class Unreadable(ValueError):
    """These rules cannot read the text. `hopeless`: something is missing that no repair can know."""

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


def strict(text: str) -> str:
    """The same as strict JSON (but for NaN and Infinity). Raises Unreadable.

    The answer need not be valid JSON: missing commas and mismatched brackets stay for the decoder to find.
    """
    parts: list[str] = []
    meaning = [token for token in tokens(text) if token.kind != "comment"]
    for index, token in enumerate(meaning):
        after = meaning[index + 1].kind if index + 1 < len(meaning) else ""
        _refuse_gap(token.kind, after)
        if token.kind == "comma" and after in ("close", ""):
            continue
        parts.append(_written(token, text, is_key=after == "colon"))
    return " ".join(parts)  # never glued: [1 2] lacks a comma, and is not [12]


def _refuse_gap(kind: str, after: str) -> None:
    """A value that is not there: [1,,2] or {"a": , …}. To close the gap would move or empty a value."""
    if after == "comma" and kind in ("open", "comma", "colon"):
        raise Unreadable("a value is missing before a comma", hopeless=True)
    if kind == "colon" and after in ("close", "colon"):
        raise Unreadable("a value is missing after a colon", hopeless=True)


def _written(token: Token, text: str, *, is_key: bool) -> str:
    piece = text[token.start : token.end]
    match token.kind:
        case "comma":
            return ","
        case "colon":
            return ":"
        case "string":
            return _quoted(piece, is_key)
        case "cut":
            raise Unreadable("a string does not end")
        case "bare":
            return f'"{piece}"' if is_key and _BARE_KEY.fullmatch(piece) else _bare(piece)
    return piece


def _bare(piece: str) -> str:
    if piece in LITERALS:
        return LITERALS[piece]
    if piece.startswith(("...", "…")):
        raise Unreadable("it is abbreviated (...)", hopeless=True)
    if _STRAY.search(piece):
        raise Unreadable("a quote is missing, or one too many", hopeless=True)
    number = _NUMBER.fullmatch(piece)
    if number is None or not (number[2] or number[3]):
        raise Unreadable(f"{piece[:40]!r} is not a JSON value")
    sign, whole, digits, exponent = number.groups()
    fraction = "" if digits is None else f".{digits or '0'}"
    return f"{sign.replace('+', '')}{whole or '0'}{fraction}{exponent or ''}"


def _quoted(piece: str, is_key: bool) -> str:
    quote, inner = piece[0], piece[1:-1]
    if quote == "'":
        doubtful = re.sub(r"\\.|(?<=\w)'(?=\w)", "", inner, flags=re.DOTALL)
    else:
        doubtful = re.sub(r"\\.", "", inner, flags=re.DOTALL)
    # Quotes inside come in pairs, and stand by their words. Else it may be two strings without a comma,
    # or one whose end is missing.
    if quote in "\"'＂`" and quote in doubtful:
        between = _TWO_STRINGS.search(doubtful.replace(quote, '"'))
        if not between and (is_key or doubtful.count(quote) % 2):
            raise Unreadable("a quote is missing, or one too many", hopeless=True)
        if between or _UNSURE.search(doubtful.replace(quote, '"')):
            raise Unreadable("it is unclear where a string ends")
    if "\\" in _ESCAPED.sub("", inner) and _CONTROL.search(inner):
        # In C:\Users\new or \alpha\beta the \n and \b are hardly a line feed and a backspace.
        raise Unreadable("a backslash may be an escape or itself", hopeless=True)
    return f'"{_ESCAPE.sub(_escaped, inner)}"'


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\\" or found == '"':
        return "\\" + found
    if len(found) == 1:
        return f"\\u{ord(found):04x}"
    if found[1] == "x":
        return f"\\u00{found[2:]}"
    return "'" if found == "\\'" else found
