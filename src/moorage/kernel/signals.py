"""Signal dispositions and masks as a fresh program expects them.

Python ignores SIGPIPE and SIGXFSZ, and a program started from it inherits that: writes
to a closed pipe then fail with EPIPE instead of ending the writer, which shell pipelines
rely on. Handlers need no care, exec resets them.
"""

from __future__ import annotations

import signal

# Found once: asking for all 64 costs 100 µs, and only Python itself and whoever started
# it ignore signals here.
IGNORED_AT_START = tuple(
    number for number in map(int, signal.valid_signals()) if signal.getsignal(number) is signal.SIG_IGN
)


def reset_for_exec() -> None:
    """Give every signal that was ignored at start its default action, and unblock all."""
    for number in IGNORED_AT_START:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
