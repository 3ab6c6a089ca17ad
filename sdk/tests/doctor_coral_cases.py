"""One machine for each thing that can be wrong with a Coral Edge TPU, and machines with nothing wrong."""

from __future__ import annotations

from doctor_cases import FAULT, LEGACY, NOTE, PIP, WARNING, Case, Setup, libedgetpu, on, stick
from fake_machine import HEALTHY, Machine, python

from edgekit.doctor.finding import Kind
from edgekit.doctor.pairing import Pairing
from edgekit_targets.install import LIBEDGETPU


def closed_stick(machine: Machine) -> None:
    """A stick that only its owner and group may open, with library and libusb, and neither rules nor groups."""
    machine.stick(mode=0o660)
    machine.library("libusb-1.0.so.0")
    machine.package("libedgetpu1-std", LIBEDGETPU, machine.library("libedgetpu.so.1"))


def card(machine: Machine) -> None:
    machine.card()
    machine.apex()
    machine.library("libusb-1.0.so.0")
    machine.package("libedgetpu1-std", LIBEDGETPU, machine.library("libedgetpu.so.1"))


def bare_library(machine: Machine) -> None:
    """Built by hand, so that no package says what it is."""
    machine.stick()
    machine.rules()
    machine.library("libusb-1.0.so.0")
    machine.library("libedgetpu.so.1", folder="usr/local/lib")
    machine.write("etc/ld.so.conf.d/libc.conf", "# libc default configuration\n/usr/local/lib\n")


def bare_library_alone(machine: Machine) -> None:
    machine.library("libusb-1.0.so.0")
    machine.library("libedgetpu.so.1")


def opened(machine: Machine) -> None:
    """Let others open the stick, as an access control list of udev's does."""
    next(machine.root.glob("dev/bus/usb/*/*")).chmod(0o666)


def foreign_library(machine: Machine) -> None:
    machine.stick()
    machine.rules()
    machine.library("libusb-1.0.so.0")
    machine.package("libedgetpu1-std", LIBEDGETPU, machine.library("libedgetpu.so.1", "armv7l", "usr/lib"))


def no_library_at_all(machine: Machine) -> None:
    machine.libedgetpu()
    machine.stick()
    machine.write("usr/lib/aarch64-linux-gnu/libedgetpu.so.1.0", "<html>404 Not Found</html>")


def without_libusb(machine: Machine) -> None:
    machine.libedgetpu()
    machine.stick()
    (machine.root / "usr/lib/aarch64-linux-gnu/libusb-1.0.so.0").unlink()


CORAL_CASES = [
    Case(
        Kind.LIBEDGETPU_MISSING,
        FAULT,
        "libedgetpu is not installed",
        "libedgetpu1-std_16.0tf2.19.1-1.bookworm_arm64.deb",
        build=stick(),
    ),
    Case(
        Kind.LIBEDGETPU_MISSING,  # no build is known
        FAULT,
        "libedgetpu is not installed",
        "https://github.com/feranick/libedgetpu/releases",
        build=on(stick(), Machine.rules),
        python=python(machine="x86_64"),
        machine="x86_64",
    ),
    Case(
        Kind.LIBEDGETPU_FOREIGN,
        FAULT,
        "was built for armv7l, and programs here are for aarch64",
        "bookworm_arm64.deb",
        build=foreign_library,
    ),
    Case(
        Kind.LIBEDGETPU_UNKNOWN,
        WARNING,
        "is it a library at all?",
        "bookworm_arm64.deb",
        build=no_library_at_all,
    ),
    Case(
        Kind.LIBUSB_MISSING,
        FAULT,
        "there is none for aarch64",
        "sudo apt install libusb-1.0-0",
        build=without_libusb,
    ),
    Case(
        Kind.PAIR_CRASHES,
        FAULT,
        "ai-edge-litert 2.2.0 with libedgetpu1-std 16.0 ends the process",
        "bookworm_arm64.deb",
        build=on(stick(), libedgetpu("16.0")),
    ),
    Case(
        Kind.PAIR_CRASHES,
        FAULT,
        "tflite-runtime 2.14.0 with libedgetpu1-max 16.0 ends the process",
        "sudo apt remove libedgetpu1-max",
        build=on(stick(), libedgetpu("16.0", "libedgetpu1-max")),
        packages=LEGACY,
    ),
    Case(
        Kind.PAIR_CRASHES,  # it will, once a stick is plugged in
        WARNING,
        "ends the process",
        f"{PIP} edgekit 'ai-edge-litert==2.2.0'",
        build=libedgetpu("16.0"),
        packages={**HEALTHY, "ai-edge-litert": "2.3.0"},
    ),
    Case(
        Kind.PAIR_TOO_NEW,
        WARNING,
        "built for an older TensorFlow than the runtime",
        "bookworm_arm64.deb",
        build=on(stick(), libedgetpu("16.0tf2.13.1-1.bookworm")),
        packages=LEGACY,
    ),
    Case(
        Kind.PAIR_UNCONFIRMED,
        NOTE,
        "ai-edge-litert 2.3.0 with libedgetpu1-std 16.0TF2.19.1-1: nobody is known to have run this pair",
        f"{PIP} edgekit 'ai-edge-litert==2.2.0'",
        build=on(stick(), libedgetpu()),
        packages={**HEALTHY, "ai-edge-litert": "2.3.0"},
    ),
    Case(
        Kind.PAIR_UNKNOWN,
        NOTE,
        "which TensorFlow it was built for is not known",
        "edgekit doctor --probe tries this pair",
        build=bare_library,
    ),
    Case(
        Kind.PAIR_FAILS,
        FAULT,
        "end the process (SIGSEGV)",
        "install a pair",
        build=on(stick(), libedgetpu()),
        pairings=(Pairing("usb:0", "both end the process (SIGSEGV)", "install a pair"),),
    ),
    Case(
        Kind.NO_DRIVER,
        FAULT,
        "an Edge TPU is at PCI 0000:01:00.0, and no driver serves it",
        "gasket-dkms_1.0-18.4_all.deb",
        build=on(Machine.card, libedgetpu()),
    ),
    Case(
        Kind.NO_UDEV_RULE,
        FAULT,
        "no udev rule gives Coral sticks to a group",
        'sudo usermod -aG plugdev "$USER"\nprintf ',
        build=closed_stick,
    ),
    Case(
        Kind.NO_UDEV_RULE,
        NOTE,
        "this user may open it, and others perhaps not",
        "60-edgetpu.rules",
        build=on(closed_stick, opened),
    ),
    Case(
        Kind.NOT_IN_GROUP,
        FAULT,
        "the user is not in the group plugdev",
        'sudo usermod -aG plugdev "$USER"',
        build=on(closed_stick, Machine.rules, lambda machine: machine.group("plugdev", 46, "alice")),
    ),
    Case(
        Kind.NOT_IN_GROUP,
        FAULT,
        "the user is not in the group coral",
        'sudo usermod -aG coral "$USER"',
        build=on(closed_stick, lambda machine: machine.rules('MODE="0660", GROUP="coral"')),
    ),
    Case(
        Kind.NOT_IN_GROUP,
        FAULT,
        "may not open the Edge TPU pci:0",
        "65-apex.rules\nsudo groupadd -f apex",
        build=card,
    ),
    Case(
        Kind.NOT_IN_GROUP,  # whose rule comes with the library
        FAULT,
        "the user is not in the group plugdev",
        "usermod -aG plugdev",
        build=stick(mode=0o660),
        also=(Kind.LIBEDGETPU_MISSING,),
    ),
    Case(
        Kind.LOGIN_AGAIN,
        FAULT,
        "the user joined the group plugdev after this login",
        "log out and in",
        build=on(closed_stick, Machine.rules, lambda machine: machine.group("plugdev", 46, "alice", "pi")),
    ),
    Case(
        Kind.NOT_OPENABLE,
        FAULT,
        "although /usr/lib/udev/rules.d/60-libedgetpu1-std.rules should allow it",
        "then replug the stick",
        build=on(
            closed_stick, Machine.rules, lambda machine: machine.group("plugdev", 46, "pi", entered=True)
        ),
    ),
    Case(
        Kind.NOT_OPENABLE,
        FAULT,
        "the user is in the group apex",
        "65-apex.rules",
        build=on(card, lambda machine: machine.group("apex", 47, "pi", entered=True)),
    ),
    Case(
        Kind.NO_DEVICE_FILE,
        FAULT,
        "/dev/bus/usb/002/003 to open it by",
        "-v /dev/bus/usb:/dev/bus/usb",
        build=on(libedgetpu(), stick(), lambda machine: next(machine.root.glob("dev/bus/usb/*/*")).unlink()),
    ),
    Case(
        Kind.ON_USB_2,
        WARNING,
        "usb:0 is on USB 2 (480 Mbit/s)",
        "a USB 3 port (blue on a Raspberry Pi)",
        build=on(libedgetpu(), stick(mbps="480")),
    ),
    Case(
        Kind.ON_USB_2,  # which no cable mends
        NOTE,
        "usb:0 is on USB 2",
        "this board has no USB 3",
        build=on(
            libedgetpu(),
            stick(mbps="480"),
            lambda machine: machine.board("Raspberry Pi 3 Model B Plus Rev 1.3"),
        ),
    ),
    Case(
        Kind.NEVER_USED,
        NOTE,
        "not used since it was plugged in (USB id 1a6e:089a)",
        "nothing to mend",
        build=on(libedgetpu(), stick(used=False)),
    ),
]


SOUND = {
    "no Coral": Setup(),
    "the pair that is reported to work": Setup(build=on(stick(), libedgetpu())),
    "a runtime that feranick's library serves": Setup(
        build=on(stick(), libedgetpu("16.0tf2.17.1-1.bookworm")), packages=LEGACY
    ),
    "a runtime of the very TensorFlow that the library was built for": Setup(
        build=on(stick(), libedgetpu("16.0tf2.17.1-1.bookworm")),
        packages={**LEGACY, "tflite-runtime": "2.17.1"},
    ),
    "a pair that is said to crash, and was tried": Setup(
        build=on(stick(), libedgetpu("16.0")), pairings=(Pairing("usb:0", None, None),)
    ),
    "a library of unknown origin, and no stick": Setup(build=bare_library_alone),
    "32-bit": Setup(packages=LEGACY, python=python(machine="armv7l"), machine="armv7l"),
    "32-bit, by a kernel that is told to say so": Setup(
        packages=LEGACY, python=python(machine="armv7l"), machine="armv8l"
    ),
    "a card with its driver": Setup(
        build=on(card, lambda machine: (machine.root / "dev/apex_0").chmod(0o666))
    ),
    "a stick whose speed the kernel does not say": Setup(build=on(libedgetpu(), stick(mbps=None))),
    "a stick that the users of the seat may open": Setup(
        build=on(closed_stick, lambda machine: machine.rules('MODE="0664", TAG+="uaccess"'), opened)
    ),
    "a library of another machine before the right one": Setup(
        build=on(
            libedgetpu(),
            stick(),
            lambda machine: machine.library("libedgetpu.so.1", "armv7l", "usr/local/lib"),
            lambda machine: machine.write("etc/ld.so.conf", "/usr/local/lib\n"),
        )
    ),
}
