"""What a model answered, without what it thought before. Where thinking begins and ends, `thinking_marks` knows.

A mark within a string of JSON belongs to the answer. Where the marks leave a doubt, more is taken for
thinking than may be: an answer that is missed can be asked for again, a draft that is taken cannot be told.
"""

import re
from collections.abc import Iterator

from . import jsontext
from .candidates import next_bracket
from .json_tokens import end_of_bracket
from .mend import MAX_CHARACTERS, is_mendable
from .thinking_marks import Mark, marks

SPACE = " \t\n\r\v\f\ufeff\u00a0\u200b\u2028\u2029\u3000"
_MOST_DAMAGED = 20  # brackets that don't hold JSON as it stands; each costs a closer look
_WRAPPED = re.compile(
    r"(?:<(?P<name>answer|response|output|final|final_answer|solution|result)>|<\|begin_of_solution\|>"
    r"|<\|START_(?:RESPONSE|TEXT)\|>|<\|begin_of_box\|>|<\|open\|>response<\|sep\|>)(?P<inside>.*?)"
    r"(?:</(?P=name)>|<\|end_of_solution\|>|<\|END_(?:RESPONSE|TEXT)\|>|<\|end_of_box\|>|<\|close\|>response<\|sep\|>"
    r"|\Z)",
    re.DOTALL,
)
_BARE_FENCE = re.compile(r"(?:```|~~~)\w*\s*(?:```|~~~)?")
_LAST = re.compile(r"(?:<\|(?:return|end|im_end|eot_id|eom|endoftext|end_of_msg)\|>|</s>)\s*\Z")


def answer(text: str, *, prose: bool = False) -> str:
    """`text` without what a model thought before it answered; '' if it did nothing but think.

    What follows a beginning that has no end is thinking, and so is all that stands before an end that has
    no beginning. A text without thinking is returned as it is. `prose`: the text is an answer in words, and
    may speak of thinking: a beginning counts at the beginning of a line, and only if no other writing has it.
    """
    found = list(marks(text))
    if not found or not (thoughts := _thoughts(text, list(_meant(found, text)) if prose else found)):
        return text
    starts = [0, *(end for _, end in thoughts)]
    ends = [*(start for start, _ in thoughts), len(text)]
    return _unwrapped("".join(text[start:end] for start, end in zip(starts, ends, strict=True)))


def _meant(found: list[Mark], text: str) -> Iterator[Mark]:
    """The marks that a text in words has because a model thought, and not because it speaks of thinking."""
    spoken_of = set()
    for mark in found:
        if not mark.core or (mark.opens and not _begins_line(mark, text)):
            spoken_of.add(mark.family)
        elif mark.family not in spoken_of:
            yield mark


def _begins_line(mark: Mark, text: str) -> bool:
    before = text[max(0, mark.start - 20) : mark.start]
    return not before.rpartition("\n")[2].strip(SPACE) and ("\n" in before or mark.start < 20)


def _thoughts(text: str, found: list[Mark]) -> list[tuple[int, int]]:
    """Where what is thought begins and ends, in order."""
    last = {mark.family: index for index, mark in enumerate(found) if not mark.opens}
    thoughts: list[tuple[int, int]] = []
    looks = [None] * _MOST_DAMAGED
    position = 0
    for index, mark in enumerate(found):
        if mark.start < position:
            continue
        position = _past_json(text, position, mark.start, looks)
        if position > mark.start:
            continue
        if mark.opens:
            position = _end(text, found, index, last)
            thoughts.append((mark.start, position))
        else:
            position = mark.end
            thoughts = [(0, position)]
    return thoughts


def _end(text: str, found: list[Mark], index: int, last: dict[str, int]) -> int:
    """Where the thinking that begins at a mark ends: at the mark of its own kind, else of any kind."""
    mark = found[index]
    if mark.whole:
        return mark.end
    is_own_kind, depth = last.get(mark.family, -1) > index, 1
    for at in range(index + 1, len(found)):
        other = found[at]
        if is_own_kind and other.family != mark.family:
            continue
        if not other.opens:
            depth -= 1
        elif is_own_kind and mark.family != "channel" and text[found[at - 1].end : other.start].strip(SPACE):
            depth += 1  # nested; but a beginning that is only said twice is one
        if not depth:
            return other.end
    return len(text)


def _past_json(text: str, position: int, limit: int, looks: list[None]) -> int:
    """`limit`, or the end of the JSON that begins between `position` and `limit` and goes on beyond it."""
    while position < limit and (bracket := next_bracket(text, position, limit)) is not None:
        position = _json_end(text, bracket, limit, looks) or bracket + 1
    return max(position, limit)


def _json_end(text: str, start: int, limit: int, looks: list[None]) -> int | None:
    """The end of the JSON at `start`; None if that is none, nor so nearly that our own rules can read it."""
    if not looks:
        return None
    try:
        return jsontext.decode_at(text, start)[1]
    except (ValueError, RecursionError):
        looks.pop()
    part = text[start : start + MAX_CHARACTERS]
    length = end_of_bracket(part, 0)
    if length is None or (start + length > limit and not is_mendable(part[:length])):
        return None
    return start + length


def _unwrapped(kept: str) -> str:
    """An answer without the words that say that it is one: `<answer>`, `<|return|>`."""
    kept = _LAST.sub("", kept).strip(SPACE)
    if _BARE_FENCE.fullmatch(kept):
        return ""
    wrapped = _WRAPPED.fullmatch(kept)
    if wrapped is None or f"</{wrapped['name']}>" in wrapped["inside"]:
        return kept
    return wrapped["inside"].strip(SPACE)
