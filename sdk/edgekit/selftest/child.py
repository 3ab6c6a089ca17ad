"""The process in which the golden inputs run: ``python -P -m edgekit.selftest.child REQUEST``, the bundle on stdin.

It goes into the sandbox before it reads a byte of the bundle, and only runs: the parent judges the answers. On its
stdout goes one line of JSON, then the bytes of the outputs.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, SelfTestError
from edgekit.record import Record
from edgekit.selftest.sandbox import Rules, enter

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Request(Record):
    """What the child is asked for; it comes as JSON on its command line.

    Attributes:
        device: "cpu", or an Edge TPU such as "usb:0".
        threads: For one inference; None leaves it to the runtime.
        rules: Of the sandbox.
    """

    device: str
    threads: int | None
    rules: Rules


def answer(request: Request, data: bytes) -> tuple[dict[str, object], list[NDArray[Any]]]:
    """Runs the golden inputs of a bundle.

    Args:
        request: What is asked for.
        data: The bundle, the very bytes that the parent has verified.

    Returns:
        What ran it, and one array an output of the manifest.

    Raises:
        EdgekitError: The bundle cannot be run.
    """
    from edgekit.bundle import read_unverified
    from edgekit.selftest.golden import read_golden
    from edgekit.session import Session
    from edgekit.trust import accept_unsigned

    if request.device != "cpu":
        from edgekit.backends.edgetpu import expect_death

        expect_death()
    bundle = accept_unsigned(read_unverified(data))  # the parent has it from a VerifiedBundle
    golden = read_golden(bundle.members, bundle.manifest)
    if golden is None:
        raise SelfTestError("the bundle has no golden inputs")
    with Session(bundle, device=request.device, threads=request.threads) as session:
        outputs = session.run_quantized(golden.inputs)
        named = outputs if isinstance(outputs, dict) else {bundle.manifest.outputs[0].name: outputs}
        said: dict[str, object] = {"runtime": session.runtime, "kernels": session.kernels}
        return said, [named[spec.name] for spec in bundle.manifest.outputs]


def main(arguments: list[str]) -> int:
    """Answers one request."""
    request = Request.from_json(json.loads(arguments[0]))
    # A runtime may write what it likes to stdout: it goes to stderr, and the answer through a descriptor of its own.
    wire = os.dup(1)
    os.dup2(2, 1)
    layers = enter(request.rules)
    said: dict[str, object]
    outputs: list[NDArray[Any]] = []
    try:
        said, outputs = answer(request, sys.stdin.buffer.read())
    except EdgekitError as error:
        said = {"error": {"kind": type(error).__name__, "message": str(error), "hint": error.hint}}
    except MemoryError:
        said = {"error": {"kind": "MemoryError", "message": "", "hint": None}}
    with os.fdopen(wire, "wb") as stream:
        stream.write(json.dumps(said | {"sandbox": layers}).encode() + b"\n")
        for output in outputs:
            stream.write(output.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
