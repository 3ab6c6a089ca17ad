from __future__ import annotations

import io
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import numpy as np
import pytest

from edgekit import console


def i8(values: object) -> np.ndarray[Any, Any]:
    return np.array(values, np.int8)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_takes_numpy_mappings_and_paths(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json(
        {
            "array": i8([[1, -2]]),
            "scalar": np.float32(0.5),
            "path": Path("a/b"),
            "view": MappingProxyType({"x": (1, None)}),
        }
    )
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"array": [[1, -2]], "scalar": 0.5, "path": "a/b", "view": {"x": [1, None]}}
    assert shown.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf")])
def test_json_refuses_what_it_cannot_say(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        console.print_json({"value": value})


def test_json_refuses_other_objects() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        console.print_json(object())


def test_json_survives_undecodable_file_names(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"file": "a\udcff.jpg"})
    assert json.loads(capsys.readouterr().out) == {"file": "a\udcff.jpg"}


def test_table_aligns_numbers_to_the_right_and_words_to_the_left() -> None:
    rows = [("conv", 3, 12.34567, "9.5 %"), ("a", 100, None, "10.0 %")]
    assert console.table(rows, ("layer", "ops", "ms", "share")).splitlines() == [
        "layer  ops     ms   share",
        "conv     3  12.35   9.5 %",
        "a      100         10.0 %",
    ]


def test_table_keeps_words_with_digits_to_the_left() -> None:
    lines = console.table([("3 cats, 2 dogs",), ("1",)], ("seen in all photos",)).splitlines()
    assert lines[2] == "1"


def test_table_without_rows_is_its_header() -> None:
    assert console.table([], ("input", "ms")) == "input  ms"


def test_table_counts_wide_characters_twice() -> None:
    lines = console.table([("猫", "x"), ("cat", "y")], ("", "")).splitlines()
    assert lines[1:] == ["猫   x", "cat  y"]


def test_table_shows_escapes_instead_of_obeying_them() -> None:
    assert "\x1b" not in console.table([("\x1b[31mred\n", "x")], ("label", "y"))
    assert console.printable("\x1b[31mé\n\udc80") == "\\x1b[31mé\\n\\udc80"


def test_status_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.status("reading photos/")
    assert capsys.readouterr() == ("", "reading photos/\n")


def test_quiet_silences_status_and_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    context = click.Context(click.Command("x"))
    context.meta[console.QUIET] = True
    with context:
        console.status("reading")
        monkeypatch.setattr("sys.stderr", terminal)
        with console.progress("running", total=2) as step:
            step(2)
    assert capsys.readouterr() == ("", "")
    assert terminal.getvalue() == ""


def test_progress_is_silent_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("running", total=2) as step:
        step()
        step()
    assert capsys.readouterr() == ("", "")


def test_progress_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with console.progress("calibrating", total=4) as step:
        step(3)
        step()
    assert "calibrating" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_progress_of_unknown_length_shows_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with console.progress("exporting") as step:
        step()
    assert terminal.getvalue() == "exporting ...\n"
