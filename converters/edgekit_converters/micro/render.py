"""The text of the C sources. Pure: equal models and names give equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from edgekit.manifest import Preprocessing
from edgekit_converters.micro.arena import ArenaSize
from edgekit_converters.micro.names import comment, float_literal, string_literal
from edgekit_converters.micro.operators import SOURCE, method_of
from edgekit_converters.micro.source import C_TYPES, MicroModel, Port

MARK = "// Written by edgekit export-c"
"""How each file begins. Another file is never replaced."""

_BYTES_A_LINE = 16


def render(
    name: str, model: MicroModel, digest: str, operators: Sequence[str], arena: ArenaSize
) -> Mapping[str, str]:
    """Writes all files.

    Args:
        name: From `names.identifier`.
        model: What they are of.
        digest: SHA-256 of the model in hexadecimal.
        operators: From `operators.needed`.
        arena: From `arena.size_arena`.

    Returns:
        File name -> text, ASCII.
    """
    head = (
        f"{MARK} from {comment(model.member)} of {comment(model.name)}. Do not edit.\n"
        f"// SHA-256 of the model: {digest}\n"
    )
    return {
        f"{name}_model.h": head + _model_header(name),
        f"{name}_model.c": head + _model_source(name, model.data),
        f"{name}_config.h": head + _config(name, model, arena),
        f"{name}_ops.h": head + _ops(name, operators) + _usage(name, model, operators),
    }


def _guarded(macro: str, lines: Sequence[str]) -> str:
    return "\n".join([f"#ifndef {macro}", f"#define {macro}", "", *lines, "", f"#endif  // {macro}", ""])


def _model_header(name: str) -> str:
    lines = [
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "// The .tflite, at a multiple of 16 bytes; const, so that it stays in flash.",
        f"extern const unsigned char {name}_model_data[];",
        f"extern const unsigned int {name}_model_size;  // bytes",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
    ]
    return _guarded(f"{name.upper()}_MODEL_H_", lines)


def _model_source(name: str, data: bytes) -> str:
    words = [f"0x{byte:02x}," for byte in data]
    rows = (
        "    " + " ".join(words[start : start + _BYTES_A_LINE])
        for start in range(0, len(words), _BYTES_A_LINE)
    )
    return "\n".join(
        [
            f'#include "{name}_model.h"',
            "",
            "#include <stdalign.h>",
            "",
            f"alignas(16) const unsigned char {name}_model_data[{len(data)}] = {{",
            *rows,
            "};",
            f"const unsigned int {name}_model_size = {len(data)};",
            "",
        ]
    )


def _config(name: str, model: MicroModel, arena: ArenaSize) -> str:
    macro = name.upper()
    lines = [
        "#include <stdint.h>",
        "",
        *(f"// {line}" for line in _arena_words(arena)),
        f"#define {macro}_ARENA_BYTES {arena.bytes}",
        "",
        f"#define {macro}_INPUT_COUNT {len(model.inputs)}",
        f"#define {macro}_OUTPUT_COUNT {len(model.outputs)}",
    ]
    for kind, ports in (("INPUT", model.inputs), ("OUTPUT", model.outputs)):
        for number, port in enumerate(ports):
            lines += ["", *_port(f"{macro}_{kind}_{number}", port)]
    if model.labels is not None:
        lines += ["", *_labels(macro, model.labels)]
    return _guarded(f"{macro}_CONFIG_H_", lines)


def _arena_words(arena: ArenaSize) -> Iterator[str]:
    yield f"{arena.needed} bytes {arena.source}: reference kernels and 64-bit pointers,"
    yield f"of them {arena.tensors} for tensors (the rest, the runtime's own tables, takes about half on 32 bits);"
    yield f"and {arena.scratch} bytes that CMSIS-NN's kernels take in addition, at most."
    yield "MicroInterpreter::arena_used_bytes() on your board tells what it really is."


def _port(macro: str, port: Port) -> Iterator[str]:
    if port.scale is not None:
        yield "// real = (stored - ZERO_POINT) * SCALE"
    if port.preprocessing is not None:
        yield f"// {comment(_preprocessing_words(port.preprocessing))}"
    yield f"#define {macro}_NAME {string_literal(port.name)}"
    yield f"#define {macro}_TYPE {C_TYPES[port.dtype]}"
    yield f"#define {macro}_RANK {len(port.shape)}"
    if port.shape:
        yield f"#define {macro}_SHAPE {{{', '.join(map(str, port.shape))}}}"
    yield f"#define {macro}_SIZE {prod(port.shape)}  // values"
    if port.scale is not None:
        yield f"#define {macro}_SCALE {float_literal(port.scale)}"
        yield f"#define {macro}_ZERO_POINT ({port.zero_point})"


def _preprocessing_words(said: Preprocessing) -> str:
    """How raw samples become the real values of an input, in the order in which it is done."""
    steps = [f"raw {said.source} of {said.dtype}"]
    if said.color is not None:
        steps.append(f"channels {said.color}")
    if said.resize is not None:
        steps.append(f"resized ({said.resize})")
    if said.range is not None:
        steps.append(f"its span scaled to {said.range[0]:g}..{said.range[1]:g}")
    for word, values in (("less the mean", said.mean), ("divided by", said.std)):
        if values is not None:
            steps.append(f"{word} {', '.join(f'{value:g}' for value in values)}")
    return "; ".join(steps)


def _labels(macro: str, labels: Sequence[str]) -> Iterator[str]:
    yield f"#define {macro}_LABEL_COUNT {len(labels)}"
    yield f"#define {macro}_LABELS {{ \\"
    for label in labels:
        yield f"    {string_literal(label)}, \\"
    yield "}"


def _ops(name: str, operators: Sequence[str]) -> str:
    resolver = f"{name}_op_resolver"
    lines = [
        f'#include "{SOURCE}"',
        "",
        f"using {resolver} = tflite::MicroMutableOpResolver<{max(len(operators), 1)}>;",
        "",
        "// Adds the operators that the model has, and no other: each costs flash.",
        f"inline TfLiteStatus {name}_add_ops({resolver}& resolver) {{",
        *(f"  if (resolver.{method_of(op)}() != kTfLiteOk) return kTfLiteError;" for op in operators),
        *([] if operators else ["  (void)resolver;"]),
        "  return kTfLiteOk;",
        "}",
    ]
    return _guarded(f"{name.upper()}_OPS_H_", lines)


def _usage(name: str, model: MicroModel, operators: Sequence[str]) -> str:
    """A minimal program, as a comment."""
    macro = name.upper()
    lines = [
        "A program around it (C++17, TensorFlow Lite Micro on the include path):",
        "",
        '  #include "tensorflow/lite/micro/micro_interpreter.h"',
        *(f'  #include "{name}_{part}.h"' for part in ("config", "model", "ops")),
        "",
        f"  alignas(16) static uint8_t arena[{macro}_ARENA_BYTES];",
        "",
        "  int main() {",
        f"    {name}_op_resolver resolver;",
        f"    if ({name}_add_ops(resolver) != kTfLiteOk) return 1;",
        f"    tflite::MicroInterpreter interpreter(tflite::GetModel({name}_model_data), resolver, arena, sizeof arena);",
        "    if (interpreter.AllocateTensors() != kTfLiteOk) return 1;",
    ]
    lines += [
        f"    // {macro}_INPUT_{number}_SIZE values into interpreter.typed_input_tensor<{C_TYPES[port.dtype]}>({number})"
        for number, port in enumerate(model.inputs)
    ]
    lines.append("    if (interpreter.Invoke() != kTfLiteOk) return 1;")
    lines += [
        f"    // {macro}_OUTPUT_{number}_SIZE values from interpreter.typed_output_tensor<{C_TYPES[port.dtype]}>({number})"
        for number, port in enumerate(model.outputs)
    ]
    lines += ["    return 0;", "  }"]
    if "VAR_HANDLE" in operators:
        lines.append("The model keeps state: give the interpreter a tflite::MicroResourceVariables too.")
    if "ethos-u" in operators:
        lines.append("The Ethos-U takes Arm's core driver, which the program must initialise first.")
    return "\n" + "".join(f"// {line}".rstrip() + "\n" for line in lines)
