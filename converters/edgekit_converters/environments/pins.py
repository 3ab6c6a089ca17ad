"""What each environment holds, pinned exactly: pip takes something else on every Python, and says nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Version: TypeAlias = tuple[int, int]

# litert-torch 0.10.0 asks for torch, transformers, jax and more without upper bounds. What is pinned is what was tested;
# what reads or writes neither models nor numbers is left to pip.
_LITERT_TORCH = (
    "litert-torch==0.10.0",
    "litert-converter==0.5.0",
    "ai-edge-litert==2.3.0",
    "torchao==0.18.0",
)
_JAX = ("jax==0.10.2", "jaxlib==0.10.2", "ml-dtypes==0.6.0")


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """One kind of environment.

    Attributes:
        kind: "torch", "onnx" or "jax".
        framework: As people write it.
        needs: Modules that must be importable for this Python to do the work of the environment.
        requirements: For pip.
        first: Requirements that are installed before the others and without what they ask for.
        index: A further package index for `first`; None for none.
        pythons: The versions of Python that the pins are for.
        megabytes: What it takes on disk, measured on Linux x86-64.
    """

    kind: str
    framework: str
    needs: tuple[str, ...]
    requirements: tuple[str, ...]
    pythons: tuple[Version, ...]
    megabytes: int
    first: tuple[str, ...] = ()
    index: str | None = None

    @property
    def extra(self) -> str:
        """The extra of edgekit that puts the same into this Python."""
        return f"convert-{self.kind}"


SPECS: Mapping[str, EnvironmentSpec] = {
    "torch": EnvironmentSpec(
        kind="torch",
        framework="PyTorch",
        needs=("torch", "litert_torch"),
        # On Linux x86-64 PyPI has the build for CUDA, several GB; PyTorch's own index has the one without.
        first=(
            "torch==2.13.0+cpu ; sys_platform == 'linux' and platform_machine == 'x86_64'",
            "torch==2.13.0 ; sys_platform != 'linux' or platform_machine != 'x86_64'",
        ),
        index="https://download.pytorch.org/whl/cpu",
        requirements=("torch==2.13.0", *_LITERT_TORCH, *_JAX, "numpy==2.4.6", "safetensors==0.8.0"),
        pythons=((3, 11), (3, 12), (3, 13)),
        megabytes=2100,
    ),
    "onnx": EnvironmentSpec(
        kind="onnx",
        framework="ONNX",
        needs=("onnx", "onnx2tf", "onnxruntime"),
        # It pins numpy, protobuf, ai-edge-litert 2.1.2 and others itself, which fight with TensorFlow's and ours.
        requirements=("onnx2tf==2.6.9",),
        pythons=((3, 12), (3, 13)),
        megabytes=660,
    ),
    "jax": EnvironmentSpec(
        kind="jax",
        framework="JAX",
        needs=("jax", "tensorflow"),
        requirements=(*_JAX, "tensorflow==2.21.0", "numpy==2.4.6"),
        pythons=((3, 11), (3, 12), (3, 13)),
        megabytes=2600,
    ),
}
