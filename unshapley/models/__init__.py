"""Models: architectures, weights, losses, training in batches."""

from unshapley.models.architectures import cnn, mlp

__all__ = ["cnn", "mlp"]
