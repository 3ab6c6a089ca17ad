"""Every error of edgekit in one tree.

::

    EdgekitError                     exit code 1, with a hint
    ├── UnknownTargetError           no such device in the catalogue
    ├── InvalidTargetError           a device file breaks its schema
    ├── MalformedModelError          not a sound .tflite
    ├── MissingExtraError            an optional part of edgekit is not installed
    ├── MissingEnvironmentError      no environment for models of another framework, or an outdated one
    ├── EnvironmentCreationError     such an environment cannot be made
    ├── BrokenCommandError           a command that a package offers cannot be imported
    ├── OutputError                  the result cannot be written where asked
    ├── WorkerCrashedError           the child process of a stage died
    ├── BundleError
    │   ├── InvalidManifestError     a value that no manifest may hold
    │   ├── MalformedBundleError     not a canonical .edgekit file
    │   └── NewerFormatError         written by a later edgekit
    ├── TrustError
    │   ├── TrustRequiredError       no trust= and no --unsigned
    │   ├── AlreadySignedError       it has a signature, and nobody asked to replace it
    │   ├── NotSignedError           keys are trusted, and the bundle has no signature
    │   ├── UntrustedKeyError        signed, but by none of the trusted keys
    │   ├── BadSignatureError        the signature does not hold, or is not soundly built
    │   ├── BadManifestError         the signed list of files is not soundly built
    │   ├── FileMismatchError        a member is not the one that was signed
    │   ├── RevokedError             the key or the bundle is revoked
    │   ├── DowngradeError           its security epoch lies below the device's floor
    │   ├── NotAllowedError          trusted, but not for this target or of this name
    │   └── SelfTestError            its golden answers do not come out, or the runtime dies of it
    ├── KeyFileError                 a key file cannot be used, or a passphrase is wrong
    ├── StateError                   the device's state store cannot be used
    ├── RuntimeNotFoundError         no TFLite runtime is installed
    ├── SessionError                 a session is closed, or the runtime refuses the model
    │   ├── DeviceError              the accelerator that was asked for cannot be used
    │   └── SimulatedFaultError      a fault that the user asked the simulated backend for
    ├── ProfileError                 a profile cannot be taken, read or compared
    │   └── RemoteError              the device over ssh cannot do its part
    ├── InputError                   what was fed does not fit the model's input
    ├── SourceError                  the model cannot become a float .tflite
    │   ├── UnknownModelError        not a model of a known kind
    │   ├── UntrustedCodeError       the model file carries code
    │   ├── DynamicShapeError        a dimension is open and nothing says its size
    │   ├── ParityError              the float .tflite answers otherwise than the model it was made from
    │   └── UnsupportedModelError    an op, type or structure that int8 TFLite cannot hold
    ├── DataError                    calibration or evaluation data
    │   ├── NoDataError              there are none
    │   ├── BadSampleError           one of them is broken; names file and row
    │   └── PreprocessingError       it is not said, or said wrongly, how raw data become model input
    ├── MetricError                  the metric does not fit the labels or the outputs
    ├── QuantizationError            the quantizer refuses the model
    │   └── NotInt8Error             the audit found something that is not int8
    ├── CompilerError                a vendor's compiler refuses the model or fails
    │   └── CompilerNotFoundError    it is not installed
    ├── CertifyError                 a bundle cannot be certified
    │   ├── SysrootError             the system of an emulated board cannot be built
    │   └── EmulatorError            an emulator hung, was ended from outside, or left no answer
    └── ContractError                exit code 3
        ├── AccuracyContractError    int8 loses more than --max-drop allows
        ├── CertificateContractError a board does not start, or answers otherwise than is allowed
        └── ForecastContractError    --strict, and an operator does not surely run on the accelerator
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from edgekit_targets.errors import (
    EdgekitError,
    InvalidTargetError,
    MalformedModelError,
    UnknownTargetError,
)

__all__ = [
    "AccuracyContractError",
    "AlreadySignedError",
    "BadManifestError",
    "BadSampleError",
    "BadSignatureError",
    "BrokenCommandError",
    "BundleError",
    "CertificateContractError",
    "CertifyError",
    "CompilerError",
    "CompilerNotFoundError",
    "ContractError",
    "DataError",
    "DeviceError",
    "DowngradeError",
    "DynamicShapeError",
    "EdgekitError",
    "EmulatorError",
    "EnvironmentCreationError",
    "FileMismatchError",
    "ForecastContractError",
    "InputError",
    "InvalidManifestError",
    "InvalidTargetError",
    "KeyFileError",
    "MalformedBundleError",
    "MalformedModelError",
    "MetricError",
    "MissingEnvironmentError",
    "MissingExtraError",
    "NewerFormatError",
    "NoDataError",
    "NotAllowedError",
    "NotInt8Error",
    "NotSignedError",
    "OutputError",
    "ParityError",
    "PreprocessingError",
    "ProfileError",
    "QuantizationError",
    "RemoteError",
    "RevokedError",
    "RuntimeNotFoundError",
    "SelfTestError",
    "SessionError",
    "SimulatedFaultError",
    "SourceError",
    "StateError",
    "SysrootError",
    "TrustError",
    "TrustRequiredError",
    "UnknownModelError",
    "UnknownTargetError",
    "UnsupportedModelError",
    "UntrustedCodeError",
    "UntrustedKeyError",
    "WorkerCrashedError",
]


class MissingExtraError(EdgekitError):
    """An optional part of edgekit is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra '{extra}', which is not installed",
            hint=f"pip install 'edgekit[{extra}]'",
        )
        self.extra = extra


class MissingEnvironmentError(EdgekitError):
    """Models of another framework need an environment that is not there, or not of these pins; the hint makes it."""


class EnvironmentCreationError(EdgekitError):
    """An environment for models of another framework cannot be made."""


class BrokenCommandError(EdgekitError):
    """A command that an installed package offers cannot be imported.

    Attributes:
        why: The cause alone, short enough for the list of commands.
    """

    def __init__(self, message: str, *, hint: str | None = None, why: str) -> None:
        super().__init__(message, hint=hint)
        self.why = why


class OutputError(EdgekitError):
    """The result cannot be written where it was asked to go."""


class WorkerCrashedError(EdgekitError):
    """The child process of a stage died (a crash inside TensorFlow, for instance)."""


class BundleError(EdgekitError):
    """A bundle file cannot be used."""


class InvalidManifestError(BundleError):
    """A manifest may not hold this value; the message starts with its path, such as ``inputs[0].scale``."""


class MalformedBundleError(BundleError):
    """The bytes are not a canonical .edgekit file."""


class NewerFormatError(BundleError):
    """The bundle was written in a format that a later edgekit introduced."""


class TrustError(EdgekitError):
    """Where the bundle comes from is not established."""


class TrustRequiredError(TrustError):
    """Neither a trusted key nor an explicit 'unsigned' was given."""


class AlreadySignedError(TrustError):
    """The bundle to sign carries a signature, and nobody asked to replace it."""


class NotSignedError(TrustError):
    """Keys are trusted, and the bundle carries no signature."""


class UntrustedKeyError(TrustError):
    """The bundle is signed by none of the trusted keys."""


class BadSignatureError(TrustError):
    """The signature does not hold, or the envelope around it is not soundly built."""


class BadManifestError(TrustError):
    """The signed statement, the list of the members and their digests, is not soundly built."""


class FileMismatchError(TrustError):
    """A member is not the one that was signed, is not listed, or is missing."""


class RevokedError(TrustError):
    """The key that signed it, or the bundle itself, is revoked."""


class DowngradeError(TrustError):
    """The bundle's security epoch lies below the floor of this device."""


class NotAllowedError(TrustError):
    """The bundle is trusted, but not for this target or not under this name."""


class SelfTestError(TrustError):
    """The bundle's golden answers do not come out on this device, or the runtime dies of it."""


class KeyFileError(EdgekitError):
    """A key file cannot be read, written or unlocked."""


class StateError(EdgekitError):
    """The device's state store cannot be read or written."""


class RuntimeNotFoundError(EdgekitError):
    """No TFLite runtime that edgekit can drive is installed."""


class SessionError(EdgekitError):
    """A session is closed, or the runtime refuses the model."""


class DeviceError(SessionError):
    """The accelerator that was asked for is not there, or its driver does not work."""


class SimulatedFaultError(SessionError):
    """A fault that the user asked the simulated backend for."""


class ProfileError(EdgekitError):
    """A profile cannot be taken, read or compared."""


class RemoteError(ProfileError):
    """The device at the other end of ssh cannot do its part."""


class InputError(EdgekitError):
    """What was fed to a session does not fit the model's inputs."""


class SourceError(EdgekitError):
    """The trained model cannot be brought into float .tflite form."""


class UnknownModelError(SourceError):
    """The path holds nothing that edgekit knows as a model."""


class UntrustedCodeError(SourceError):
    """Loading the model would run code out of the model file."""


class DynamicShapeError(SourceError):
    """A dimension beside the batch is open, and nothing says its size."""


class ParityError(SourceError):
    """The float .tflite answers otherwise than the model of another framework that it was made from."""


class UnsupportedModelError(SourceError):
    """The model holds an op, a type or a structure that int8 TFLite cannot express."""


class DataError(EdgekitError):
    """Calibration or evaluation data cannot be used."""


class NoDataError(DataError):
    """There are no data where some were named, or none were named."""


class BadSampleError(DataError):
    """One sample is broken; the message names its file and row."""


class PreprocessingError(DataError):
    """How raw data become model input is not said, or does not fit the data."""


class MetricError(EdgekitError):
    """The metric is unknown, or does not fit the labels or the outputs."""


class QuantizationError(EdgekitError):
    """The quantizer refuses the model."""


class NotInt8Error(QuantizationError):
    """The audit found something in the finished model that is not int8."""


class CompilerError(EdgekitError):
    """A vendor's compiler refuses the model, fails, or leaves nothing for the accelerator."""


class CompilerNotFoundError(CompilerError):
    """The compiler is not installed."""


class CertifyError(EdgekitError):
    """A bundle cannot be certified."""


class SysrootError(CertifyError):
    """The system of an emulated board cannot be built."""


class EmulatorError(CertifyError):
    """An emulator hung, was ended from outside, or left no answer."""


class ContractError(EdgekitError):
    """A measured result breaks a contract that the user set.

    Attributes:
        report: What was measured, as JSON values; the command line shows it beside the error under ``--json``.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self, message: str, *, hint: str | None = None, report: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class AccuracyContractError(ContractError):
    """The int8 model loses more accuracy than --max-drop allows."""


class CertificateContractError(ContractError):
    """A board does not start a bundle, or its answers differ by more than is allowed."""


class ForecastContractError(ContractError):
    """With --strict, an operator stays on the CPU, or what is known does not decide where it runs."""
