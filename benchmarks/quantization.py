"""int8 beside float and beside every peer: the same data, the same seeds, one run.

    python benchmarks/quantization.py --data FOLDER --cache FOLDER --make-venvs FOLDER [--only NAME,...]

The parts, each a name for --only:

    mobilenet   MobileNetV1 0.25 on 400 photos, calibrated on 100
    per-tensor  the same with one scale a weight tensor
    networks    twelve more; a network's own name in --only picks it alone
    poisoned    a few calibration samples a hundredfold too large
    sizes       20 to 200 calibration samples

A whole run takes most of an hour on two cores; networks of our own are trained by the first and kept in --cache. All
rows are scored by scoring.py, which shares no code with edgekit, on XNNPACK. `convert_cost.py` has what the efforts
cost beside TFLiteConverter on a larger network, `accuracy.py` whether edgekit reports what scoring.py finds.

The peers are those that pip installs and that end in an int8 .tflite: TFLiteConverter, ai-edge-quantizer in three ways
(aeq.py), and where Keras 2 can build the model, model-compression-toolkit (mct.py). ONNX Runtime's static
quantization is not among them: it ends in an .onnx of QuantizeLinear and DequantizeLinear pairs, which runs on ONNX
Runtime's kernels alone, so a row of it would compare kernels as much as quantizers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import OURS, Bench, everyone
from cases import Case
from curve import curve
from peers import FLOAT, Peers, made
from poisoned import poisoned
from scoreboard import bar, best_peer, shown
from yardstick import Judged, agreement, lead

MOBILENET_AGREEMENT = {"balanced": 94.0, "best": 96.0}  # percent
PER_TENSOR_PP = 3.0
LOST_PP = 1.0
NETWORKS = (
    "hswish", "har_spectra", "transfer", "speech", "har", "har_dscnn", "fashion_autoencoder", "har_autoencoder",
    "mobilenet_v2", "resnet8", "fashion", "digits",
)  # fmt: skip
JUDGED = ("balanced", "best")  # efforts that have bars


def mobilenet(bench: Bench) -> None:
    case = bench.case("mobilenet")
    models = everyone(bench, case, case.calibration_inputs, bench.work("mobilenet"))
    judged = shown(case, models)
    for effort in (each for each in JUDGED if each in bench.efforts):
        ours = judged[OURS + effort]
        _, interval = lead(case, ours, judged[FLOAT])
        bar(f"{effort}: not below float outside the paired interval", interval[1] >= 0)
        least, agrees = MOBILENET_AGREEMENT[effort], agreement(case, ours, judged[FLOAT])
        bar(f"{effort}: agrees with float on at least {least:g} %", agrees >= least)


def per_tensor(bench: Bench) -> None:
    case = bench.case("mobilenet")
    models = everyone(bench, case, case.calibration_inputs, bench.work("mobilenet"), weights="tensor")
    judged = shown(case, models, ", one scale a weight tensor")
    for effort in (each for each in JUDGED if each in bench.efforts):
        ahead, _ = lead(case, judged[OURS + effort], judged[FLOAT])
        bar(f"{effort}: within {PER_TENSOR_PP:g} points of float", ahead >= -PER_TENSOR_PP)


def network(bench: Bench, name: str) -> None:
    case = bench.case(name)
    judged = shown(case, everyone(bench, case, case.calibration_inputs, bench.work(name)))
    for effort in (each for each in JUDGED if each in bench.efforts):
        _peer_bars(case, judged, effort)


def _peer_bars(case: Case, judged: Mapping[str, Judged], effort: str) -> None:
    peer = judged[best_peer(judged)]
    ahead, interval = lead(case, judged[OURS + effort], peer)
    bar(f"{effort}: not below the best peer outside the paired interval", interval[1] >= 0)
    if peer.value < judged[FLOAT].value - LOST_PP:
        bar(f"{effort}: above the best peer, which loses more than {LOST_PP:g} point", ahead > 0)


PARTS: dict[str, Callable[[Bench], None]] = {
    "mobilenet": mobilenet,
    "per-tensor": per_tensor,
    **{name: lambda bench, name=name: network(bench, name) for name in NETWORKS},
    "poisoned": poisoned,
    "sizes": curve,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--cache", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--aeq", type=Path, metavar="PYTHON", help="which has ai-edge-quantizer")
    parser.add_argument("--mct", type=Path, metavar="PYTHON", help="which has model-compression-toolkit")
    parser.add_argument(
        "--make-venvs", type=Path, metavar="FOLDER", help="install both there, unless they are, and use them"
    )
    parser.add_argument("--only", default="", metavar="NAME,...")
    parser.add_argument("--efforts", default="fast,balanced,best", metavar="NAME,...")
    parser.add_argument("--draws", type=int, default=3, metavar="N", help="of the samples, in `sizes`")
    words = parser.parse_args()
    wanted = set(filter(None, words.only.split(",")))
    if "networks" in wanted:
        wanted |= set(NETWORKS)
    if unknown := wanted - set(PARTS) - {"networks"}:
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    # Not resolved: a virtual environment's interpreter is a link.
    given = Peers(*(each and each.absolute() for each in (words.aeq, words.mct)))
    bench = Bench(
        data=words.data.resolve(),
        cache=words.cache.resolve(),
        peers=made(words.make_venvs.resolve()) if words.make_venvs else given,
        efforts=tuple(words.efforts.split(",")),
        draws=words.draws,
    )
    for name, part in PARTS.items():
        if not wanted or name in wanted:
            part(bench)


if __name__ == "__main__":
    main()
