"""Keeps LiteRT's one line about XNNPACK off the terminal of edgekit's own commands.

On the first model of a process LiteRT writes it to file descriptor 2 from C++, and 2.3.0 has no switch for it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

BANNER = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


@contextmanager
def without_banner() -> Iterator[None]:
    """Holds back what is written to stderr meanwhile, and then writes all of it but the banner.

    For commands, not for the library: what another thread writes to stderr meanwhile comes late.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            for line in held:
                if not line.startswith(BANNER):
                    os.write(2, line)
