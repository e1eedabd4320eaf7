"""HTML and SVG, element by element. Plain text is escaped; only what is made here is taken as markup."""

import re
from html import escape

_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """`<name attribute="value">children</name>`; what is not `Markup` is escaped, None and False left out.

    Attributes are written as Python names: `class_` is `class`, `text_anchor` is `text-anchor`.
    """
    inner = "".join(map(_inner, children))
    return Markup(f"<{name}{''.join(_attribute(*pair) for pair in attributes.items())}>{inner}</{name}>")


def void(name: str, /, **attributes: object) -> Markup:
    """An element that has no end, like `<meta>`."""
    return Markup(f"<{name}{''.join(_attribute(*pair) for pair in attributes.items())}>")


def joined(*parts: object) -> Markup:
    """Several pieces of text and markup, one behind the other."""
    return Markup("".join(map(_inner, parts)))


def _inner(child: object) -> str:
    if child is None or child is False:
        return ""
    return child if isinstance(child, Markup) else escape(without_controls(str(child)))


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(without_controls(str(value)))}"'


def without_controls(text: str) -> str:
    """Text without what no HTML file may hold, or what turns the writing's direction round."""
    return _UNFIT.sub("\ufffd", text)
