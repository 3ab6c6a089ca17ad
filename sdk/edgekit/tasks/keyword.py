"""Spoken keywords out of a stream: one `Keyword` for each time that one is said, not one for each window.

Windows overlap, so a word shows in several of them, now stronger, now weaker. `KeywordSpotter` averages the scores of
the latest windows and answers when an average reaches the threshold::

    from edgekit.adapters import audio
    from edgekit.tasks.keyword import KeywordSpotter

    spotter = KeywordSpotter(model.manifest.labels, background=("silence", "unknown"))
    windows = audio.windows(chunks, size=16000, hop=4000)             # one second, every quarter of a second
    for number, result in enumerate(model.stream(windows)):
        keyword = spotter.push(result, time_s=number * 0.25)
        if keyword is not None:
            print(f"{keyword.time_s:.2f} s: {keyword.name} ({keyword.score:.2f})")

Averaging posteriors, a least number of windows and a pause after each answer are the known approach: TensorFlow's
speech_commands (tensorflow/examples/speech_commands/recognize_commands.h and .py), whose defaults, 1000 ms and 3
windows, are these. Unlike there, the same word may come twice in a row: a keyword that was answered can be answered
again once its average has fallen below the threshold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.arguments import real, whole
from edgekit.errors import InputError
from edgekit.tasks.scores import class_names, output_of, several

if TYPE_CHECKING:
    from edgekit.tasks.scores import Answer


@dataclass(frozen=True, slots=True)
class Keyword:
    """One time that a keyword was said.

    Attributes:
        name: Of the keyword.
        index: Of its class, from 0.
        score: The average that reached the threshold.
        time_s: Of the window that made it reach it, in seconds, as it was pushed.
    """

    name: str
    index: int
    score: float
    time_s: float


class KeywordSpotter:
    """Smooths the scores of overlapping windows, and says when a keyword begins. For one stream, in one thread."""

    def __init__(
        self,
        labels: Sequence[str] | None,
        *,
        background: Collection[str],
        average_s: float = 1.0,
        threshold: float = 0.7,
        refractory_s: float = 0.5,
        at_least: int = 3,
    ) -> None:
        """Make a spotter that has heard nothing yet.

        Args:
            labels: The name of each class. None, of a bundle without labels, is refused.
            background: Those that are no keywords, such as "silence" and "unknown"; () if there are none.
            average_s: Over how many seconds scores are averaged. Longer makes it surer, and later.
            threshold: The average that a keyword must reach.
            refractory_s: For how many seconds after a keyword no other one is answered.
            at_least: The fewest windows that make an average.

        Raises:
            InputError: There are no labels, a background class has none, or a number is out of its range.
        """
        labels = class_names(labels)
        background = several("background", background)
        average_s = real("average_s", average_s, None, error=InputError)
        refractory_s = real("refractory_s", refractory_s, 0, error=InputError)
        threshold = real("threshold", threshold, None, error=InputError)
        at_least = whole("at_least", at_least, 1, error=InputError)
        missing = [name for name in background if name not in labels]
        if missing:
            raise InputError(
                f"the model has no class {', '.join(missing)}", hint=f"its labels are {', '.join(labels)}"
            )
        if average_s <= 0:
            raise InputError(
                f"average_s must be above 0, and is {average_s:g}", hint="1.0 averages over a second"
            )
        self._labels = labels
        self._keywords = np.array([name not in background for name in labels])
        self._average_s = average_s
        self._threshold = threshold
        self._refractory_s = refractory_s
        self._at_least = at_least
        self.reset()

    def reset(self) -> None:
        """Forget everything heard, as after a gap in the sound."""
        self._heard: deque[tuple[float, NDArray[np.float32]]] = deque()
        self._armed = self._keywords.copy()
        self._quiet_until_s = -np.inf

    def push(self, answer: Answer, time_s: float, *, output: str | None = None) -> Keyword | None:
        """Hear one more window.

        Args:
            answer: The result of the window, or its scores: one for each class.
            time_s: When the window began or ended, in seconds from any start; the same for all windows. It must not
                go backwards.
            output: The name of the output, where there are several.

        Returns:
            The keyword that this window makes certain, or None.

        Raises:
            InputError: The scores do not fit the labels, or time went backwards.
        """
        scores = np.asarray(output_of(answer, output), np.float32).reshape(-1)
        if len(scores) != len(self._labels):
            raise InputError(f"there are {len(scores)} scores for {len(self._labels)} labels")
        if self._heard and time_s < self._heard[-1][0]:
            raise InputError(f"time went backwards, from {self._heard[-1][0]:g} s to {time_s:g} s")
        self._heard.append((time_s, scores))
        while self._heard[0][0] <= time_s - self._average_s:
            self._heard.popleft()
        if len(self._heard) < self._at_least:
            return None
        average = np.mean([heard for _, heard in self._heard], axis=0)
        self._armed |= self._keywords & (average < self._threshold)
        best = int(average.argmax())
        if not self._armed[best] or average[best] < self._threshold or time_s < self._quiet_until_s:
            return None
        self._armed[best] = False
        self._quiet_until_s = time_s + self._refractory_s
        return Keyword(self._labels[best], best, float(average[best]), time_s)
