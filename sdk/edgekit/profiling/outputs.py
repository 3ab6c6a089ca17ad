"""The files that ``edgekit profile`` writes: `Outputs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import OutputError
from edgekit.files import ensure_writable, is_same_file, refuse_inputs, write_all_atomically

if TYPE_CHECKING:
    from edgekit.profiling.compare import Comparison
    from edgekit.profiling.record import Profile


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where to write what, each None where it is not wanted.

    Attributes:
        profile: The profile as JSON.
        html: The page with plots.
        trace: The trace for a viewer of traces.
    """

    profile: Path | None = None
    html: Path | None = None
    trace: Path | None = None

    def require_room(self, taken: Mapping[Path, str]) -> None:
        """Refuses what could not be written, before anything is measured for it.

        Args:
            taken: Path of a file that is read -> what it is, such as "the bundle".

        Raises:
            OutputError: A folder is missing or takes no files, or two names are one file.
        """
        for path in self._paths():
            ensure_writable(path)
            refuse_inputs(path, taken)
        for path, other in combinations(self._paths(), 2):
            if is_same_file(path, other):
                raise OutputError(f"cannot write two things to {path}", hint="give each its own name")

    def write(self, profile: Profile, comparison: Comparison | None) -> tuple[Path, ...]:
        """Writes all of them or none.

        Args:
            profile: What was measured.
            comparison: With an older profile, for the page; None where there is none.

        Returns:
            The files.

        Raises:
            OutputError: One of them cannot be written.
        """
        contents: dict[Path, bytes] = {}
        if self.profile is not None:
            contents[self.profile] = profile.to_bytes()
        if self.html is not None:
            from edgekit.profiling.page import render

            contents[self.html] = render(profile, comparison).encode("utf-8")
        if self.trace is not None:
            from edgekit.profiling.trace import trace_of

            contents[self.trace] = trace_of(profile)
        write_all_atomically(contents)
        return tuple(contents)

    def _paths(self) -> Iterator[Path]:
        yield from (path for path in (self.profile, self.html, self.trace) if path is not None)
