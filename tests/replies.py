"""Both ends that a reply can come to."""

import pytest

from batchrun.task.reply import Parsed, ReplyError, parse


def ended(text: str, **options: bool) -> Parsed | ReplyError:
    """Either end; any other exception is a failed test."""
    try:
        return parse(text, **options)
    except ReplyError as error:
        return error


def failure(text: str, **options: bool) -> str:
    """The kind of failure that a text is."""
    with pytest.raises(ReplyError) as caught:
        parse(text, **options)
    assert str(caught.value)
    return caught.value.kind
