"""The other end of ``edgekit profile --host``: what a device's shell does, and what it says meanwhile.

The script comes on stdin, then the archive; stdin stays open as long as somebody waits for the answer. Everything
that the script says starts with a word that only these two ends know, because a shell's start-up files may
write to stdout as well.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from edgekit import strictjson
from edgekit.errors import BundleError
from edgekit.profiling.parcel import Parcel

# POSIX, and nothing that a small board might lack but `head -c`, `mktemp -d` and tar.
_SCRIPT = r"""
say() { printf '%s %s\n' "$nonce" "$*"; }

clean() {
  trap '' HUP INT PIPE TERM
  # Where this shell leads its process group, whatever it started ends with it; else at least edgekit does.
  kill -s TERM -- "-$$" 2>/dev/null || [ -z "$worker" ] || kill -s TERM "$worker" 2>/dev/null
  # Once more, for a process that was about to make a file when it was ended.
  rm -rf -- "$folder" 2>/dev/null || { sleep 1; rm -rf -- "$folder"; }
}

umask 077
worker=
exec 3<&0 </dev/null
folder=$(mktemp -d "${TMPDIR:-/tmp}/edgekit-XXXXXXXXXX") || { say failed folder; exit 1; }
trap 'exit 143' HUP INT PIPE TERM
trap clean EXIT

head -c "$size" <&3 | LC_ALL=C tar -x -o -f - -C "$folder" || { say failed unpack; exit 1; }

case $edgekit in
/*) ;;
'~/'*) edgekit=$HOME/${edgekit#??} ;;
*/*) edgekit=$HOME/$edgekit ;;
edgekit) command -v edgekit >/dev/null || edgekit=$HOME/.local/bin/edgekit ;;
esac
command -v "$edgekit" >/dev/null || { say failed edgekit; exit 1; }

say begins "$folder"
# Stdin ends when the other end is gone: then so does everything here.
{ cat <&3 >/dev/null; kill -s TERM "$$"; } >/dev/null 2>&1 &
TMPDIR=$folder
export TMPDIR
"$edgekit" "$@" 3<&- >"$folder/answer" &
worker=$!
wait "$worker" 2>/dev/null  # where a shell would tell how it ended
code=$?
worker=
if [ "$code" = 2 ]; then say version "$("$edgekit" --version 2>/dev/null | head -n 1)"; fi
say ends "$code"
cat "$folder/answer"
"""


@dataclass(frozen=True, slots=True)
class Complaint:
    """The error that a device's edgekit reports as JSON.

    Attributes:
        kind: Name of its class.
        message: What is wrong.
        hint: What to do about it; None where it does not know.
    """

    kind: str
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """What the script said.

    Attributes:
        folder: The folder on the device, once everything was in it; None before.
        failed: What could not be done there: "folder", "unpack" or "edgekit"; None where all of it could.
        version: What the device's edgekit calls itself, where it did not know what it was called with.
        code: Exit code of the device's edgekit; None where it did not end.
        answer: What it wrote to stdout.
    """

    folder: str | None
    failed: str | None
    version: str | None
    code: int | None
    answer: bytes

    @property
    def complaint(self) -> Complaint | None:
        """The error in the answer of an edgekit that refused; None where there is none."""
        try:
            said = strictjson.parse(self.answer, "the answer") if self.code else None
        except BundleError:
            return None
        error = said.get("error") if isinstance(said, dict) else None
        if not isinstance(error, dict):
            return None
        kind, message, hint = (error.get(key) for key in ("kind", "message", "hint"))
        if isinstance(kind, str) and isinstance(message, str) and isinstance(hint, str | None):
            return Complaint(kind, message, hint)
        return None


def script(parcel: Parcel, edgekit: str, nonce: str) -> bytes:
    """The script for one parcel.

    Args:
        parcel: What follows the script on stdin.
        edgekit: Command or path on the device, from the user's home folder there.
        nonce: The word that starts whatever the script says.
    """
    values = f"nonce={shlex.quote(nonce)} size={parcel.size} edgekit={shlex.quote(edgekit)}"
    # The words name $folder, and can become "$@" only where it is set.
    body = _SCRIPT.replace('"$@"', " ".join(parcel.words))
    return f"{values}\n{body}".encode("utf-8", "surrogateescape")


def command(script: bytes) -> str:
    """What ssh hands to the user's login shell, whichever that is: read a script of this length and run it.

    dd reads byte by byte, and so nothing of what follows the script.
    """
    return f"exec sh -c 'eval \"$(dd bs=1 count={len(script)} 2>/dev/null)\"'"


def read(said: bytes, nonce: str) -> Report:
    """Finds what the script said among whatever else came on its stdout."""
    told: dict[str, str] = {}
    rest, mark = said, f"{nonce} ".encode()
    while mark in rest:
        line, _, rest = rest.partition(mark)[2].partition(b"\n")
        what, _, value = line.decode("utf-8", "replace").partition(" ")
        told[what] = value
        if what == "ends":  # the answer follows, which may hold anything
            break
    code = told.get("ends", "")
    ended = code.isascii() and code.isdigit()
    return Report(
        folder=told.get("begins"),
        failed=told.get("failed"),
        version=told.get("version") or None,
        code=int(code) if ended else None,
        answer=rest if ended else b"",
    )
