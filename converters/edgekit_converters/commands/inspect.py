"""``edgekit inspect``: what a model or a bundle holds, and everything in it that is not sound int8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit import console

if TYPE_CHECKING:
    from edgekit.manifest import AccuracyRecord, Manifest
    from edgekit_converters.inspection import Inspection, Model
    from edgekit_targets.tflite import Tensor


@click.command()
@click.argument("file")
@click.option("--tensors", is_flag=True, help="List every tensor with its quantization.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(file: str, tensors: bool, as_json: bool) -> None:
    """Show what a .tflite model or a bundle holds, and audit it.

    FILE is only read: nothing in it runs, and no signature is checked. The exit code is 0 whatever is found.
    """
    from edgekit.errors import UnknownModelError
    from edgekit.files import read_capped
    from edgekit_converters.inspection import inspect_file
    from edgekit_targets.tflite import DEFAULT_LIMITS

    data = read_capped(Path(file), DEFAULT_LIMITS.size, error=UnknownModelError)
    found = inspect_file(file, data)
    if as_json:
        console.print_json({"file": file, **found.to_json(tensors)})
    else:
        click.echo("\n\n".join(_sections(file, found, tensors)))


def _sections(file: str, found: Inspection, tensors: bool) -> Iterator[str]:
    if found.manifest is not None:
        yield _bundle(file, found, found.manifest)
    for model in found.models:
        yield _verdict(model)
        yield console.table(model.operators, ("operator", "version", "count"))
        yield _edges(model)
        if tensors:
            headers = ("tensor", "name", "dtype", "shape", "scale", "zero point")
            yield console.table([_tensor_row(t) for t in model.audit.tensors], headers)
        yield from _findings(model)


def _bundle(file: str, found: Inspection, manifest: Manifest) -> str:
    calibration = manifest.calibration
    rows: list[tuple[str, object]] = [
        ("bundle", f"{file}: UNVERIFIED, nothing below is proven to come from anyone"),
        ("name", f"{manifest.name} {manifest.version}, security epoch {manifest.security_epoch}"),
        ("targets", ", ".join(manifest.targets)),
        ("calibrated on", f"{calibration.samples} samples, {calibration.source}"),
        ("accuracy", _accuracy(manifest.accuracy)),
        ("sha256", found.digest),
        *(("member", f"{name}, {size:,} bytes") for name, size in found.members.items()),
        *(("exception", text) for text in manifest.exceptions),
    ]
    return _facts(rows)


def _accuracy(record: AccuracyRecord | None) -> str:
    if record is None:
        return "not measured"
    values = f"float {record.float_value:.4g}, int8 {record.int8_value:.4g} {record.unit}"
    return f"{record.metric}: {values} on {record.n} samples"


def _verdict(model: Model) -> str:
    audit = model.audit
    if audit.strictly_int8:
        verdict = "strictly int8, inputs and outputs too"
    elif not audit.errors:
        verdict = f"int8 but for {_count(audit.exceptions, 'exception')}"
    elif audit.fully_integer:
        verdict = "integer throughout, in the older uint8 scheme"
    else:
        verdict = f"NOT strictly int8: {_count(audit.errors, 'finding')}"
    rows = [
        ("model", f"{model.name}, {audit.size:,} bytes, of them {audit.parameter_bytes:,} parameters"),
        ("verdict", verdict),
        ("made by", model.description or "-"),
    ]
    if model.metadata:
        rows.append(
            ("metadata", ", ".join(f"{name} ({size} bytes)" for name, size in model.metadata.items()))
        )
    return _facts(rows)


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _edges(model: Model) -> str:
    names = {number: name for _, number, name, _ in model.signatures}
    rows = [
        (kind, *_tensor_row(tensor), names.get(tensor.index, ""))
        for kind, tensors in (("input", model.audit.inputs), ("output", model.audit.outputs))
        for tensor in tensors
    ]
    return console.table(
        rows, ("", "tensor", "name", "dtype", "shape", "scale", "zero point", "signature name")
    )


def _tensor_row(tensor: Tensor) -> tuple[object, ...]:
    q = tensor.quantization
    scale: object = None
    zero_point: object = None
    if q is not None and len(q.scale) == 1:
        scale, zero_point = q.scale[0], q.zero_point[0] if q.zero_point else None
    elif q is not None and q.scale:
        scale = f"{min(q.scale):.4g}..{max(q.scale):.4g} along {q.quantized_dimension}"
        zero_point = ", ".join(map(str, sorted(set(q.zero_point))[:3]))
    shape = "x".join(map(str, tensor.shape_signature)) or "scalar"
    return tensor.index, tensor.name, tensor.type.lower(), shape, scale, zero_point


def _findings(model: Model) -> Iterator[str]:
    audit = model.audit
    if audit.findings:
        yield "\n".join(
            f"{finding.severity.value} {finding.rule}: {console.printable(str(finding))}\n"
            f"  {console.printable(finding.fix)}"
            for finding in audit.findings
        )
    if audit.exceptions:
        yield "\n".join(f"exception: {console.printable(text)}" for text in audit.exceptions)


def _facts(rows: Sequence[tuple[str, object]]) -> str:
    width = max(len(word) for word, _ in rows)
    return "\n".join(f"{word:<{width}}  {console.printable(str(text))}" for word, text in rows)
