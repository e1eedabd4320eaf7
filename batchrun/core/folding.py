"""Messages with what varies from row to row folded away, so that failures that are alike read alike. Pure."""

import re

MOST = 2000
"""Characters of a message that tell it apart; what follows is an answer or a dump of the row's own."""

_STRING = r"(?:[^{0}\\]|\\.|(?<=\w){0}(?=\w))*"  # an apostrophe within a word, as in 'O'Neil', ends nothing
_VARYING = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>()\[\]{}]*[^\s'\"<>()\[\]{}.,;:!?])"
    rf"|(?P<quoted>(?<!\w)[bru]?(?:'{_STRING.format(chr(39))}'|\"{_STRING.format(chr(34))}\")(?!\w)"
    r"|`[^`\n]*`|“[^”\n]*”|‘[^’\n]*’|«[^»\n]*»)"
    r"|(?P<path>(?<![\w.~/])~?(?:/[\w.@%+~-]+){2,}/?)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|[-+]\d\d:?\d\d))?)?(?![\w-]))"
    r"|(?P<id>(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"  # a UUID
    r"|\b0x[0-9a-f]+\b"
    r"|(?<![0-9a-z])(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,}(?![0-9a-z])"
    # Letters and digits by turns. An underscore ends it: what stands before is the id's prefix.
    r"|(?<![0-9a-z])(?=[0-9a-z]{10})[0-9a-z]*?\d[a-z][0-9a-z]*?\d[a-z][0-9a-z]*)"
    r"|(?P<number>(?:(?<!\w)[-+])?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_LEFT_OPEN = re.compile(r"(?<![\w…])(?:'(?!…')|[\"`“‘«]).*\Z", re.DOTALL)
_FOLDED = {"url": "URL", "quoted": "'…'", "path": "PATH", "time": "TIME", "id": "N", "number": "N"}


def fold(message: str) -> str:
    """The message with URLs, quoted text, paths, times, ids and numbers replaced by a sign for each.

    A quote that goes on beyond the part that is looked at counts as quoted. An id and a number get the same sign: an
    id of hexadecimal digits may happen to have no letter.
    """
    folded = _VARYING.sub(lambda found: _FOLDED[found.lastgroup or "number"], message[:MOST])
    return folded if len(message) <= MOST else _LEFT_OPEN.sub("'…'", folded)
