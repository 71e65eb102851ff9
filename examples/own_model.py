"""A model of your own, trained on a project's rows by a plain loop.

Put this file into the folder of a prepared project, and there:

    python own_model.py
    unshapley import-model net.pt --architecture own_model:Net --initial start.pt
    unshapley check-model
    unshapley run
"""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn


class Net(nn.Module):
    """What scales its inputs is part of it: rows come as they are."""

    def __init__(self, in_features: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("scale", torch.ones(in_features))
        self.body = nn.Sequential(
            nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x - self.mean) / self.scale)


def training_rows(project: Path) -> tuple[Tensor, Tensor]:
    """Of all providers: a table each, with the label as its last column."""
    tables = [pd.read_parquet(path) for path in sorted(project.glob("data/partitions/*.parquet"))]
    values = pd.concat(tables).to_numpy()
    return torch.tensor(values[:, :-1]).float(), torch.tensor(values[:, -1]).long()


def train(project: Path, steps: int = 200) -> None:
    """Write net.pt, and start.pt with the weights before training."""
    x, y = training_rows(project)
    torch.manual_seed(0)
    net = Net(x.shape[1], int(y.max()) + 1)
    net.mean, net.scale = x.mean(dim=0), x.std(dim=0).clamp(min=1e-3)
    torch.save(net.state_dict(), project / "start.pt")
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    torch.save(net.state_dict(), project / "net.pt")


if __name__ == "__main__":
    train(Path())
