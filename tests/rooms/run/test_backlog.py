"""Which waiting row is next, and how many may rest before no new ones are read."""

from batchrun.engine.deal import Ticket, rows_of
from batchrun.run import backlog as room
from batchrun.run.backlog import Backlog


def ticket(row, attempt=1):
    return Ticket(row, attempt, row.to_bytes(16, "big"), (str(row),))


def taken(backlog, most, now):
    return [position for deal in backlog.take(most, now) for position in deal.positions]


def test_new_rows_wait_while_many_rest_and_come_as_these_are_tried_again(monkeypatch):
    monkeypatch.setattr(room, "MOST_RESTING", 4)
    backlog = Backlog((ticket(row).alone() for row in range(1, 11)), 10)
    assert taken(backlog, 3, 0.0) == [1, 2, 3]
    for row in (1, 2, 3):
        backlog.rest(ticket(row, 2), until=100.0 + row)
    assert not backlog.is_full
    assert taken(backlog, 5, 1.0) == [4], "as many as may rest"
    backlog.rest(ticket(4, 2), until=90.0)
    assert backlog.is_full
    assert taken(backlog, 5, 2.0) == []
    assert backlog.next_due(2.0, 1000.0) == 88.0, "nobody looks before"
    assert taken(backlog, 5, 95.0) == [4, 5]
    assert len(backlog) == 8
    backlog.give_back([ticket(4, 2).alone()])
    assert backlog.next_due(95.0, 5.0) == 5.0
    assert taken(backlog, 100, 200.0) == [4, 1, 2, 3, 6, 7, 8, 9]


def test_where_no_new_rows_are_left_those_that_rest_hold_up_nobody(monkeypatch):
    monkeypatch.setattr(room, "MOST_RESTING", 1)
    backlog = Backlog(iter([ticket(1).alone()]), 1)
    assert rows_of(backlog.take(1, 0.0)) == 1
    backlog.rest(ticket(1, 2), until=5.0)
    assert not backlog.is_full
