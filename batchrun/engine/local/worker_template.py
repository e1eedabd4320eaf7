"""The coordinator's side of a template: a worker that others are forked from, in the nursery's place."""

import socket
from contextlib import suppress

from batchrun.core.processes import kill_group
from batchrun.engine.worker_setup import GO_ON, TEMPLATE_IS_UP

from .nursery import ANSWER_SECONDS, MESSAGE_SIZE, Nursery, NurseryDied


class WorkerTemplate(Nursery):
    """A worker that has imported what all need. It answers as a nursery does, and its workers die with it.

    `parent`: the nursery, whose child it is. `offered`: its end of the socket pair, to be given to it at its start.
    `refusal`: why it cannot be forked, if it has said so.
    """

    def __init__(self, parent: Nursery) -> None:
        self._socket, self.offered = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(0.0)
        self._parent = parent
        self._pid: int | None = None
        self.died = False
        self.refusal = ""

    def go_on(self) -> None:
        """The worker may load the task's module now, if it cannot be forked."""
        with suppress(OSError):  # its death is an event of its own
            self._socket.send(GO_ON)

    def fileno(self) -> int:
        """Readable when the worker has said whether it can be forked."""
        return self._socket.fileno()

    def is_up(self, pid: int) -> bool:
        """Whether this worker has said that it is the template now. If not, it is one like any other."""
        said = b""
        with suppress(OSError):
            said = self._socket.recv(MESSAGE_SIZE)
        if said != TEMPLATE_IS_UP:
            self.refusal = said.decode("utf-8", "replace").strip()
            return False
        self._socket.settimeout(ANSWER_SECONDS)
        self._pid = pid
        return True

    def abandon(self) -> None:
        """It is none, or is not wanted: what becomes of the worker is its lane's business."""
        self._socket.close()
        self.died = True

    def close(self) -> None:
        """End it. Workers that still live die with it. Closing it again does nothing."""
        self.abandon()
        if self._pid is not None:
            kill_group(self._pid)
            with suppress(NurseryDied):
                self._parent.reap(self._pid)
            self._pid = None
