"""Labels, masks and keywords out of arrays and of real results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgekit
from edgekit.errors import InputError
from edgekit.tasks import segmentation
from edgekit.tasks.classification import Label, top_labels
from edgekit.tasks.keyword import Keyword, KeywordSpotter
from edgekit.tasks.scores import activate

pytestmark = pytest.mark.filterwarnings("ignore::edgekit.trust.UnsignedBundleWarning")


def f32(values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


# ---- classification -----------------------------------------------------------------------------------------------


def test_labels_of_a_real_result(bundle_file: Callable[..., Path], dense: Any) -> None:
    with edgekit.load(bundle_file(dense, ("red", "green", "blue")), trust=edgekit.UNSIGNED) as model:
        result = model.run(np.full((4, 4, 3), (51, 255, 0), np.uint8))
        labels = top_labels(result, model.manifest.labels)
    assert [(label.name, label.index) for label in labels] == [("green", 1), ("red", 0), ("blue", 2)]
    assert tuple((label.name, label.score) for label in labels) == result.labels


def test_a_result_of_several_outputs_needs_a_name(bundle_file: Callable[..., Path], pair: Any) -> None:
    with edgekit.load(bundle_file(pair), trust=edgekit.UNSIGNED) as model:
        result = model.run({"left": f32([1, 2]), "right": f32([3, 4])})
    with pytest.raises(InputError, match="2 outputs") as caught:
        top_labels(result)
    assert "sum, both" in str(caught.value.hint)
    assert [label.index for label in top_labels(result, output="sum")] == [1, 0]
    with pytest.raises(InputError, match="no output 'total'"):
        top_labels(result, output="total")


def test_ties_go_to_the_lower_class_and_top_limits() -> None:
    scores = f32([[[[1, 3, 3, 2]]]])
    assert top_labels(scores, top=3) == (Label(None, 1, 3.0), Label(None, 2, 3.0), Label(None, 3, 2.0))
    assert top_labels(scores, top=0) == ()


@pytest.mark.parametrize("top", [-1, "2", 1.5])
def test_a_top_that_makes_no_sense_is_refused(top: Any) -> None:
    with pytest.raises(InputError, match="top must be"):
        top_labels(f32([1, 2]), top=top)


@pytest.mark.parametrize("answer", [None, [1, 2, 3], "result"])
def test_what_is_no_answer_is_refused(answer: Any) -> None:
    with pytest.raises(InputError, match="a Result or an array, and got") as caught:
        top_labels(answer)
    assert "model.run" in str(caught.value.hint)


def test_softmax_is_applied_when_asked_and_does_not_overflow() -> None:
    labels = top_labels(f32([1000, 999, -1000]), activation="softmax")
    assert [label.score for label in labels] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0])
    assert top_labels(f32([1000, 999]))[0].score == 1000


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_activations_agree_with_float64(activation: Any) -> None:
    real = np.random.default_rng(0).normal(0, 20, (50, 7))
    exact = 1 / (1 + np.exp(-real))
    if activation == "softmax":
        powers = np.exp(real - real.max(axis=1, keepdims=True))
        exact = powers / powers.sum(axis=1, keepdims=True)
    got = activate(real, activation)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-30)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(activate(f32([[1e4, -1e4, 0]]), activation)).all()


def test_a_batch_and_wrong_labels_are_refused() -> None:
    with pytest.raises(InputError, match="one number a class"):
        top_labels(np.zeros((3, 4)))
    with pytest.raises(InputError, match="4 classes, and there are 2 labels"):
        top_labels(np.zeros((1, 4)), ("a", "b"))


# ---- segmentation -------------------------------------------------------------------------------------------------


def test_a_mask_names_the_best_class_of_each_pixel() -> None:
    scores = np.random.default_rng(0).integers(-128, 128, (1, 5, 6, 4)).astype(np.int8)
    mask = segmentation.class_mask(scores)
    assert mask.shape == (5, 6)
    assert mask.dtype == np.uint8
    for row, column in np.ndindex(5, 6):
        pixel = scores[0, row, column].tolist()
        assert mask[row, column] == pixel.index(max(pixel))
    first = segmentation.class_mask(np.moveaxis(scores, 3, 1), channels="first")
    np.testing.assert_array_equal(first, mask)


def test_many_classes_need_a_wider_mask() -> None:
    scores = np.zeros((2, 2, 300), np.float32)
    scores[:, :, 299] = 1
    mask = segmentation.class_mask(scores)
    assert mask.dtype == np.int16
    assert (mask == 299).all()


def test_shares_add_up() -> None:
    shares = segmentation.shares(np.array([[0, 2], [2, 2]], np.uint8), ("sky", "car", "road"))
    assert [(share.name, share.index, share.share) for share in shares] == [
        ("sky", 0, 0.25),
        ("car", 1, 0.0),
        ("road", 2, 0.75),
    ]


def test_one_score_a_pixel_needs_a_threshold() -> None:
    scores = f32([[0.2, 0.5], [0.7, 0.4]])
    for given_scores in (
        scores,
        scores[np.newaxis, :, :, np.newaxis],
        scores[np.newaxis],
        scores[:, :, np.newaxis],
    ):
        mask = segmentation.binary_mask(given_scores, threshold=0.5)
        np.testing.assert_array_equal(mask, [[0, 1], [1, 0]])
        assert mask.dtype == np.uint8
    with pytest.raises(InputError, match="says nothing") as caught:
        segmentation.class_mask(scores[:, :, np.newaxis])
    assert "binary_mask" in str(caught.value.hint)
    with pytest.raises(InputError, match="one score a pixel"):
        segmentation.binary_mask(np.zeros((4, 4, 3)), threshold=0.5)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
def test_stretching_a_mask_is_pillows_nearest(have_h: int, have_w: int, want_h: int, want_w: int) -> None:
    pillow = pytest.importorskip("PIL.Image")
    mask = np.arange(have_h * have_w, dtype=np.uint8).reshape(have_h, have_w)
    expected = np.asarray(pillow.fromarray(mask).resize((want_w, want_h), pillow.Resampling.NEAREST))
    got = segmentation.resize_mask(mask, (want_h, want_w))
    for row, column in np.ndindex(want_h, want_w):
        between = (2 * row + 1) * have_h % (2 * want_h) == 0 or (2 * column + 1) * have_w % (2 * want_w) == 0
        assert between or got[row, column] == expected[row, column]


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="2 labels"):
        segmentation.shares(np.array([[2]], np.uint8), ("a", "b"))
    with pytest.raises(InputError, match="stretch"):
        segmentation.resize_mask(np.zeros((2, 2), np.uint8), (0, 5))
    with pytest.raises(InputError, match="3 axes"):
        segmentation.class_mask(np.zeros((2, 3)))
    with pytest.raises(InputError, match="3 axes"):
        segmentation.class_mask(np.zeros((2, 4, 4, 3)))
    with pytest.raises(InputError, match="'frist'"):
        segmentation.class_mask(np.zeros((4, 4, 3)), channels="frist")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="there are no labels"):
        segmentation.shares(np.array([[0]], np.uint8), None)


# ---- keywords -----------------------------------------------------------------------------------------------------

WORDS = ("silence", "unknown", "yes", "no")


def scores_of(word: str, score: float = 0.97) -> np.ndarray[Any, Any]:
    rest = (1 - score) / (len(WORDS) - 1)
    return f32([score if name == word else rest for name in WORDS])


def hear(spotter: KeywordSpotter, words: list[str], hop_s: float = 0.25) -> list[Keyword]:
    heard = [spotter.push(scores_of(word), number * hop_s) for number, word in enumerate(words)]
    return [keyword for keyword in heard if keyword is not None]


def spotter(**settings: Any) -> KeywordSpotter:
    return KeywordSpotter(WORDS, background=("silence", "unknown"), **settings)


def test_a_word_over_several_windows_is_one_keyword() -> None:
    (keyword,) = hear(spotter(), ["silence"] * 4 + ["yes"] * 6 + ["silence"] * 4)
    assert (keyword.name, keyword.index) == ("yes", 2)
    # Four windows a second are averaged: with three of them "yes" the average is 0.73, above 0.7.
    assert keyword.time_s == 6 * 0.25
    assert keyword.score == pytest.approx((3 * 0.97 + 0.01) / 4)


def test_the_same_word_again_is_another_keyword_after_a_pause() -> None:
    said = ["silence"] * 4 + ["yes"] * 4 + ["silence"] * 4 + ["yes"] * 4
    assert [keyword.name for keyword in hear(spotter(), said)] == ["yes", "yes"]


def test_background_and_lone_windows_are_no_keywords() -> None:
    assert hear(spotter(), ["unknown"] * 8 + ["silence"] * 8) == []
    assert hear(spotter(), ["silence"] * 4 + ["yes"] + ["silence"] * 4 + ["no"] + ["silence"] * 4) == []
    assert hear(spotter(), ["yes"] * 2) == []  # too few windows to be sure
    assert len(hear(spotter(), ["yes"] * 3)) == 1


def test_after_a_keyword_there_is_a_pause_for_all() -> None:
    said = ["yes"] * 4 + ["no"] * 4
    assert [keyword.name for keyword in hear(spotter(), said)] == ["yes", "no"]
    assert [keyword.name for keyword in hear(spotter(refractory_s=5), said)] == ["yes"]
    late = hear(spotter(refractory_s=1.5), ["yes"] * 4 + ["no"] * 12)  # it waits, it is not lost
    assert [(keyword.name, keyword.time_s) for keyword in late] == [("yes", 0.5), ("no", 2.0)]


def test_one_window_is_enough_where_one_is_asked_for() -> None:
    eager = spotter(average_s=0.1, at_least=1)
    assert [keyword.name for keyword in hear(eager, ["silence", "yes", "silence", "no"])] == ["yes", "no"]


def test_dropped_windows_make_the_average_shorter_and_not_older() -> None:
    quick = spotter(at_least=1)
    assert quick.push(scores_of("yes", 0.5), 0.0) is None
    keyword = quick.push(scores_of("yes", 0.9), 10.0)
    assert keyword is not None
    assert keyword.score == pytest.approx(0.9)


def test_reset_forgets() -> None:
    one = spotter()
    hear(one, ["yes"] * 4)
    one.reset()
    assert len(hear(one, ["yes"] * 4)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"average_s": 0}, "average_s"),
        ({"refractory_s": -1}, "refractory_s"),
        ({"at_least": 0}, "at_least"),
        ({"at_least": 1.5}, "at_least"),
        ({"average_s": "1"}, "average_s"),
        ({"refractory_s": float("nan")}, "refractory_s"),
        ({"threshold": None}, "threshold"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spotter(**settings)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="no class noise"):
        KeywordSpotter(WORDS, background=("noise",))
    with pytest.raises(InputError, match="background is a list of names, and got 'silence'"):
        KeywordSpotter(WORDS, background="silence")
    with pytest.raises(InputError, match="there are no labels"):
        KeywordSpotter(None, background=())
    with pytest.raises(InputError, match="labels is a list of names"):
        KeywordSpotter("yes", background=())
    with pytest.raises(InputError, match="3 scores for 4 labels"):
        spotter().push(f32([1, 2, 3]), 0.0)
    one = spotter()
    one.push(scores_of("yes"), 1.0)
    with pytest.raises(InputError, match="backwards"):
        one.push(scores_of("yes"), 0.5)
