"""Folders of pictures as tables: a row a picture, a feature a pixel, the folder's name as label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unshapley.config import PictureSettings
from unshapley.data.reading import RawTable
from unshapley.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""Endings of pictures, in any case."""
MOST_PIXELS = 50_000_000
"""A file that would unfold to more is refused: a few kilobytes can claim gigabytes."""


def is_picture(name: str) -> bool:
    """Whether a file of this name is read as a picture."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def read_pictures(
    paths: Sequence[Path], label: str, settings: PictureSettings, where: Path
) -> RawTable:
    """A table of pictures that lie in folders named after their class.

    Pixels are 0 to 1, row by row, in `settings.channels` one after the other. Raises `InputError`
    for a picture that is in no such folder or cannot be read.
    """
    for path in paths:
        if path.parent == where:
            raise InputError(
                "lies in no folder of a class",
                where=path,
                expected=f"{where / 'CLASS' / path.name}",
                do="put the pictures of each class into a folder of its name",
            )
    pixels = np.stack([_pixels(path, settings) for path in paths])
    names = pixel_names(pixels.shape[1])
    columns = {name: pa.array(pixels[:, i]) for i, name in enumerate(names)}
    columns[label] = pa.array([path.parent.name for path in paths], pa.string())
    return RawTable(str(where), pa.table(columns))


def pixel_names(count: int) -> list[str]:
    """Names of the features, `pixel_000` and so on."""
    width = len(str(count - 1))
    return [f"pixel_{i:0{width}d}" for i in range(count)]


def _pixels(path: Path, settings: PictureSettings) -> NDArray[np.float64]:
    """Pixels of one picture, resized `(channels · side · side,)`."""
    from PIL import Image, UnidentifiedImageError

    mode = "L" if settings.channels == "gray" else "RGB"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is too large is refused below
            with Image.open(path) as picture:
                if picture.size[0] * picture.size[1] > MOST_PIXELS:
                    raise Image.DecompressionBombError
                resized = picture.convert(mode).resize((settings.side, settings.side))
                pixels = np.asarray(resized, dtype=np.float64) / 255
    except Image.DecompressionBombError:
        raise InputError(
            f"unfolds to more than {MOST_PIXELS:,} pixels",
            where=path,
            do="make it smaller, or remove it",
        ) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise InputError(
            "not readable as a picture",
            where=path,
            expected=f"one of {', '.join(SUFFIXES)}, whole",
            do="replace or remove it",
        ) from None
    return pixels.reshape(settings.side**2, -1).T.ravel()
