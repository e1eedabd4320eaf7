"""The nursery: the process that every lane's worker is forked from."""

import os
import pickle
import signal
import socket

from batchrun.nursery import Nursery
from batchrun.orders import Orders


def test_a_coordinator_that_dies_amid_a_question_leaves_nothing_behind_and_no_traceback(tmp_path, capfd):
    nursery = Nursery()
    orders = Orders("repair", str(tmp_path / "inflight"), strict=False, accept_truncated=False)
    pipes = [end for _ in range(3) for end in os.pipe()]
    try:
        os.kill(nursery._pid, signal.SIGSTOP)
        socket.send_fds(nursery._socket, [pickle.dumps(("start", orders))], [pipes[0], pipes[3], pipes[5]])
        nursery._socket.close()
        os.kill(nursery._pid, signal.SIGCONT)
        ended = os.waitid(os.P_PID, nursery._pid, os.WEXITED | os.WNOWAIT)
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
    finally:
        nursery.close()
        for end in pipes:
            os.close(end)
    assert capfd.readouterr().err == ""
