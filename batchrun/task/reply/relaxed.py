"""Handwritten JSON as strict JSON: trailing commas, comments, other quotes, bare keys, Python literals.

What these rules cannot read without guessing is refused, never guessed.
"""

import re

from .clear_json import clear_as_strict
from .json_tokens import Token, json_tokens

LITERALS = {
    **dict.fromkeys(("true", "True", "TRUE"), "true"),
    **dict.fromkeys(("false", "False", "FALSE"), "false"),
    **dict.fromkeys(("null", "None", "NULL", "undefined"), "null"),
    **dict.fromkeys(("NaN", "nan"), "NaN"),
    **dict.fromkeys(("Infinity", "+Infinity", "inf"), "Infinity"),
    **dict.fromkeys(("-Infinity", "-inf"), "-Infinity"),
}
_NUMBER = re.compile(r"([+-]?)(0|[1-9]\d*)?(?:\.(\d*))?([eE][+-]?\d+)?", re.ASCII)
PHONE = re.compile(r"\+\d{7,}", re.ASCII)
_BARE_KEY = re.compile(r"[^\W\d][\w$-]*|\d+")
_STRAY = re.compile(r"\"|\d'")
_TWO_STRINGS = re.compile(r"\"\s*\"")
_UNSURE = re.compile(r"\"\s*[\"\n:{\[}\]\d]|[,:{\[]\s*\"")
_PLAIN = re.compile(r"[^\x00-\x1f\\\"'`“”‘’„＂]*")  # most are
_ESCAPED = re.compile(r'\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|["\\/bfnrt\'`“”‘’„＂])')
_ESCAPE = re.compile(rf'{_ESCAPED.pattern}|["\\\x00-\x1f]')
_LETTERED = re.compile(r"(?<!\\)(?:\\\\)*\\[bf](?=[a-zA-Z])")  # \frac, \beta
# A word next to a quote is on its other side, but in writing that has no spaces.
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_BEFORE_OPENING = re.compile(rf"[\s(\[{{<«=>:：,，;；。！？、—–/\\{_UNSPACED}-]")
_BEHIND_OPENING = re.compile(r"[\w(\[{<«“‘„$€£#@¿¡\\]")
_BEHIND_CLOSING = re.compile(rf"[\s.,;:!?)\]}}>/…—–’'、。，；：！？）」{_UNSPACED}-]|\Z")
_AND = ("", *"和与及或跟と、，", "and", "or", "und", "oder", "y", "et", "ou", "&", "+", "/", "|")
_LETTER = "a-zA-ZÀ-ɏЀ-ӿ"
_WITHIN_WORDS = re.compile(rf"[{_LETTER}]'[^\s']+'[{_LETTER}]")
_TWO_SINGLES = re.compile(r"’(?!\w)[^’]*‘")
_CURLY = re.compile("[“”„]")
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
    clear = clear_as_strict(text)
    return strict_by_tokens(text) if clear is None else clear


def strict_by_tokens(text: str) -> str:
    """The same for any text, clear or not."""
    parts: list[str] = []
    meaning = [token for token in json_tokens(text) if token.kind != "comment"]
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
    if sign == "+" and PHONE.fullmatch(piece):
        raise Unreadable("its plus sign would be lost, like that of a telephone number", hopeless=True)
    fraction = "" if digits is None else f".{digits or '0'}"
    return f"{sign.replace('+', '')}{whole or '0'}{fraction}{exponent or ''}"


def _quoted(piece: str, is_key: bool) -> str:
    quote, inner = piece[0], piece[1:-1]
    if _PLAIN.fullmatch(inner):
        return f'"{inner}"'
    bare = _without_escapes(inner, quote)
    if quote in "\"'＂`" and quote in bare:
        between = _TWO_STRINGS.search(bare.replace(quote, '"'))
        if not between and (is_key or bare.count(quote) % 2):
            raise Unreadable("a quote is missing, or one too many", hopeless=True)
        if between or _UNSURE.search(bare.replace(quote, '"')):
            raise Unreadable("it is unclear where a string ends")
    if not is_one_text(inner, quote):
        raise Unreadable("it is unclear where a string ends")
    if not has_clear_escapes(inner):
        raise Unreadable("a backslash may be an escape or itself", hopeless=True)
    return f'"{_ESCAPE.sub(_escaped, inner)}"'


def has_clear_escapes(inner: str) -> bool:
    """Whether each backslash is an escape or itself, beyond doubt: in C:\\Users\\new, \\n is hardly a line feed."""
    return not _LETTERED.search(inner) and not ("\\" in _ESCAPED.sub("", inner) and _CONTROL.search(inner))


def is_one_text(inner: str, quote: str) -> bool:
    """Whether what stands between two of `quote` is one text, and not two with something between them.

    Quotes inside that nobody escaped come in pairs: the first opens, behind a space or a bracket, the second
    closes, before one or before punctuation. In `red" and "blue` they stand the other way round.
    """
    bare = _without_escapes(inner, quote)
    if _curls_out(bare, quote):
        return False
    if quote == "'" and _WITHIN_WORDS.search(inner):
        return False  # 'red'and'blue'
    if quote not in "\"'＂`" or quote not in bare:
        return True
    places = [match.start() for match in re.finditer(quote, bare)]
    return len(places) % 2 == 0 and all(
        _opens(bare, first) and _closes(bare, second) and bare[first + 1 : second].strip() not in _AND
        for first, second in zip(places[::2], places[1::2], strict=True)
    )


def _opens(text: str, at: int) -> bool:
    return bool(_BEFORE_OPENING.search(text, max(0, at - 1), at) or not at) and bool(
        _BEHIND_OPENING.match(text, at + 1)
    )


def _closes(text: str, at: int) -> bool:
    return not text[at - 1].isspace() and bool(_BEHIND_CLOSING.match(text, at + 1))


def _curls_out(text: str, quote: str) -> bool:
    """Whether a curly quote closes what none has opened: there, the text ended."""
    if quote in "‘’":
        return _TWO_SINGLES.search(text) is not None
    depth = 0
    for curly in _CURLY.findall(text):
        depth += 1 if curly == "„" or (curly == "“" and quote != "„") else -1
        if depth < 0:
            return True
    return False


def _without_escapes(inner: str, quote: str) -> str:
    pattern = rf"\\.|(?<=[{_LETTER}])'(?=[{_LETTER}])" if quote == "'" else r"\\."
    return re.sub(pattern, "", inner, flags=re.DOTALL)


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\\" or found == '"':
        return "\\" + found
    if len(found) == 1:
        return f"\\u{ord(found):04x}"
    if found[1] == "x":
        return f"\\u00{found[2:]}"
    return found[1] if found[1] in "'`“”‘’„＂" else found
