"""Install lines: what a person types on each system, and what is said to be unverified."""

import shlex
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit_targets.catalog import load_target, target_names
from edgekit_targets.install import EDGEKIT_PYTHON, EXTRAS, install_plans
from edgekit_targets.target import InstallRoute, Kind, RuntimeStatus

PROJECT = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))["project"]


def plan_of(name, key):
    return next(p for p in install_plans(load_target(name)) if p.system is not None and p.system.key == key)


def lines_of(plan):
    return [step.line for step in plan.steps]


@pytest.mark.parametrize(("key", "python"), [("bookworm", "3.11"), ("trixie", "3.13")])
@pytest.mark.parametrize("board", ["zero-2-w", "3", "4", "5"])
def test_a_64_bit_raspberry_pi_takes_litert(board, key, python):
    plan = plan_of(f"raspberry-pi-{board}", key)
    assert plan.system.python == python
    assert lines_of(plan) == [
        "sudo apt install python3-venv",
        "python3 -m venv ~/edgekit-venv",
        "~/edgekit-venv/bin/pip install 'edgekit[runtime]'",
        "~/edgekit-venv/bin/python -m edgekit --version",
    ]
    assert "typed these lines on no device" in plan.cautions[0]


def test_32_bit_bookworm_takes_debians_numpy_and_the_older_runtime():
    plan = plan_of("raspberry-pi-3", "bookworm-32")
    assert "python3-numpy" in lines_of(plan)[0]
    assert "--system-site-packages" in lines_of(plan)[1]
    assert lines_of(plan)[2].endswith("'edgekit[runtime-legacy]'")


@pytest.mark.parametrize("name", ["raspberry-pi-4", "linux-armhf"])
def test_32_bit_trixie_has_no_runtime_and_says_so(name):
    plan = install_plans(load_target(name))[-1]
    assert (plan.system.python, plan.system.architecture) == ("3.13", "armv7l")
    assert (plan.runtime, plan.steps) == (None, ())
    assert plan.cautions[0] == "no TFLite runtime is known to work on this system"


@pytest.mark.parametrize("key", ["bookworm", "trixie"])
def test_the_coral_stick_gets_the_pair_that_is_reported_to_work(key):
    plan = plan_of("coral-usb-accelerator", key)
    text = "\n".join(lines_of(plan))
    assert (
        "https://github.com/feranick/libedgetpu/releases/download/16.0TF2.19.1-1/"
        f"libedgetpu1-std_16.0tf2.19.1-1.{key}_arm64.deb" in text
    )
    assert "--ignore-depends=libgcc1" in text
    assert "plugdev" in text
    assert "'ai-edge-litert==2.2.0'" in text
    assert ".allocate_tensors()" in lines_of(plan)[-1]
    assert plan.runtime.status is RuntimeStatus.REPORTED
    assert any("ends the process" in caution for caution in plan.cautions)


def test_the_pcie_card_needs_a_driver_and_is_unverified():
    plan = plan_of("coral-pcie-m2", "trixie")
    assert any("gasket-dkms" in line for line in lines_of(plan))
    assert any("/dev/apex_0" in (step.why or "") for step in plan.steps)
    assert "UNVERIFIED" in plan.cautions[0]
    assert any("kernel8.img" in caution for caution in plan.cautions)


def test_mendels_python_is_too_old_for_edgekit():
    (plan,) = install_plans(load_target("coral-dev-board"))
    assert not any("edgekit" in line for line in lines_of(plan))
    assert any("does not run there, because it needs Python 3.11" in caution for caution in plan.cautions)


@pytest.mark.parametrize(
    ("name", "core"),
    [("cortex-m4f", "cortex-m4+fp"), ("cortex-m7", "cortex-m7"), ("cortex-m55", "cortex-m55")],
)
def test_firmware_is_built_for_the_core(name, core):
    (plan,) = install_plans(load_target(name))
    assert f"TARGET_ARCH={core} microlite" in lines_of(plan)[-1]
    assert any("does not run on a microcontroller" in caution for caution in plan.cautions)


@pytest.mark.parametrize(("name", "unit"), [("ethos-u55-128", "u55"), ("ethos-u65-256", "u65")])
def test_ethos_u_goes_through_vela(name, unit):
    target = load_target(name)
    (plan,) = install_plans(target)
    assert lines_of(plan)[1] == " ".join(("vela", *target.accelerator.compiler_options.value, "model.tflite"))
    assert f"ETHOSU_ARCH={unit}" in lines_of(plan)[-1]


@pytest.mark.parametrize("name", target_names())
def test_every_device_says_how_sure_it_is(name):
    target = load_target(name)
    plans = install_plans(target)
    assert plans
    for plan in plans:
        assert plan.cautions
        assert plan.runtime is None or plan.steps
        record = plan.to_json()
        assert [step["line"] for step in record["steps"]] == lines_of(plan)
        assert record["status"] == (plan.runtime and plan.runtime.status.value)
        assert (target.kind in {Kind.ETHOS_U, Kind.MICROCONTROLLER}) <= (plan.system is None)


@pytest.mark.parametrize("name", target_names())
def test_every_line_is_sound_shell(name):
    for plan in install_plans(load_target(name)):
        for line in lines_of(plan):
            assert shlex.split(line)
            done = subprocess.run(["sh", "-n", "-c", line], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["coral-usb-accelerator", "coral-dev-board"])
def test_the_probe_is_sound_python(name):
    line = lines_of(install_plans(load_target(name))[0])[-1]
    python, option, script = shlex.split(line)
    assert python in {"~/edgekit-venv/bin/python", "python3"}
    assert option == "-c"
    compile(script, "probe", "exec")


def test_a_system_without_a_build_of_libedgetpu_gets_no_made_up_address():
    target = load_target("coral-usb-accelerator")
    other = replace(target.systems[0], key="noble")
    runtime = replace(target.runtimes[0], systems=("noble",))
    (plan,) = install_plans(replace(target, systems=(other,), runtimes=(runtime,)))
    assert plan.steps == ()
    assert any("edgekit has no lines for it: see https://" in caution for caution in plan.cautions)


def test_a_runtime_without_a_version_or_a_route():
    target = load_target("linux-arm64")
    loose = replace(target.runtimes[0], version=None)
    plan = install_plans(replace(target, runtimes=(loose,)))[0]
    assert lines_of(plan)[2] == "~/edgekit-venv/bin/pip install edgekit ai-edge-litert"
    by_hand = replace(loose, install=InstallRoute.MANUAL)
    assert install_plans(replace(target, runtimes=(by_hand,)))[0].steps == ()


def test_extras_and_oldest_python_are_those_of_the_project():
    for (package, version), extra in EXTRAS.items():
        assert f"{package}=={version}" in PROJECT["optional-dependencies"][extra]
    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, EDGEKIT_PYTHON))
