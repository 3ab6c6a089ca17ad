"""Every way we know to get a command wrong: its exit code, its error, its hint, and that nothing is left behind.

A row is a command line; ``{shop}`` is a folder of models and data made once, ``{here}`` the empty folder
that the command runs in.
The commands run in this process, TensorFlow in its child as always.
"""
# ruff: noqa: E501  (a row of the table is a line)

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.cli import main
from edgekit_converters.conversion import run
from edgekit_converters.request import Request
from edgekit_converters.sources import SourceOptions, load_float
from edgekit_converters.worker import Worker

CONVERT = "convert {shop}/float.tflite --target raspberry-pi-4"
GOOD = f"{CONVERT} --calibration {{shop}}/good.npy"
DIAGNOSE = "diagnose {shop}/float.tflite"
RAW = f"{CONVERT} --calibration {{shop}}/raw.npz"


@dataclass(frozen=True)
class Bad:
    """One bad command line and what must be said to it."""

    name: str
    command: str
    error: str
    hint: str | None = r"\w{3}"
    code: int = 1


TABLE = [
    # the target and the model
    Bad("no-target", "convert {shop}/float.tflite", r"Missing option '--target'", None, 2),
    Bad("unknown-target", "convert {shop}/float.tflite --target raspbery-pi-4 --calibration x", r"raspbery-pi-4", r"raspberry-pi-4"),
    Bad("no-model", "convert --target raspberry-pi-4", r"Missing argument 'MODEL'", None, 2),
    Bad("two-models", f"{GOOD} --torch net.py:make", r"two models"),
    Bad("torch-without-function", "convert --torch net.py --target rpi4 --calibration {shop}/good.npy", r"which function", r"net\.py:FUNCTION"),
    Bad("weights-without-torch", f"{GOOD} --weights {{shop}}/good.npy", r"--weights belong", r"--torch"),
    Bad("missing-weights", "convert --torch net.py:make --weights no.pth --target rpi4 --calibration {shop}/good.npy", r"no\.pth"),
    Bad("missing-model", "convert nowhere.keras --target raspberry-pi-4 --calibration {shop}/good.npy", r"nowhere\.keras"),
    Bad("empty-model", "convert {shop}/empty.keras --target raspberry-pi-4 --calibration {shop}/good.npy", r"empty"),
    Bad("text-model", "convert {shop}/notes.txt --target raspberry-pi-4 --calibration {shop}/good.npy", r"notes\.txt"),
    Bad("pytorch-model", "convert {shop}/model.pt --target raspberry-pi-4 --calibration {shop}/good.npy", r"(?i)pytorch"),
    Bad("onnx-model", "convert {shop}/model.onnx --target raspberry-pi-4 --calibration {shop}/good.npy", r"(?i)onnx"),
    Bad("folder-model", "convert {shop}/empty-folder --target raspberry-pi-4 --calibration {shop}/good.npy", r"empty-folder", r"saved_model\.pb|SavedModel"),
    Bad("truncated-keras", "convert {shop}/cut.keras --target raspberry-pi-4 --calibration {shop}/good.npy", r"cut\.keras"),
    Bad("truncated-tflite", "convert {shop}/cut.tflite --target raspberry-pi-4 --calibration {shop}/good.npy", r"cut\.tflite: not a sound \.tflite", r"interrupted"),
    Bad("bundle-as-model", "convert {shop}/like.edgekit --target raspberry-pi-4 --calibration {shop}/good.npy", r"(?i)bundle|edgekit"),
    # 16 bits
    Bad("int16-edgetpu", "convert {shop}/float.tflite --target coral-usb-accelerator --calibration {shop}/good.npy --allow-int16", r"--allow-int16 is for models that run on a processor", r"leave --allow-int16 out"),
    Bad("int16-armhf", "convert {shop}/float.tflite --target linux-armhf --calibration {shop}/good.npy --allow-int16", r"--allow-int16 needs ai-edge-litert 2\.3\.0", r"leave --allow-int16 out"),
    Bad("int16-fast", f"{GOOD} --allow-int16 --effort fast", r"--effort fast measures nothing", r"--effort balanced"),
    Bad("shape-of-no-input", f"{GOOD} --input-shape picture=1,12,12,3", r"picture", r"photo"),
    Bad("shape-contradicts", f"{GOOD} --input-shape photo=1,24,24,3", r"photo"),
    Bad("shape-not-numbers", f"{GOOD} --input-shape photo=big", r"big", None, 2),
    Bad("unknown-output", f"{GOOD} --outputs score", r"score", r"scores"),
    Bad("custom-objects-missing", "convert {shop}/cnn.keras --target raspberry-pi-4 --calibration {shop}/good.npy --custom-objects nowhere.py", r"nowhere\.py"),
    # calibration data
    Bad("no-calibration", CONVERT, r"no calibration data", r"--calibration"),
    Bad("missing-calibration", f"{CONVERT} --calibration nowhere.npz", r"nowhere\.npz"),
    Bad("empty-folder", f"{CONVERT} --calibration {{shop}}/empty-folder", r"empty-folder"),
    Bad("folder-of-nothing-known", f"{CONVERT} --calibration {{shop}}/texts", r"texts"),
    Bad("no-samples", f"{CONVERT} --calibration {{shop}}/none.npy", r"none\.npy"),
    Bad("one-sample", f"{CONVERT} --calibration {{shop}}/one.npy", r"one sample", r"20"),
    Bad("broken-image", f"{CONVERT} --calibration {{shop}}/photos --range -1,1 --resize bilinear", r"broken\.jpg"),
    Bad("image-of-other-size", f"{CONVERT} --calibration {{shop}}/sound-photos --range -1,1", r"\.png", r"--resize"),
    Bad("wrong-shape", f"{CONVERT} --calibration {{shop}}/wide.npy", r"\(24, 24, 3\)"),
    Bad("channels-first", f"{CONVERT} --calibration {{shop}}/first.npy", r"\(3, 12, 12\)", r"(?i)channels"),
    Bad("nan", f"{CONVERT} --calibration {{shop}}/nan.npy", r"(?i)nan.*row 7|row 7.*nan"),
    Bad("infinity", f"{CONVERT} --calibration {{shop}}/inf.npy", r"(?i)inf.*row 3|row 3.*inf"),
    Bad("many-outliers", f"{CONVERT} --calibration {{shop}}/outliers.npy --preprocessed", r"3 of 48 calibration samples lie far outside[^!]*outliers\.npy row 5", r"--keep-outliers"),
    Bad("constant", f"{CONVERT} --calibration {{shop}}/constant.npy", r"(?i)same|constant"),
    Bad("truncated-npy", f"{CONVERT} --calibration {{shop}}/cut.npy", r"cut\.npy"),
    Bad("objects", f"{CONVERT} --calibration {{shop}}/objects.npy", r"(?i)object|pickle"),
    Bad("unknown-array", f"{CONVERT} --calibration {{shop}}/raw.npz#y_train", r"y_train", r"\w"),
    Bad("unclear-arrays", f"{CONVERT} --calibration {{shop}}/many.npz", r"many\.npz", r"#"),
    Bad("labels-do-not-match", f"{CONVERT} --calibration {{shop}}/uneven.npz --range -1,1", r"uneven\.npz|labels"),
    Bad("csv-with-a-word", f"{CONVERT} --calibration {{shop}}/word.csv --preprocessed", r"word\.csv|shape|columns"),
    Bad("function-missing", f"{CONVERT} --calibration {{shop}}/samples.py:nothing", r"nothing"),
    Bad("function-raises", f"{CONVERT} --calibration {{shop}}/samples.py:raises", r"raises.*oh dear", None),
    Bad("samples-1", f"{GOOD} --samples 1", r"--samples 1", r"20"),
    # preprocessing
    Bad("nothing-said", RAW, r"raw uint8", r"--range -1,1"),
    Bad("range-reversed", f"{RAW} --range 1,-1", r"--range 1,-1"),
    Bad("range-of-three", f"{RAW} --range 0,1,2", r"0,1,2", None, 2),
    Bad("range-and-preprocessed", f"{RAW} --range 0,1 --preprocessed", r"--preprocessed"),
    Bad("range-of-floats", f"{GOOD} --range 0,1", r"float32", r"--range"),
    Bad("std-zero", f"{RAW} --range 0,1 --std 0", r"--std", None),
    Bad("mean-of-two", f"{RAW} --range 0,1 --mean 0.5,0.5", r"--mean has 2 numbers", r"3"),
    Bad("mean-in-other-units", f"{RAW} --mean 0.48,0.45,0.4", r"0\.\.1", r"--range 0,1"),
    Bad("resize-unknown", f"{RAW} --range 0,1 --resize smooth", r"smooth", None),
    Bad("color-unknown", f"{RAW} --range 0,1 --color CMYK", r"CMYK", None),
    Bad("color-of-one-channel", f"{RAW} --range 0,1 --color GRAY", r"GRAY|channel", r"--color"),
    Bad("word-for-no-input", f"{RAW} --range picture=0,1", r"picture", r"photo"),
    # evaluation
    Bad("max-drop-alone", f"{GOOD} --max-drop 1", r"--max-drop", r"--evaluation"),
    Bad("max-drop-negative", f"{GOOD} --evaluation {{shop}}/labelled.npz --max-drop -1", r"--max-drop -1", None),
    Bad("metric-alone", f"{GOOD} --metric top1", r"--metric", r"--evaluation"),
    Bad("metric-unknown", f"{GOOD} --evaluation {{shop}}/labelled.npz --metric accurcy", r"accurcy", r"top1"),
    Bad("metric-does-not-fit", f"{GOOD} --evaluation {{shop}}/labelled.npz --metric miou", r"(?i)mask|miou"),
    Bad("metric-raises", f"{GOOD} --evaluation {{shop}}/labelled.npz --metric {{shop}}/samples.py:bad_metric", r"bad_metric"),
    Bad("evaluation-of-other-shape", f"{GOOD} --evaluation {{shop}}/wide.npy", r"\(24, 24, 3\)"),
    Bad("label-of-no-class", f"{GOOD} --evaluation {{shop}}/class-9.npz", r"9"),
    Bad("contract-broken", f"{GOOD} --evaluation {{shop}}/labelled.npz --metric {{shop}}/samples.py:distance --max-drop 0.001 --effort fast", r"--max-drop allows 0\.001(.|\n)*layers that lose most", r"calibration", 3),
    # what goes into the bundle
    Bad("labels-missing", f"{GOOD} --labels nowhere.txt", r"nowhere\.txt"),
    Bad("labels-too-few", f"{GOOD} --labels {{shop}}/labels-3.txt", r"3 names"),
    Bad("labels-without-folders", f"{GOOD} --labels from-folder", r"from-folder"),
    Bad("version-of-words", f"{GOOD} --model-version newest", r"newest"),
    Bad("epoch-negative", f"{GOOD} --security-epoch -1", r"security_epoch must not be negative"),
    Bad("name-of-blanks", [*GOOD.split(), "--name", " "], r"(?i)name"),  # type: ignore[arg-type]
    Bad("compile-for-a-cpu", f"{GOOD} --compile", r"raspberry-pi-4 has no accelerator", r"--compile"),
    Bad("compiler-missing", f"{GOOD.replace('raspberry-pi-4', 'coral')} --compile", r"edgetpu_compiler is not installed", r"coral\.ai"),
    Bad("golden-zero", f"{GOOD} --golden 0", r"--golden 0", None),
    Bad("effort-unknown", f"{GOOD} --effort heroic", r"heroic", None, 2),
    Bad("budget-zero", f"{GOOD} --budget 0", r"--budget 0", r"no limit"),
    Bad("budget-negative", f"{GOOD} --budget -1", r"--budget -1", r"no limit"),
    Bad("budget-nan", f"{GOOD} --budget nan", r"--budget nan", r"no limit"),
    Bad("budget-infinite", f"{GOOD} --budget inf", r"--budget inf", r"no limit"),
    Bad("recipe-missing", f"{GOOD} --recipe nowhere.json", r"--recipe nowhere\.json: cannot be read", r"bundle"),
    Bad("recipe-is-a-folder", f"{GOOD} --recipe {{shop}}/empty-folder", r"empty-folder: cannot be read", r"bundle"),
    Bad("recipe-no-json", f"{GOOD} --recipe {{shop}}/no-recipe.json", r"no-recipe\.json", r"bundle"),
    Bad("recipe-deep-json", f"{GOOD} --recipe {{shop}}/deep-recipe.json", r"nests deeper", r"bundle"),
    Bad("recipe-a-tflite", f"{GOOD} --recipe {{shop}}/float.tflite", r"--recipe \S*float\.tflite: no bundle", r"convert wrote"),
    Bad("recipe-a-cut-bundle", f"{GOOD} --recipe {{shop}}/cut.edgekit", r"cut\.edgekit: no bundle .* truncated", r"convert wrote"),
    Bad("recipe-unknown-correction", f"{GOOD} --recipe {{shop}}/baz-recipe.json", r"knows no correction 'baz'", r"dead-channels"),
    Bad("recipe-refit-without-number", f"{GOOD} --recipe {{shop}}/refit-recipe.json", r"'refit'", r"refit:0\.1"),
    Bad("recipe-refit-next-to-nothing", f"{GOOD} --recipe {{shop}}/tiny-recipe.json", r"'refit:1e-30'", r"refit:0\.1"),
    Bad("recipe-and-budget", f"{GOOD} --recipe {{shop}}/good.edgekit --budget 9", r"--recipe is done as it is, and --budget", r"recipe"),
    Bad("recipe-and-per-tensor", f"{GOOD} --recipe {{shop}}/good.edgekit --per-tensor-weights", r"and --per-tensor-weights", r"per_channel"),
    Bad("output-in-no-folder", f"{GOOD} -o nowhere/out.edgekit", r"nowhere", r"mkdir"),
    Bad("output-is-a-folder", f"{GOOD} -o {{shop}}/empty-folder", r"empty-folder", None),
    Bad("unknown-option", f"{GOOD} --quantise", r"--quantise", None, 2),
    Bad("unknown-command", "convart x", r"convart", None, 2),
    # diagnose
    Bad("diagnose-no-model", "diagnose --calibration {shop}/good.npy", r"Missing argument 'MODEL'", None, 2),
    Bad("diagnose-missing-model", "diagnose nowhere.keras --calibration {shop}/good.npy", r"nowhere\.keras"),
    Bad("diagnose-no-calibration", DIAGNOSE, r"no calibration data", r"--calibration"),
    Bad("diagnose-missing-calibration", f"{DIAGNOSE} --calibration nowhere.npz", r"nowhere\.npz"),
    Bad("diagnose-nan", f"{DIAGNOSE} --calibration {{shop}}/nan.npy", r"(?i)nan.*row 7|row 7.*nan"),
    Bad("diagnose-nothing-said", f"{DIAGNOSE} --calibration {{shop}}/raw.npz", r"raw uint8", r"--range -1,1"),
    Bad("diagnose-quantized", "diagnose {shop}/int8.tflite --calibration {shop}/good.npy", r"came quantized", r"float model"),
    Bad("diagnose-a-bundle", "diagnose {shop}/good.edgekit --calibration {shop}/good.npy", r"(?i)bundle"),
    Bad("diagnose-for-a-target", f"{DIAGNOSE} --calibration {{shop}}/good.npy --target coral", r"--target", None, 2),
    Bad("diagnose-over-the-model", f"{DIAGNOSE} --calibration {{shop}}/good.npy --html {{shop}}/float.tflite", r"float\.tflite: it is the model", r"another name"),
    Bad("diagnose-over-the-samples", f"{DIAGNOSE} --calibration {{shop}}/good.npy --html {{shop}}/good.npy", r"good\.npy: it is the samples", r"another name"),
    Bad("diagnose-a-page-nowhere", f"{DIAGNOSE} --calibration {{shop}}/good.npy --html no/such/page.html", r"page\.html", r"mkdir"),
    Bad("diagnose-an-unknown-effort", f"{DIAGNOSE} --calibration {{shop}}/good.npy --effort heroic", r"heroic", None, 2),
    # run and inspect
    Bad("run-without-trust", "run {shop}/good.edgekit x.npy", r"(?i)trust|signed", r"--unsigned"),
    Bad("run-with-a-missing-key", "run {shop}/good.edgekit x.npy --trust key.pem", r"key\.pem: there is no such file", r"path"),
    Bad("run-with-something-else-as-key", "run {shop}/good.edgekit x.npy --trust {shop}/notes.txt", r"notes\.txt: no PEM", r"pub\.pem"),
    Bad("run-with-both", "run {shop}/good.edgekit x.npy --trust key.pem --unsigned", r"exclude each other", None, 2),
    Bad("run-on-no-such-device", "run {shop}/good.edgekit x.npy --unsigned --device npu", r"no device 'npu'", r"usb:N"),
    Bad("run-on-a-coral-that-is-not-there", "run {shop}/good.edgekit x.npy --unsigned --device usb", r"model_edgetpu|Edge TPU", r"--compile"),
    # profile, sign and the rest of trust
    Bad("profile-without-trust", "profile {shop}/good.edgekit", r"(?i)trust|signed", r"--unsigned"),
    Bad("profile-a-page-nowhere", "profile {shop}/good.edgekit --unsigned --html no/such/page.html", r"page\.html", r"mkdir"),
    Bad("profile-against-no-profile", "profile {shop}/good.edgekit --unsigned --against {shop}/notes.txt", r"notes\.txt", r"edgekit profile"),
    Bad("profile-no-threads", "profile {shop}/good.edgekit --unsigned --threads 0", r"0", None, 2),
    Bad("profile-no-host", "profile {shop}/good.edgekit --unsigned --host -oProxyCommand=x", r"host", r"--host"),
    Bad("keygen-nowhere", "keygen -o no/such/release --no-passphrase", r"release", r"mkdir"),
    Bad("sign-without-key", "sign {shop}/good.edgekit --key nowhere.key.pem", r"nowhere\.key\.pem", r"path"),
    Bad("sign-no-bundle", "sign {shop}/notes.txt --key nowhere.key.pem", r"notes\.txt|nowhere", None),
    Bad("sign-over-a-model", "sign {shop}/good.edgekit --key nowhere.key.pem -o {shop}/cnn.keras", r"cnn\.keras: it is there already, and is no bundle", r"another name"),
    Bad("certify-over-a-sample", "certify {shop}/good.edgekit --data {shop}/good.npy -o {shop}/good.npy", r"good\.npy: it is one of the samples", r"another name"),
    Bad("check-over-the-model", "check {shop}/cnn.keras --target coral --html {shop}/cnn.keras", r"cnn\.keras: it is the model", r"another name"),
    Bad("verify-without-trust", "verify {shop}/good.edgekit", r"signature", r"--trust"),
    Bad("unpack-no-bundle", "unpack {shop}/float.tflite -o folder", r"(?i)tflite|bundle", None),
    Bad("run-missing-input", "run {shop}/good.edgekit nowhere.npy --unsigned", r"nowhere\.npy: there is no such file", r"folder"),
    Bad("run-input-of-other-shape", "run {shop}/good.edgekit {shop}/wide.npy --unsigned", r"wide\.npy"),
    Bad("run-truncated-bundle", "run {shop}/cut.edgekit {shop}/good.npy --unsigned", r"cut\.edgekit", None),
    Bad("run-bundle-with-a-flipped-bit", "run {shop}/flipped.edgekit {shop}/good.npy --unsigned", r"flipped\.edgekit", None),
    Bad("run-missing-bundle", "run nowhere.edgekit x.npy --unsigned", r"nowhere\.edgekit", None),
    Bad("run-no-bundle", "run {shop}/float.tflite x.npy --unsigned", r"(?i)tflite|bundle"),
    Bad("run-no-input", "run {shop}/like.edgekit --unsigned", r"INPUT", None, 2),
    Bad("inspect-garbage", "inspect {shop}/notes.txt", r"notes\.txt|neither"),
    Bad("inspect-truncated", "inspect {shop}/cut.tflite", r"not a sound \.tflite", r"interrupted"),
    Bad("inspect-missing", "inspect nowhere.tflite", r"nowhere\.tflite", None),
]  # fmt: skip


@pytest.fixture(scope="session")
def shop(made_by: Callable[[str], Path], worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and data of every kind, most of them broken."""
    folder = tmp_path_factory.mktemp("shop")
    peer = made_by("peer_models")
    _models(folder, peer, load_float(peer / "cnn.keras", SourceOptions(), worker).flatbuffer)
    _arrays(folder, np.load(peer / "samples.npy"))
    _folders(folder)
    bundle = run(
        Request(
            model=folder / "float.tflite", target="rpi4", calibration=str(folder / "good.npy"), effort="fast"
        )
    ).bundle
    (folder / "good.edgekit").write_bytes(bundle)
    (folder / "cut.edgekit").write_bytes(bundle[:-100])
    middle = len(bundle) // 2
    (folder / "flipped.edgekit").write_bytes(
        bundle[:middle] + bytes([bundle[middle] ^ 1]) + bundle[middle + 1 :]
    )
    (folder / "labels-3.txt").write_text("one\ntwo\nthree\n")
    for name, recipe in {
        "no": "{", "deep": "[" * 100_000, "baz": '{"corrections": ["baz"]}', "refit": '{"corrections": ["refit"]}',
        "tiny": '{"corrections": ["refit:1e-30"]}',
    }.items():  # fmt: skip
        (folder / f"{name}-recipe.json").write_text(recipe)
    (folder / "word.csv").write_text("\n".join(",".join(["0.5"] * 431 + ["word"]) for _ in range(20)))
    (folder / "samples.py").write_text(
        "import numpy as np\n"
        "def raises():\n    yield np.zeros((12, 12, 3), np.float32)\n    raise ValueError('oh dear')\n"
        "def bad_metric(outputs, label):\n    return 'good'\n"
        "def distance(outputs, label):\n    return float(np.abs(outputs['scores']).sum())\n"
        "distance.higher_is_better = False\n"
    )
    return folder


def _models(folder: Path, peer: Path, float_model: bytes) -> None:
    keras = (peer / "cnn.keras").read_bytes()
    (folder / "cnn.keras").write_bytes(keras)
    (folder / "cut.keras").write_bytes(keras[: len(keras) // 2])
    (folder / "float.tflite").write_bytes(float_model)
    (folder / "int8.tflite").write_bytes((peer / "peer.tflite").read_bytes())
    (folder / "cut.tflite").write_bytes(float_model[: len(float_model) // 2])
    (folder / "empty.keras").write_bytes(b"")
    (folder / "notes.txt").write_text("this is not a model, it is a note about one\n")
    with zipfile.ZipFile(folder / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}))
        archive.writestr("model/version", "3\n")
    # ir_version = 8, producer_name = "pytorch": the first two fields of an ONNX ModelProto
    (folder / "model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(64))
    with zipfile.ZipFile(folder / "like.edgekit", "w") as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr("model.tflite", float_model)


def _arrays(folder: Path, samples: np.ndarray) -> None:
    raw = ((samples + 1) * 127).astype(np.uint8)
    nan, inf = samples.copy(), samples.copy()
    nan[7, 0, 0, 0], inf[3, 1, 1, 1] = np.nan, np.inf
    outliers = samples.copy()
    outliers[[5, 6, 30]] *= 100
    labels = np.arange(len(samples)) % 5
    for name, array in {
        "good": samples, "outliers": outliers, "none": samples[:0], "one": samples[:1], "nan": nan, "inf": inf,
        "wide": np.tile(samples, (1, 2, 2, 1)), "first": samples.transpose(0, 3, 1, 2),
        "constant": np.full_like(samples, 0.5), "objects": np.array([{}] * 20),
    }.items():  # fmt: skip
        np.save(folder / f"{name}.npy", array)
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:9000])
    np.savez(folder / "raw.npz", x=raw)
    np.savez(folder / "many.npz", a=raw, b=raw)
    np.savez(folder / "uneven.npz", x=raw, y=labels[:5])
    np.savez(folder / "labelled.npz", x=samples, y=labels)
    np.savez(folder / "class-9.npz", x=samples, y=np.where(labels == 4, 9, labels))


def _folders(folder: Path) -> None:
    for name in ("empty-folder", "texts", "photos", "sound-photos"):
        (folder / name).mkdir()
    (folder / "texts" / "a.txt").write_text("a")
    generator = np.random.default_rng(0)
    for number in range(4):
        image = Image.fromarray(generator.integers(0, 255, (20, 20, 3), np.uint8))
        image.save(folder / "sound-photos" / f"{number}.png")
        image.save(folder / "photos" / f"{number}.png")
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")


def run_command(bad: Bad, shop: Path, here: Path, *more: str) -> int:
    words = bad.command if isinstance(bad.command, list) else bad.command.split()
    with pytest.raises(SystemExit) as ended:
        main([word.format(shop=shop, here=here) for word in (*words, *more)])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_bad_invocation(
    bad: Bad, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(shop.rglob("*"))
    assert run_command(bad, shop, tmp_path) == bad.code
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert "internal error" not in err
    message, _, hint = err.partition("\nhint: ")
    assert re.search(bad.error, message), err
    if bad.hint is not None:
        assert re.search(bad.hint, hint), err
    assert list(tmp_path.iterdir()) == []
    assert [path for path in sorted(shop.rglob("*")) if "__pycache__" not in path.parts] == [
        path for path in before if "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize(
    "bad",
    [row for row in TABLE if row.name in ("nan", "unknown-target", "effort-unknown")],
    ids=lambda b: b.name,
)
def test_bad_invocation_in_json(
    bad: Bad, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(bad, shop, tmp_path, "--json") == bad.code
    error = json.loads(capfd.readouterr().out)["error"]
    assert error.keys() == {"kind", "message", "hint"}
    assert re.search(bad.error, error["message"])


def test_the_table_is_long_enough_and_names_no_row_twice() -> None:
    names = [bad.name for bad in TABLE]
    assert len(set(names)) == len(names) >= 45
