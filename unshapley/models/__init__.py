"""Models: architectures, weights, losses, training in batches."""

from unshapley.models.architectures import cnn, mlp
from unshapley.models.gpt import gpt
from unshapley.models.huggingface import huggingface

__all__ = ["cnn", "gpt", "huggingface", "mlp"]
