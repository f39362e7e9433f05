import os
import signal

import pytest

from edgetok.progress import Silent
from edgetok.session.clock import Clock


@pytest.fixture
def clock():
    return Clock(Silent())


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_stages_add_up(clock):
    for _ in range(2):
        with clock.stage("one"):
            pass
    assert list(clock.seconds) == ["one"]
    assert clock.seconds["one"] >= 0


def test_ctrl_c_ends_the_block_and_the_handler_is_put_back(clock):
    with pytest.raises(KeyboardInterrupt), clock.interruptible():
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def swallow():
    try:
        press()
    except BaseException:
        return


def test_a_swallowed_ctrl_c_is_heard_at_the_end_of_the_stage(clock):
    went_on = []

    def run():
        with clock.interruptible():
            with clock.stage("one"):
                swallow()
            went_on.append(True)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert not went_on


def test_a_ctrl_c_turned_into_another_error_is_a_ctrl_c_again(clock):
    def run():
        with clock.interruptible():
            swallow()
            raise RuntimeError("from a callback")

    with pytest.raises(KeyboardInterrupt):
        run()


def test_other_errors_pass(clock):
    with pytest.raises(RuntimeError, match="mine"), clock.interruptible():
        raise RuntimeError("mine")


def test_a_handler_of_the_program_is_respected(clock):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        with clock.interruptible():
            press()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [True]
