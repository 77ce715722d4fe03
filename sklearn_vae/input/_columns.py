"""Tables of Hugging Face's ``datasets``: the column of images, as a torch Dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import Dataset, IterableDataset

from ._samples import as_array, is_pil

IMAGE_TYPES = ("Image", "Array2D", "Array3D")
"""What the library calls features that may be images."""


def is_image_table(X: Any) -> bool:
    """Return whether X is a map-style ``datasets.Dataset``, which is not imported for that."""
    of_table = ("column_names", "select_columns", "__len__", "__getitem__")
    return isinstance(getattr(X, "features", None), Mapping) and all(
        hasattr(X, name) for name in of_table
    )


def is_table_stream(X: Any) -> bool:
    """Return whether X is a ``datasets.IterableDataset``, likewise."""
    of_table = ("column_names", "features", "select_columns", "__iter__")
    return all(hasattr(X, name) for name in of_table) and not hasattr(X, "__len__")


class ColumnDataset(Dataset):
    """The images of a table, decoded when they are asked for.

    Parameters
    ----------
    table : datasets.Dataset
        With one column of images.
    """

    def __init__(self, table: Any) -> None:
        self.name = image_column(table.features)
        self.table = table.select_columns([self.name])  # others need not be decoded

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> Any:
        return as_array(self.table[i][self.name])

    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [as_array(x) for x in self.table[rows][self.name]]


class ColumnStream(IterableDataset):
    """The images of a table that is streamed.

    Parameters
    ----------
    table : datasets.IterableDataset
        With one column of images, by its features or, where it has none, by its first item.
    """

    def __init__(self, table: Any) -> None:
        self.name = image_column(table.features or next(iter(table), {}))
        self.table = table.select_columns([self.name])

    def __iter__(self) -> Iterator[Any]:
        return (as_array(row[self.name]) for row in self.table)


def image_column(columns: Mapping[str, Any]) -> str:
    """Return the name of the one column of images, told from features or from values."""
    found = [name for name, value in columns.items() if _is_image(value)]
    if len(found) != 1:
        raise ValueError(
            f"X has {len(found)} columns of images; its columns are "
            f"{', '.join(map(repr, columns)):.200}. Pass one with one such column: "
            "X.select_columns('image'), after X.cast_column('image', datasets.Image()) where "
            "it holds files."
        )
    return found[0]


def _is_image(value: Any) -> bool:
    kind = getattr(value, "_type", type(value).__name__)
    return kind in IMAGE_TYPES or is_pil(value) or getattr(value, "ndim", 0) > 1
