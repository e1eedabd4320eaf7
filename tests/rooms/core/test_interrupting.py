"""A signal is counted, and ends what goes on only where nothing can be lost."""

import os
import signal

import pytest

from batchrun.core.signals import listening
from batchrun.errors import Interrupted


def test_a_signal_ends_a_block_that_may_be_ended_where_it_is_and_is_only_counted_elsewhere():
    with listening() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.count == 1
    with listening() as signals:
        with pytest.raises(Interrupted, match="not yet") as ended, signals.at_once("not yet"):
            os.kill(os.getpid(), signal.SIGTERM)
        assert (ended.value.exit_code, signals.first) == (143, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert (signals.count, signals.first) == (2, signal.SIGTERM)


def test_a_signal_that_came_before_ends_the_block_at_its_beginning():
    with listening() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted), signals.at_once("not yet"):
            pytest.fail("the block was entered")


def test_a_further_signal_does_not_disturb_the_way_out():
    way_out = []

    def interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            way_out.append("cleaned up")

    with listening() as signals, pytest.raises(Interrupted), signals.at_once("not yet"):
        interrupted()
    assert (way_out, signals.count) == (["cleaned up"], 2)
