"""Models: architectures, weights, losses, training in batches."""

from unshapley.models.architectures import cnn, mlp
from unshapley.models.gpt import gpt

__all__ = ["cnn", "gpt", "mlp"]
