"""What came back from a device: the profile, or why there is none. Decisions only; the talking is elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.errors import ProfileError, RemoteError
from edgekit.profiling import ssh
from edgekit.profiling.errand import Complaint, Report
from edgekit.profiling.record import Profile
from edgekit.version import __version__

if TYPE_CHECKING:
    from edgekit.profiling.remote import Remote

SAME_VERSION = "install the same edgekit on both ends: pip install -U 'edgekit[runtime]'"

_NO_ROOM = re.compile("No space left on device|Disk quota exceeded|File too large|Wrote only")
"""The last is GNU tar's where a part of the last block still found room."""


@dataclass(frozen=True, slots=True)
class Reply:
    """All that is known of one conversation.

    Attributes:
        code: Exit code of ssh.
        log: What ssh had to say.
        heard: What the device wrote to stderr.
        too_long: Whether it wrote more to stdout than is read.
        report: What it wrote to stdout.
    """

    code: int
    log: str
    heard: str
    too_long: bool
    report: Report


def profile_in(reply: Reply, remote: Remote, names: Mapping[str, str]) -> Profile:
    """The profile that a device answered with.

    Args:
        reply: What came back.
        remote: From where.
        names: Name in the device's folder -> what the user calls that file.

    Raises:
        RemoteError: There is none; it says why, and what to do.
    """
    report = reply.report
    if reply.too_long:
        raise RemoteError(f"{remote.host}: it answers with more than a profile can have", hint=SAME_VERSION)
    if report.failed is not None:
        raise _unprepared(reply, remote)
    if report.code is None or reply.code == ssh.REFUSED:
        raise _cut_off(reply, remote)
    if report.code != 0:
        complaint = report.complaint
        raise _failure(reply, remote) if complaint is None else _refusal(report, complaint, remote, names)
    try:
        return Profile.from_bytes(report.answer, "its answer")
    except ProfileError as error:
        raise RemoteError(
            f"{remote.host}: its edgekit does not answer with a profile: {error}", hint=SAME_VERSION
        ) from None


def _unprepared(reply: Reply, remote: Remote) -> RemoteError:
    """The device could not so much as start its edgekit."""
    if reply.report.failed == "edgekit":
        return _not_installed(remote)
    full = next(filter(_NO_ROOM.search, reply.heard.split("\n")), None)
    if full is not None:
        return RemoteError(
            f"{remote.host}: there is no room for the bundle and its data ({full.strip()})",
            hint="make room in /tmp there, or let TMPDIR in the environment that its ssh sets name another folder",
        )
    what = "make a temporary folder" if reply.report.failed == "folder" else "unpack the bundle"
    return RemoteError(
        f"{remote.host}: it cannot {what}{_colon(ssh.last_line(reply.heard))}",
        hint="it needs the programs mktemp, head and tar, and a folder that this user may write to",
    )


def _not_installed(remote: Remote) -> RemoteError:
    if remote.edgekit == "edgekit":
        return RemoteError(
            f"{remote.host}: edgekit is not installed there, or not on the PATH that its ssh sets",
            hint="pip install 'edgekit[runtime]' there; "
            "where it is in a virtual environment: --remote-edgekit venv/bin/edgekit",
        )
    return RemoteError(
        f"{remote.host}: {remote.edgekit} cannot be run there",
        hint="--remote-edgekit takes a path there; to install it: pip install 'edgekit[runtime]'",
    )


def _cut_off(reply: Reply, remote: Remote) -> RemoteError:
    """No whole answer came back."""
    begun = reply.report.folder is not None
    if reply.code == ssh.REFUSED:
        # What ssh says of its own options does not go to its log.
        return (ssh.connection_lost if begun else ssh.refusal)(remote.host, reply.log or reply.heard)
    what = "the measurement was ended" if begun else "its shell does not do its part"
    return RemoteError(
        f"{remote.host}: {what} (exit code {reply.code}){_colon(ssh.last_line(reply.heard))}",
        hint=f"does this work? ssh {remote.host} true",
    )


def _failure(reply: Reply, remote: Remote) -> RemoteError:
    """Its edgekit failed without a word that could be relayed."""
    code = reply.report.code or 0
    if code in (126, 127):  # a shell says so also of a script whose interpreter is gone
        return _not_installed(remote)
    how = f"was killed by signal {code - 128}" if code > 128 else f"failed with exit code {code}"
    return RemoteError(
        f"{remote.host}: its edgekit {how}{_colon(ssh.last_line(reply.heard))}",
        hint=f"does this work? ssh {remote.host} {remote.edgekit} doctor",
    )


def _refusal(report: Report, complaint: Complaint, remote: Remote, names: Mapping[str, str]) -> RemoteError:
    """What its edgekit says itself, with the files named as they are here."""
    if complaint.kind == "UsageError":
        version = f" (it is {report.version}, and this is {__version__})" if report.version else ""
        return RemoteError(
            f"{remote.host}: its edgekit does not know this: {complaint.message}{version}", hint=SAME_VERSION
        )
    message, hint = complaint.message, complaint.hint or ""
    for there, here in sorted(names.items(), reverse=True):  # input-10 before input-1
        message = message.replace(f"{report.folder}/{there}", here)
        hint = hint.replace(f"{report.folder}/{there}", here)
    return RemoteError(f"{remote.host} refuses: {message} ({complaint.kind})", hint=hint or None)


def _colon(words: str) -> str:
    return f": {words}" if words else ""
