"""The limit of a call to a model, in a worker that stood still for a while."""

import asyncio

import pytest

from batchrun.task.prompt.deadline import Deadlines


class Jumping(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put on, as it is for a process that was stopped."""

    ahead = 0.0

    def time(self):
        return super().time() + self.ahead


def ran(call):
    with asyncio.Runner(loop_factory=Jumping) as runner:
        return runner.run(call())


async def stopped(seconds):
    asyncio.get_running_loop().ahead += seconds


@pytest.mark.parametrize("at_once", [1, 5])
def test_a_call_has_all_its_time_though_the_process_stood_still(at_once):
    deadlines = Deadlines()

    async def call():
        async with deadlines.within(2.0):
            for _ in range(3):
                await asyncio.sleep(0.05)
                await stopped(100)
                await asyncio.sleep(0.05)
        return "answered"

    async def calls():
        return await asyncio.gather(*(call() for _ in range(at_once)))

    assert ran(calls) == ["answered"] * at_once


@pytest.mark.parametrize("still", [0.0, 100.0])
def test_a_call_that_is_never_answered_ends_all_the_same(still):
    deadlines = Deadlines()

    async def call():
        async with deadlines.within(0.6):
            await stopped(still)
            await asyncio.sleep(10_000)

    with pytest.raises(TimeoutError):
        ran(call)
