"""The offline page: the layout of graphs, and that nothing in a model can become markup or reach a network."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from check_models import chain, saved
from hypothesis import given
from hypothesis import strategies as st
from page_reader import HOSTILE, Seen, allowed_by_policy, seen_in
from tflite_models import Net, Op, activation

from edgekit.page.figures import percent, size
from edgekit.page.markup import Html, join, tag, text
from edgekit_converters.check import CheckRequest, check
from edgekit_converters.page import render
from edgekit_converters.page.facts import headline, shape
from edgekit_converters.page.findings import findings, numbers
from edgekit_converters.page.layout import Edge, lay_out
from edgekit_targets.ops import TensorView

CORAL = "coral-usb-accelerator"


# ---- the layout


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    count = draw(st.integers(0, 25))
    return [sorted(draw(st.sets(st.integers(0, row - 1), max_size=4))) if row else [] for row in range(count)]


def cells(edge: Edge) -> set[tuple[int, int]]:
    """Row and lane that an edge passes between its ends."""
    passed = set()
    for (row, lane), (next_row, _) in pairwise(edge.points):
        passed |= {(between, lane) for between in range(row + 1, next_row)}
    return passed | set(edge.points[1:-1])


@given(graphs())
def test_every_tensor_has_an_edge_and_no_line_runs_through_another(reads: list[list[int]]) -> None:
    layout = lay_out(reads)
    assert [(e.source, e.target) for e in layout.edges] == [
        (s, t) for t, row in enumerate(reads) for s in row
    ]
    assert all(0 <= lane < layout.width for lane in layout.lanes)
    nodes = set(enumerate(layout.lanes))
    owner: dict[tuple[int, int], int] = {}
    for edge in layout.edges:
        assert edge.points[0] == (edge.source, layout.lanes[edge.source])
        assert edge.points[-1] == (edge.target, layout.lanes[edge.target])
        assert [row for row, _ in edge.points] == sorted({row for row, _ in edge.points})
        for cell in cells(edge):
            assert cell not in nodes
            assert owner.setdefault(cell, edge.source) == edge.source


def test_a_chain_is_a_straight_line() -> None:
    assert lay_out([[], [0], [1], [2]]).lanes == (0, 0, 0, 0)


def test_a_skip_steps_aside_and_comes_back() -> None:
    layout = lay_out([[], [0], [1], [0, 2]])
    assert layout.lanes == (0, 0, 0, 0)
    assert layout.width == 2
    assert Edge(0, 3, ((0, 0), (1, 1), (3, 0))) in layout.edges


def test_branches_stand_side_by_side() -> None:
    assert lay_out([[], [0], [0], [0], [1, 2, 3]]).lanes == (0, 0, 1, 2, 0)


def test_a_graph_without_operators() -> None:
    assert lay_out([]).width == 1


# ---- the markup


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_is_escaped_wherever_it_stands(hostile: str) -> None:
    made = tag("td", hostile, join("a", hostile), title=hostile)
    seen = Seen()
    seen.feed(made)
    assert [name for name, _ in seen.elements] == ["td"]
    assert set(seen.elements[0][1]) == {"title"}


def test_markup_is_escaped_once() -> None:
    assert tag("p", tag("b", "1 < 2")) == "<p><b>1 &lt; 2</b></p>"
    assert text(Html("<b>")) == "<b>"
    assert tag("rect", x=1, class_=None, hidden=True) == '<rect x="1" hidden/>'


# ---- the page


def page_of(folder: Path, model: Net, name: str = "model.tflite", target: str = CORAL) -> str:
    return render(check(CheckRequest(model=saved(folder, model, name), target=target)))


def test_it_shows_every_operator_in_graph_and_table(tmp_path: Path) -> None:
    page = page_of(tmp_path, chain("RELU", "HARD_SWISH", "RELU"))
    seen = seen_in(page)
    rows = [row for row in seen.named("tr") if "id" in row]
    assert [row["id"] for row in rows] == ["op0", "op1", "op2"]
    assert [row["data-kind"] for row in rows] == ["home", "cpu", "cpu"]
    assert [label["data-op"] for label in seen.named("li")] == ["0", "1", "2"]
    nodes = [
        e for e, a in seen.elements if (a.get("class") or "").startswith("n ") and e in ("circle", "rect")
    ]
    assert nodes[: 1 + 2].count("rect") >= 1
    assert "HARD_SWISH" in seen.said


def test_the_reason_and_the_fix_stand_in_the_table(tmp_path: Path) -> None:
    model = chain("HARD_SWISH")
    (op,) = check(CheckRequest(model=saved(tmp_path, model), target=CORAL)).forecast.ops
    said = "".join(seen_in(page_of(tmp_path, model)).said)
    assert op.reason in said
    assert op.fix
    assert op.fix in said


def test_it_loads_nothing_and_its_policy_allows_its_own_texts_only(tmp_path: Path) -> None:
    seen = seen_in(page_of(tmp_path, chain("RELU", "HARD_SWISH")))
    allowed_by_policy(seen)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_stay_text(tmp_path: Path, hostile: str) -> None:
    plain = seen_in(page_of(tmp_path, chain("RELU", "HARD_SWISH")))
    model = chain("RELU", "HARD_SWISH").rename(
        **{"x": hostile, "block/hard_swish_1": hostile, "block/relu_0": hostile}
    )
    page = page_of(tmp_path, model, "$x <b>&.tflite")
    seen = seen_in(page)
    assert [element for element, _ in seen.elements] == [element for element, _ in plain.elements]
    assert [set(a) for _, a in seen.elements] == [set(a) for _, a in plain.elements]
    assert seen.raw == plain.raw
    assert "\x00" not in page
    assert "\u202e" not in page


def test_a_hostile_custom_operator_stays_text(tmp_path: Path) -> None:
    a, y = activation(1, 8), activation(1, 8)
    op = Op("CUSTOM", ("x",), ("y",), custom_code=HOSTILE[0], custom_options=b"\1")
    seen = seen_in(page_of(tmp_path, Net({"x": a, "y": y}, (op,), ("x",), ("y",))))
    assert len(seen.named("script")) == 1
    assert HOSTILE[0] in "".join(seen.said)


def test_the_same_check_gives_the_same_page(tmp_path: Path) -> None:
    assert page_of(tmp_path, chain("RELU", "LOGISTIC")) == page_of(tmp_path, chain("RELU", "LOGISTIC"))


def test_a_model_without_operators_has_a_page(tmp_path: Path) -> None:
    model = Net({"x": activation(1, 8)}, (), ("x",), ("x",))
    assert "0" in "".join(seen_in(page_of(tmp_path, model)).said)


def test_branches_are_drawn(tmp_path: Path) -> None:
    x = activation(1, 8)
    ops = (
        Op("RELU", ("x",), ("a",), version=2),
        Op("RELU", ("a",), ("b",), version=2),
        Op("ADD", ("a", "b"), ("y",), "AddOptions", version=2),
    )
    seen = seen_in(page_of(tmp_path, Net(dict.fromkeys(("x", "a", "b", "y"), x), ops, ("x",), ("y",))))
    lines = [a["d"] for a in seen.named("path") if (a.get("class") or "").split()[0] in ("home", "cpu")]
    assert len(lines) == 3
    assert sum("C" in (line or "") for line in lines) == 1


# ---- figures for people


def test_shares_never_round_to_all_or_nothing() -> None:
    assert [percent(s) for s in (0.0, 0.0004, 0.5, 0.123456, 0.9996, 1.0)] == [
        "0 %", "<0.1 %", "50 %", "12.3 %", ">99.9 %", "100 %",
    ]  # fmt: skip


def test_the_headline_counts_and_judges(tmp_path: Path) -> None:
    found = check(CheckRequest(model=saved(tmp_path, chain("RELU", "HARD_SWISH")), target=CORAL))
    assert headline(found.forecast).startswith("1 TPU, 1 CPU; ")
    assert found.forecast.verdict.text in headline(found.forecast)


def test_sizes_and_shapes() -> None:
    assert [size(n) for n in (0, 999, 1000, 4_340_000)] == ["0 B", "999 B", "1 kB", "4.34 MB"]
    assert shape(TensorView((1, -1, 3), "INT8")) == "1x?x3"
    assert shape(TensorView((), "INT32")) == "scalar"


# ---- what a person should look at


def test_numbers_are_said_in_runs() -> None:
    assert numbers([3]) == "op 3"
    assert numbers([3, 4, 5, 9]) == "ops 3-5, 9"


def test_causes_come_before_what_follows_from_them(tmp_path: Path) -> None:
    model = chain("HARD_SWISH", "RELU", "RELU", "HARD_SWISH", "TANH")
    found = check(CheckRequest(model=saved(tmp_path, model), target=CORAL))
    first, second = findings(found)
    assert [op.index for op in first.ops] == [0, 3]
    assert not first.follows
    assert [op.index for op in second.ops] == [1, 2, 4]
    assert second.follows
    assert second.title == "ops 1-2, 4: 2 RELU, TANH in 'relu_1', 'relu_2', 'tanh_4'"


def test_many_opcodes_and_layers_are_counted(tmp_path: Path) -> None:
    model = chain("HARD_SWISH", "RELU", "RELU", "TANH", "LOGISTIC", "RELU6")
    found = check(CheckRequest(model=saved(tmp_path, model), target=CORAL))
    assert findings(found)[1].title == "ops 1-5: 2 RELU, TANH, LOGISTIC and 1 more in 'relu_1' to 'relu6_5'"
