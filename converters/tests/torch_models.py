"""PyTorch models, made by the Python of the torch environment: torch_models.py FOLDER; nothing of edgekit is here."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import torch
from torch import nn

FACTORY = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 10)

    def forward(self, image):
        x = torch.relu(self.norm(self.first(image)))
        x = torch.relu(x + self.second(x))
        return {"scores": self.head(x.mean((2, 3))), "map": torch.sigmoid(x)}


def make():
    torch.manual_seed(0)
    return Net()
"""


class Inverse(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inverse = Inverse()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inverse(x + 1)


def save(module: nn.Module, path: Path, *examples: torch.Tensor, **words: object) -> None:
    torch.export.save(torch.export.export(module.eval(), examples, **words), path)


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "net.py").write_text(FACTORY)
    sys.path.append(str(folder))
    import net

    module = net.make()
    torch.save(module.state_dict(), folder / "w.pth")
    torch.save(module, folder / "whole.pth")
    torch.save({**module.state_dict(), "more": torch.zeros(1)}, folder / "other.pth")
    module.head.weight = nn.Parameter(module.head.weight.detach().t().contiguous().t())
    channels_last = module.second.weight.detach().contiguous(memory_format=torch.channels_last)
    module.second.weight = nn.Parameter(channels_last)
    image = torch.rand(1, 1, 8, 8)
    save(module, folder / "net.pt2", image)
    batch = {0: torch.export.Dim("batch", min=1, max=16)}
    save(module, folder / "open.pt2", torch.rand(4, 1, 8, 8), dynamic_shapes=(batch,))
    save(Named(), folder / "inverse.pt2", torch.eye(8)[None])
    with zipfile.ZipFile(folder / "net.pt2") as good, zipfile.ZipFile(folder / "hostile.pt2", "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            if (
                "/sample_inputs/" in name
            ):  # a pickle that would run code, where torch falls back to unpickling anything
                stream = io.BytesIO()
                torch.save(Evil(folder / "owned"), stream)
                data = stream.getvalue()
            bad.writestr(name, data)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.path), "w")


if __name__ == "__main__":
    main()
