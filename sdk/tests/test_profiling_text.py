"""A profile as a person reads it on a terminal: everything is there, unknown is said, and nothing commands."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profile_cases import LATER, PI, QUIET, UNKNOWN, full_profile, op_times, profile_of

from edgekit.profiling.conditions import Cgroup
from edgekit.profiling.latency import Latency
from edgekit.profiling.record import BatchPoint, BundleFacts, Memory, OpTime, ThreadsPoint
from edgekit.profiling.text import MOST_KINDS, MOST_OPS, describe, facts
from edgekit.strictjson import UNPRINTABLE

Rows = dict[str, list[str]]


def rows(text: str) -> Rows:
    """The cells of each line after its first."""
    cells = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.strip()]
    return {first: rest for first, *rest in cells}


def test_everything_of_a_profile_is_there() -> None:
    text = describe(full_profile())
    assert text == text.strip()
    lines = text.splitlines()
    assert lines[:4] == [
        "cats 1.4.0, model.tflite on Raspberry Pi 4 Model B Rev 1.4 (Cortex-A72), 4 cores",
        "cpu, ai-edge-litert 2.3.0, xnnpack kernels, threads: 4",
        "40 runs after 20 of warm-up, 4 golden inputs of the bundle",
        "fell back to the CPU: no Edge TPU is plugged in",
    ]
    found = rows(text)
    assert found["latency"] == ["24.0 ms"] * 5 + ["0 ns", "41.7"]
    assert found["preprocess"] == ["100 us", "0.4%"]
    assert found["invoke"] == ["23.7 ms", "98.8%"]
    assert found["load"] == ["12.3 ms"]
    assert found["first inference"] == ["31.0 ms"]
    assert found["peak RSS"][0].endswith("more than before loading)")
    assert found["tensor arena"][0].endswith("(estimate)")
    assert found["governor"] == ["ondemand", "ondemand"]
    assert found["clock"] == ["1500 MHz", "1500 MHz"]
    assert found["temperature"] == ["48.2 C", "48.2 C"]
    assert found["throttling"] == ["none since boot"] * 2
    assert found["CPU quota"] == ["none", "none"]
    assert found["PSI"] == ["known", "known"]
    assert max(map(len, lines)) <= 120


def test_figures_stand_below_their_headings() -> None:
    lines = describe(profile_of()).splitlines()
    head = next(line for line in lines if "p50" in line)
    body = lines[lines.index(head) + 1]
    for name in ("min", "p50", "p90", "p99", "max"):
        end = head.index(name) + len(name)
        assert body[end - 2 : end + 1].rstrip() == "ms"


def test_sweeps_are_tables_and_marked_steps_are_marked() -> None:
    latency = Latency.of([24_000_000] * 3)
    bad = ("swapping: 3 pages in",)
    text = describe(
        profile_of(
            threads_sweep=(
                ThreadsPoint(1, 12_300_000, 80_000_000, latency, 41.5, 61_000_000, ()),
                ThreadsPoint(4, 12_400_000, 31_000_000, latency, 125.5, None, bad),
            ),
            batch_sweep=(
                BatchPoint(8, latency, 1333.0, 70_000_000, bad),
                BatchPoint(16, latency, 1444.0, 70_000_000, ()),
            ),
        )
    )
    found = rows(text)
    assert found["1"] == ["24.0 ms", "24.0 ms", "41.5", "12.3 ms", "80.0 ms", "61 MB"]
    assert found["4"][-2:] == ["unknown", "do not compare"]
    assert found["8"] == ["24.0 ms", "3.00 ms", "1,333", "70 MB", "do not compare"]
    assert found["16"][:2] == ["24.0 ms", "1.50 ms"]


def test_the_verdict_comes_last_with_every_reason() -> None:
    reasons = ("swapping: 3 pages in", "throttled")
    lines = describe(profile_of(verdict=reasons)).splitlines()
    assert lines[-3:] == [
        "DO NOT COMPARE these figures with others:",
        "- swapping: 3 pages in",
        "- throttled",
    ]


def test_a_quiet_board_that_says_everything() -> None:
    last = describe(profile_of()).splitlines()[-1]
    assert last == "nothing seen that speaks against comparing these figures"


def test_what_nobody_knows_is_said() -> None:
    text = describe(
        profile_of(
            conditions_before=QUIET,
            conditions_after=UNKNOWN,
            host=replace(PI, board=None, cpu=None, cores=None),
            memory=Memory(None, None, "own process", None, None),
            load_ns=None,
            first_ns=None,
            threads=None,
        )
    )
    found = rows(text)
    names = [name for name, _ in facts(UNKNOWN)]
    assert len(names) == 9
    for name in names:
        assert found[name][-1] == "unknown"
        assert found[name][0] != "unknown"
    assert [found[name] for name in ("peak RSS", "model", "tensor arena")] == [["unknown"]] * 3
    assert found["load"] == found["first inference"] == ["unknown (the session was open already)"]
    assert "model.tflite on a machine that does not tell its name\n" in text
    assert "threads as the runtime likes" in text
    assert text.splitlines()[-1].endswith(f"; unknown: {', '.join(names)}")


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (0, "none since boot"),
        (0x50000, "earlier since boot: under-voltage, throttled"),
        (0x50005, "now: under-voltage, throttled"),
        (0x80008, "now: the soft temperature limit was reached"),
        (0x100, "none since boot"),
        (None, "unknown"),
    ],
)
def test_throttling_in_words(bits: int | None, said: str) -> None:
    assert dict(facts(replace(QUIET, throttled=bits)))["throttling"] == said


def test_a_quota_in_words() -> None:
    assert dict(facts(replace(QUIET, cgroup=Cgroup(2, 1.5, 0))))["CPU quota"] == "1.5 CPUs"
    assert dict(facts(replace(QUIET, cgroup=None)))["CPU quota"] == "unknown"


def test_of_many_operators_the_slowest_are_shown() -> None:
    text = describe(profile_of(ops=op_times(300)))
    shown = re.findall(r"block_(\d+)$", text, re.MULTILINE)
    assert shown == [str(299 - place) for place in range(MOST_OPS)]
    assert f"... and {300 - MOST_OPS} faster ones" in text
    assert "sum of all 300: 45.1 ms, 100.0% of 45.1 ms, the whole without profiling (method: prefix)" in text


def test_few_operators_are_all_shown() -> None:
    text = describe(profile_of(ops=op_times(2, note="Pads are counted with their convolutions.")))
    assert "faster ones" not in text
    assert "outside XNNPACK" not in text
    assert "\nPads are counted with their convolutions.\n" in text


def other(count: int) -> tuple[OpTime, ...]:
    """Operators of kinds that XNNPACK does not take."""
    return tuple(
        OpTime(index, f"KIND_{index:02}", "n", "n", -5.0, 0.0, None, None, None) for index in range(count)
    )


def test_operators_outside_xnnpack_are_named() -> None:
    few = describe(profile_of(ops=op_times(3, ops=op_times(3).ops + other(2))))
    assert "outside XNNPACK: 2 of 5 (KIND_00, KIND_01)" in few
    assert rows(few)["0"][1:4] == ["-5 ns", "0.0%", "-"]  # a difference of two measurements
    many = describe(profile_of(ops=op_times(1, ops=op_times(1).ops + other(MOST_KINDS + 5))))
    assert f"outside XNNPACK: {MOST_KINDS + 5} of {MOST_KINDS + 6} (KIND_00, " in many
    assert f"KIND_{MOST_KINDS - 1:02}, ...)" in many


def test_a_runtime_without_xnnpack_has_nothing_outside_it() -> None:
    assert "outside" not in describe(profile_of(ops=op_times(2, ops=other(2))))


def test_long_names_keep_their_ends() -> None:
    long = OpTime(
        0, "CUSTOM" * 50, "network/" * 50, "network/" * 50 + "last_conv", 5.0, 1.0, None, None, "unknown"
    )
    text = describe(profile_of(ops=op_times(1, ops=(long,))))
    assert re.search(r"\.\.\.\S+network/last_conv", text)
    assert max(map(len, text.splitlines())) <= 130


NAMES = st.text(max_size=12).filter(lambda text: not UNPRINTABLE.search(text))
HOSTILE = ["\u200b", "\u200f", "\u061c", "\ufeff", "\ue000", "\U000e0041", "\u00ad", "\u0378"]
"""What a record lets through and a terminal should not get: it is not seen, or turns what is around it."""


def named(name: str) -> dict[str, Any]:
    """A profile whose every text is this one."""
    op = OpTime(0, f"K{name}", name, name, 1.0, 1.0, None, None, "XNNPACK")
    return {
        "bundle": BundleFacts(f"m{name}", f"1{name}", None, f"v{name}"),
        "host": replace(PI, board=f"b{name}", cpu=f"c{name}"),
        "device": f"d{name}",
        "runtime": f"r{name}",
        "kernels": f"k{name}",
        "fallback": f"f{name}",
        "inputs": f"i{name}",
        "verdict": (f"w{name}",),
        "ops": op_times(1, ops=(op, replace(op, index=1, delegate=None)), note=f"n{name}"),
        "conditions_before": replace(
            QUIET, clocks=tuple(replace(clock, governor=f"g{name}") for clock in QUIET.clocks)
        ),
        "conditions_after": LATER,
    }


@pytest.mark.parametrize("character", HOSTILE, ids=lambda text: f"U+{ord(text):04X}")
def test_hostile_names_are_shown_and_do_not_command(character: str) -> None:
    text = describe(profile_of(**named(character)))
    assert character not in text
    escaped = character.encode("unicode_escape").decode()
    for letter in "m1vbcdrkfiwngK":
        assert f"{letter}{escaped}" in text


@given(name=NAMES)
def test_only_printable_lines_come_out(name: str) -> None:
    profile = profile_of(**named(name))
    text = describe(profile)
    assert all(character.isprintable() for line in text.split("\n") for character in line)
    assert text.count("\n") == describe(profile_of(**named("x"))).count(
        "\n"
    )  # no name makes a line of its own
