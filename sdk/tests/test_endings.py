from __future__ import annotations

import signal

import pytest

from edgekit.endings import last_words, signal_name


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGSEGV, signal.SIGKILL])
def test_signals_have_names(number: signal.Signals) -> None:
    assert signal_name(int(number)) == number.name


def test_a_number_without_a_name_stays_a_number() -> None:
    assert signal_name(200) == "signal 200"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\n\n", "two"),
        (b"caf\xe9 \r\n", "caf\ufffd"),
        (b"a\x85b\n", "a\ufffdb"),
    ],
)
def test_last_words(output: bytes, said: str) -> None:
    assert last_words(output) == said
