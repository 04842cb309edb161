from __future__ import annotations

import signal
import threading

from exprd_server.signals import Signals


def test_a_signal_is_noticed_whichever_thread_it_hits():
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    before = signal.getsignal(signal.SIGINT)
    try:
        with Signals() as signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.pthread_kill(other.ident, number)
                assert signals.wait(10)
            assert not signals.wait(0)
    finally:
        end.set()
        other.join()
    assert signal.getsignal(signal.SIGINT) is before
