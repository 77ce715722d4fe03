"""The file by which a killed fit goes on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import warnings
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from ...utils._ranks import Ranks

FORMAT, SUFFIX = "sklearn_vae checkpoint 1", ".pt"
DIGEST = 32
"""Bytes before the state, by which damage is found."""


class FitCheckpoint:
    """The checkpoint of one fit.

    Parameters
    ----------
    path : str or path-like
        A file where it ends in ``.pt``, else a folder, in which each fit has a file of its own.
    form : dict of str to str
        What the fit is: its data, parameters and seed, by name.
    ranks : Ranks, default=None
        The processes that train together: all call the methods, and the first has the file.
    """

    def __init__(
        self, path: str | os.PathLike[str], form: dict[str, str], ranks: Ranks | None = None
    ) -> None:
        self.path, self.form = Path(path), form
        self.ranks = Ranks() if ranks is None else ranks
        if self.path.suffix != SUFFIX:
            of_fit = blake2b(json.dumps(form, sort_keys=True).encode(), digest_size=16)
            self.path = self.path / (of_fit.hexdigest() + SUFFIX)
        if self.ranks.rank == 0:
            self._make_folder()

    def _make_folder(self) -> None:
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"checkpoint: {folder} cannot be made a folder ({error.strerror}). Choose another."
            ) from error
        if self.path.is_dir():
            raise ValueError(
                f"checkpoint: {self.path} ends in {SUFFIX}, which names the file of one fit, but "
                "it is a folder. Choose another name."
            )

    def read(self) -> dict[str, Any] | None:
        """Return the state that was written last; None where there is none.

        No code is executed. ValueError for a file of another fit, and for one that is damaged.
        """
        state: dict[str, Any] | None
        state = self.ranks.of_first(self._read() if self.ranks.rank == 0 else None)
        return state

    def _read(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        try:
            content = self.path.read_bytes()
            if _digest(content[DIGEST:]) != content[:DIGEST]:  # torch looks at no checksum
                raise ValueError("it is not what was written")
            # From memory, as torch raises OSError for damage, too.
            packed = io.BytesIO(content[DIGEST:])
            with warnings.catch_warnings():  # of sparse tensors that something else has unpickled
                warnings.filterwarnings("ignore", "Validating sparse tensor", UserWarning)
                found = torch.load(packed, map_location="cpu", weights_only=True)
            if found["format"] != FORMAT:
                raise ValueError(f"its format is {found['format']!r:.80}, not {FORMAT!r}")
            form, state = found["form"], found["state"]
        except FileNotFoundError:
            return None
        except OSError:
            raise
        except Exception as error:  # torch.load raises many kinds
            raise ValueError(
                f"{self.path} is no checkpoint of a fit, or is damaged: {error!s:.200}. Remove it, "
                "or choose another path."
            ) from error
        for name in {**form, **self.form}:
            old, new = form.get(name), self.form.get(name)
            if old != new:
                raise ValueError(
                    f"{self.path} is the checkpoint of a fit with {name}={old!s:.100}; here it is "
                    f"{new!s:.100}. Set it back, remove the file, or pass a folder as checkpoint, "
                    "in which each fit has a file of its own."
                )
        return dict(state)

    def write(self, state: dict[str, Any]) -> None:
        """Put a new file in the place of the old one, in one moment."""
        if self.ranks.rank > 0:
            return
        part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.part")
        try:
            content = io.BytesIO()
            torch.save({"format": FORMAT, "form": self.form, "state": state}, content)
            with open(part, "xb") as file:
                file.write(_digest(content.getvalue()))
                file.write(content.getvalue())
                file.flush()
                os.fsync(file.fileno())  # or a power cut could leave a name without contents
            os.replace(part, self.path)
        finally:
            part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file of a fit that is over, and what killed writes of it left."""
        if self.ranks.rank > 0:
            return
        for path in [self.path, *self.path.parent.glob(f".{self.path.name}.*.part")]:
            with contextlib.suppress(OSError):
                path.unlink()


def check_seeded(checkpoint: Any, random_state: Any) -> None:
    """Refuse a checkpoint of a fit that none would find again."""
    if checkpoint is not None and random_state is None:
        raise ValueError(
            "checkpoint finds a fit by its seed, but random_state=None draws another one each "
            "time. Set random_state to an int."
        )


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=DIGEST).digest()
