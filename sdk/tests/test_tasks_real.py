"""Keywords in real speech: Speech Commands clips through MLPerf Tiny's DS-CNN, converted here to int8."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.adapters.sensor import sliding
from edgekit.tasks.classification import top_labels
from edgekit.tasks.keyword import KeywordSpotter

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MODEL, CLIPS = DATA / "models" / "ds_cnn_kws_saved_model", DATA / "speech-commands.npz"

pytestmark = [
    pytest.mark.skipif(
        not (MODEL.is_dir() and CLIPS.is_file()), reason="the shared speech data are not here"
    ),
    pytest.mark.skipif(
        find_spec("tensorflow") is None, reason="TensorFlow, which converts the model, is not here"
    ),
    pytest.mark.filterwarnings("ignore::edgekit.trust.UnsignedBundleWarning"),
]

WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown")
BACKGROUND = ("silence", "unknown")
FRAME_S = 0.02
"""From one row of 10 MFCCs to the next; a window of the model has 49 rows."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[edgekit.Session]:
    folder = tmp_path_factory.mktemp("kws")
    (folder / "labels.txt").write_text("\n".join(WORDS) + "\n")
    words = [
        "convert", MODEL, "--target", "raspberry-pi-4", "--calibration", f"{CLIPS}#mfcc", "--samples", "100",
        "--effort", "fast", "--labels", "labels.txt", "-o", "kws.edgekit",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with edgekit.load(folder / "kws.edgekit", trust=edgekit.UNSIGNED) as session:
        yield session


@pytest.fixture(scope="module")
def clips() -> tuple[Any, Any]:
    with np.load(CLIPS) as arrays:
        return arrays["mfcc"], arrays["y"]


def test_the_best_label_of_most_clips_is_the_word_that_was_said(model: Any, clips: Any) -> None:
    features, said = clips
    answers = [top_labels(result, model.manifest.labels, top=1)[0].index for result in model.stream(features)]
    assert np.mean(np.array(answers) == said) > 0.85  # 0.904 when it was written


def test_words_between_silences_are_found_once_each(model: Any, clips: Any) -> None:
    """50 spoken words, a second of silence before each: the stream is cut every tenth of a second."""
    features, said = clips
    spoken = [index for index in range(len(said)) if WORDS[said[index]] not in BACKGROUND][:50]
    silence = features[said == WORDS.index("silence")].reshape(-1, 49, 10)
    rows = [
        part
        for number, index in enumerate(spoken)
        for part in (silence[number % len(silence)], features[index].reshape(49, 10))
    ]
    spotter = KeywordSpotter(model.manifest.labels, background=BACKGROUND, average_s=0.5)
    windows = sliding(np.concatenate([*rows, silence[0]]), size=49, hop=5)
    found: list[tuple[int, int]] = []  # which word it was, by time; and which it was taken for
    for number, result in enumerate(model.stream(window[:, :, np.newaxis] for window in windows)):
        keyword = spotter.push(result, time_s=(number * 5 + 49) * FRAME_S)
        if keyword is not None:
            found.append((round((keyword.time_s / FRAME_S - 98) / 98), keyword.index))
    right = {place for place, word in found if 0 <= place < 50 and word == said[spoken[place]]}
    assert len(right) > 30  # of 50
    assert len(found) - len(right) < 10  # wrong, twice, or where nothing was said
