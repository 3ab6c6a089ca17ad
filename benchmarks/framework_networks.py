"""Makes the networks of frameworks.py, in PyTorch and ONNX; run by a Python that has torch and onnx, nothing of edgekit.

    PYTHON framework_networks.py DATA WORK

Trained networks learn for a minute at most: they need not be good, they need weights with a meaning. Of each, some
parameters are left non-contiguous on purpose.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

EPOCHS = {"resnet20": 3, "mobilenetv3": 4, "cnn1d": 12, "lstm": 12}


def conv(
    i: int, o: int, k: int = 3, s: int = 1, g: int = 1, act: type[nn.Module] | None = nn.ReLU
) -> nn.Sequential:
    layers = [nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    def __init__(self, i: int, o: int, s: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(i, o, 3, s), conv(o, o, 3, 1, act=None))
        self.skip = conv(i, o, 1, s, act=None) if (i, s) != (o, 1) else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.skip(x))


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.body = nn.Sequential(conv(1, 16), *(Residual(*each) for each in widths))
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(image).mean((2, 3)))


class Excite(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(c, c // 4, 1), nn.Conv2d(c // 4, c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * functional.hardsigmoid(
            self.up(functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1))))
        )


class Inverted(nn.Module):
    def __init__(
        self, i: int, o: int, t: int, s: int, act: type[nn.Module], excite: bool, k: int = 3
    ) -> None:
        super().__init__()
        parts = [conv(i, i * t, 1, act=act), conv(i * t, i * t, k, s, g=i * t, act=act)]
        self.body = nn.Sequential(*parts, *([Excite(i * t)] if excite else []), conv(i * t, o, 1, act=None))
        self.keeps = i == o and s == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.keeps else self.body(x)


class MobileNet(nn.Module):
    """V2 with relu6, or V3 with h-swish and squeeze-excite."""

    def __init__(self, channels: int, classes: int, v3: bool) -> None:
        super().__init__()
        act = nn.Hardswish if v3 else nn.ReLU6
        rows = [(16, 16, 2, 1), (16, 24, 4, 2), (24, 24, 4, 1), (24, 40, 4, 2), (40, 40, 4, 1)]
        blocks = [Inverted(i, o, t, s, act, v3 and i > 16, 5 if v3 and i > 24 else 3) for i, o, t, s in rows]
        self.body = nn.Sequential(conv(channels, 16, 3, 2, act=act), *blocks, conv(40, 160, 1, act=act))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(160, classes))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(functional.adaptive_avg_pool2d(self.body(image), 1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = conv(3, 16), conv(16, 32), conv(32, 64)
        self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.Upsample(scale_factor=2, mode="bilinear")
        self.mix2, self.mix1, self.head = conv(64, 32), conv(48, 16), nn.Conv2d(16, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        one = self.one(image)
        two = self.two(functional.max_pool2d(one, 2))
        three = self.three(functional.max_pool2d(two, 2))
        two = self.mix2(torch.cat([two, self.up2(three)], 1))
        return self.head(self.mix1(torch.cat([one, self.up1(two)], 1)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(9, 32, batch_first=True), nn.Linear(32, 6)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(signal.transpose(1, 2)[:, ::4])[0][:, -1])


class Signal(nn.Module):
    """1-D convolutions on (N, 9, 128)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [(9, 32), (32, 48), (48, 64)]
        layers = [
            nn.Sequential(nn.Conv1d(i, o, 5, padding=2), nn.BatchNorm1d(o), nn.ReLU(), nn.MaxPool1d(2))
            for i, o in widths
        ]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(64, 6)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(signal).mean(2))


class Attention(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads, self.one, self.two = heads, nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(self.one(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.mlp(self.two(x))


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.place = nn.Conv2d(3, 64, 8, 8), nn.Parameter(torch.randn(1, 64, 64) * 0.02)
        self.body, self.norm, self.head = (
            nn.Sequential(Attention(64, 4), Attention(64, 4)),
            nn.LayerNorm(64),
            nn.Linear(64, 10),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2) + self.place
        return self.head(self.norm(self.body(x)).mean(1))


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), conv(32, 64, 3, 2))
        self.boxes, self.scores = nn.Conv2d(64, 3 * 4, 3, padding=1), nn.Conv2d(64, 3 * 5, 3, padding=1)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.body(image)
        boxes = self.boxes(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
        scores = self.scores(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 5)
        return {"boxes": boxes, "scores": torch.sigmoid(scores)}


def make_strided(module: nn.Module) -> int:
    """Leaves every other weight of two or more dimensions non-contiguous, with the same values."""
    weights = [p for p in module.parameters() if p.dim() >= 2][::2]
    for p in weights:
        p.data = p.data.transpose(0, 1).contiguous().transpose(0, 1)
    return sum(not p.is_contiguous() for p in weights)


def train(module: nn.Module, x: np.ndarray, y: np.ndarray, epochs: int) -> None:
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    module.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - 63, 64):
            rows = order[start : start + 64]
            optimizer.zero_grad()
            functional.cross_entropy(module(inputs[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()


def settle_statistics(module: nn.Module, x: np.ndarray) -> None:
    """Gives a random network batch statistics of real samples, so that its activations have a sane scale."""
    module.train()
    with torch.no_grad():
        for _ in range(20):
            module(torch.from_numpy(x[:32]))


def datasets(data: Path) -> dict[str, dict[str, np.ndarray]]:
    """Channels first, as PyTorch has it."""
    from PIL import Image

    fashion, har = np.load(data / "fashion-mnist.npz"), np.load(data / "uci-har.npz")
    files = sorted((data / "imagenet-sample" / "calibration").rglob("*.jpg"))
    photos = np.stack([np.asarray(Image.open(file).convert("RGB").resize((64, 64))) for file in files])
    return {
        "fashion": {
            "x_train": fashion["x_train"][:, None].astype(np.float32) / 255,
            "y_train": fashion["y_train"],
            "x_test": fashion["x_test"][:2000, None].astype(np.float32) / 255,
            "y_test": fashion["y_test"][:2000],
        },
        "har": {
            "x_train": har["x_train"].astype(np.float32).transpose(0, 2, 1),
            "y_train": har["y_train"],
            "x_test": har["x_test"].astype(np.float32).transpose(0, 2, 1),
            "y_test": har["y_test"],
        },
        "photos": {"x_train": photos.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1},
    }


NETWORKS = {
    "resnet20": (ResNet20, "fashion"),
    "mobilenetv2": (lambda: MobileNet(3, 10, v3=False), "photos"),
    "mobilenetv3": (lambda: MobileNet(1, 10, v3=True), "fashion"),
    "unet": (UNet, "photos"),
    "lstm": (Recurrent, "har"),
    "cnn1d": (Signal, "har"),
    "vit": (ViT, "photos"),
    "detector": (Detector, "photos"),
}


def main() -> None:
    data, work = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(2)
    known = datasets(data)
    for name, arrays in known.items():
        count = 200 if "y_train" in arrays else len(arrays["x_train"])
        np.savez(work / f"{name}-calibration.npz", x=np.ascontiguousarray(arrays["x_train"][:count]))
        if "y_test" in arrays:
            np.savez(
                work / f"{name}-evaluation.npz", x=np.ascontiguousarray(arrays["x_test"]), y=arrays["y_test"]
            )
    made = {}
    for name, (build, dataset) in NETWORKS.items():
        torch.manual_seed(0)
        module, arrays = build(), known[dataset]
        if name in EPOCHS:
            train(module, np.ascontiguousarray(arrays["x_train"]), arrays["y_train"], EPOCHS[name])
        else:
            settle_statistics(module, np.ascontiguousarray(arrays["x_train"]))
        module.eval()
        strided = make_strided(module)
        example = torch.from_numpy(np.ascontiguousarray(arrays["x_train"][:1]))
        torch.export.save(torch.export.export(module, (example,)), work / f"{name}.pt2")
        inputs = ["signal" if dataset == "har" else "image"]
        outputs = ["boxes", "scores"] if name == "detector" else ["output"]
        torch.onnx.export(
            module,
            (example,),
            work / f"{name}.onnx",
            dynamo=False,
            opset_version=17,
            input_names=inputs,
            output_names=outputs,
        )
        made[name] = {"data": dataset, "strided": strided, "trained": name in EPOCHS}
        print(f"made {name}: {strided} weights are not contiguous", file=sys.stderr)
    (work / "networks.json").write_text(json.dumps(made))


if __name__ == "__main__":
    main()
