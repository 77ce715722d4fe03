"""Tables of Hugging Face's ``datasets``: the column that holds images, as a torch Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.data import Dataset

from ._samples import as_array

IMAGE_TYPES = ("Image", "Array2D", "Array3D")
"""What the library calls features that may be images."""


def is_image_table(X: Any) -> bool:
    """Return whether X is a map-style ``datasets.Dataset``, which is not imported for that."""
    of_table = ("column_names", "select_columns", "__len__", "__getitem__")
    return isinstance(getattr(X, "features", None), Mapping) and all(
        hasattr(X, name) for name in of_table
    )


class ColumnDataset(Dataset):
    """The images of a table, decoded when they are asked for.

    Parameters
    ----------
    table : datasets.Dataset
        With one column of images.
    """

    def __init__(self, table: Any) -> None:
        found = [name for name, feature in table.features.items() if _kind(feature) in IMAGE_TYPES]
        if len(found) != 1:
            raise ValueError(
                f"X has {len(found)} columns of images; its columns are "
                f"{', '.join(map(repr, table.column_names)):.200}. Pass one with one such column: "
                "X.select_columns('image'), after X.cast_column('image', datasets.Image()) where "
                "it holds files."
            )
        self.name = found[0]
        self.table = table.select_columns(found)  # others need not be decoded

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> Any:
        return as_array(self.table[i][self.name])

    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [as_array(x) for x in self.table[rows][self.name]]


def _kind(feature: Any) -> str:
    return getattr(feature, "_type", type(feature).__name__)
