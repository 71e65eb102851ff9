"""What the built-in utilities compute of outputs `(models, rows, classes)` and labels `(rows,)`."""

from __future__ import annotations

import torch
from torch import Tensor

from unshapley.models.losses import row_loss


def accuracy(outputs: Tensor, y: Tensor) -> Tensor:
    """Share of test rows whose most probable class is the right one."""
    return hits(outputs, y).mean(dim=-1)


def balanced_accuracy(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean of the recall of all classes that occur in the test set, however many rows they have."""
    return recall_per_class(outputs, y)[:, occurring_classes(y)].mean(dim=-1)


def macro_f1(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean F1 score of all classes that occur in the test set or in the model's answers."""
    predicted, true = _is_class(outputs.argmax(dim=-1), outputs), _is_class(y, outputs)
    both = (predicted & true).sum(dim=1).double()
    either = predicted.sum(dim=1) + true.sum(dim=0)
    return (2 * both / either.clamp(min=1)).sum(dim=-1) / (either > 0).sum(dim=-1)


def neg_log_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean cross-entropy of the test rows; 0 is best."""
    return -cross_entropy(outputs, y).mean(dim=-1)


def neg_brier(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the squared distance of the probabilities of all classes from the truth; 0 is best."""
    return -squared_distance(outputs, y).mean(dim=-1)


def auroc(outputs: Tensor, y: Tensor) -> Tensor:
    """Area under the ROC; with three classes or more, the mean of each against all others."""
    p = torch.softmax(outputs.double(), dim=-1)
    positive = [1] if p.shape[-1] == 2 else occurring_classes(y)
    return torch.stack([_area(p[..., c].contiguous(), y == c) for c in positive]).mean(dim=0)


def recall_per_class(outputs: Tensor, y: Tensor) -> Tensor:
    """Share of each class's test rows that are recognised. NaN for a class without rows."""
    return _mean_by_class((outputs.argmax(dim=-1) == y).double(), _is_class(y, outputs))


def neg_log_loss_per_class(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean cross-entropy of each class's test rows; 0 is best. NaN for one without."""
    return -_mean_by_class(row_loss(outputs.double(), y), _is_class(y, outputs))


def neg_mse(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean squared error; 0 is best."""
    return -errors(outputs, y).square().mean(dim=-1)


def neg_mae(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean absolute error; 0 is best."""
    return -errors(outputs, y).abs().mean(dim=-1)


def r2(outputs: Tensor, y: Tensor) -> Tensor:
    """Coefficient of determination: 1 is best, 0 as good as always answering the mean."""
    spread = (y.double() - y.double().mean()).square().sum()
    return 1 - errors(outputs, y).square().sum(dim=-1) / spread


def hits(outputs: Tensor, y: Tensor) -> Tensor:
    """1 for each row whose most probable class is the right one, else 0 `(models, rows)`."""
    return (outputs.argmax(dim=-1) == y).double()


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """Of each row, in nats `(models, rows)`."""
    return row_loss(outputs.double(), y)


def squared_distance(outputs: Tensor, y: Tensor) -> Tensor:
    """Of each row's probabilities from the truth `(models, rows)`."""
    miss = torch.softmax(outputs.double(), dim=-1) - _is_class(y, outputs).double()
    return miss.square().sum(dim=-1)


def errors(outputs: Tensor, y: Tensor) -> Tensor:
    """Prediction minus label `(models, rows)`."""
    return outputs.squeeze(-1).double() - y.double()


def occurring_classes(y: Tensor) -> list[int]:
    """Codes of the classes that occur, ascending."""
    return sorted(set(y.tolist()))


def _is_class(codes: Tensor, outputs: Tensor) -> Tensor:
    """Boolean `(…, rows, classes)`: one-hot of class codes `(…, rows)`."""
    return codes.unsqueeze(-1) == torch.arange(outputs.shape[-1], device=codes.device)


def _mean_by_class(values: Tensor, member: Tensor) -> Tensor:
    """Mean of `(models, rows)` over each class's rows `(models, classes)`; NaN where it has none.

    member: boolean `(rows, classes)`.
    """
    return torch.stack([values[:, rows].mean(dim=-1) for rows in member.T], dim=-1)


def _area(score: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC of scores `(models, rows)`, from the positive rows' ranks; ties count
    half, by the mean of the ranks that they share.
    """
    ordered = score.sort(dim=-1).values
    chosen = score[:, positive].contiguous()
    below = torch.searchsorted(ordered, chosen)
    rank = (below + torch.searchsorted(ordered, chosen, right=True) + 1).double() / 2
    n = positive.sum().double()
    return (rank.sum(dim=-1) - n * (n + 1) / 2) / (n * (len(positive) - n))
