"""What a VAE has that can be saved, loaded and shared."""

from __future__ import annotations

import os
from typing import TypeVar

from . import _folder, _hub

Self = TypeVar("Self", bound="PretrainedMixin")


class PretrainedMixin:
    """Saves to a folder or a model hub and loads from either, without executing code.

    The methods and their arguments are those of ``huggingface_hub.ModelHubMixin``. That class is no
    base: ``huggingface_hub`` is optional, and it would read two files and replace an edited card.
    """

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted model to a folder that can be shared and is read without executing code.

        ``model.safetensors`` holds the weights and, in its metadata, the rest of the estimator. It
        alone is read. ``config.json`` is a copy of the metadata, to be looked at, and ``README.md``
        a model card in the form of model hubs. Edit it, and remove its first comment, so that
        saving again keeps it. The state of the optimiser is not saved: training that goes on
        afterwards starts with a fresh one.

        The save takes effect in one moment. Whoever loads beside it gets the old model or the new
        one, and so does who loads after it was killed; the next save removes what that one left.

        Parameters
        ----------
        folder : str or path-like
            Made where it does not exist. Files that this method wrote are replaced, others kept.

        Raises
        ------
        TypeError
            When the model could not be rebuilt without code of yours: torch modules as ``network``,
            own subclasses of Network, Likelihood, Prior or PosteriorFamily. joblib saves these.
        ValueError
            When a parameter has been set to what it cannot be. When history, column names and
            classes take more than 16 MB, or the names of the classes more than 64 MB as an array.
        FileExistsError
            When a file has the folder's name or that of a folder above it. When the folder holds a
            ``config.json`` or ``model.safetensors`` of another origin. In each case nothing is
            written.

        Warns
        -----
        UserWarning
            For what concerns training only and is code or a live generator (``augment``,
            ``optimizer``, ``callbacks``, ``random_state``): the default is written in its place.

        See Also
        --------
        from_pretrained : Reads the folder.
        push_to_hub : Sends the same files to a model hub.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from sklearn_vae import VAETransformer
        >>> X = np.random.default_rng(0).random((50, 8, 8))
        >>> vae = VAETransformer(2, network="mlp", max_epochs=1, device="cpu").fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vae.save_pretrained(folder)
        ...     loaded = VAETransformer.from_pretrained(folder)
        >>> bool((loaded.transform(X) == vae.transform(X)).all())
        True
        """
        _folder.save(_folder.to_files(self, "this folder"), folder)

    @classmethod
    def from_pretrained(
        cls: type[Self],
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Return the fitted model that :meth:`save_pretrained` or :meth:`push_to_hub` wrote.

        Only ``model.safetensors`` is read. No code is executed, and no more memory taken than the
        weights and at most 16 MB of settings need, whatever the file holds. ``device="auto"`` is
        resolved on this machine; a device that it lacks becomes the CPU, with a warning.

        Parameters
        ----------
        source : str or path-like
            A folder, or ``"owner/name"``: a repository of the Hugging Face Hub, where no folder has
            this name. A repository needs ``pip install "sklearn-vae[hub]"``.
        revision : str, default=None
            Branch, tag or commit of the repository; None for ``main``. A commit stays what it is.
        token : str or bool, default=None
            Of a private or gated repository. None takes what ``hf auth login`` has stored.
        cache_dir : str or path-like, default=None
            Where a repository's file is kept; None for the hub's own cache.
        local_files_only : bool, default=False
            Whether to take a repository from the cache without asking the hub.

        Returns
        -------
        vae : VAETransformer
            With the same parameters and results; ``fit`` with ``warm_start`` and ``partial_fit`` go
            on from its weights.

        Raises
        ------
        FileNotFoundError
            When there is no ``model.safetensors``, no such repository or revision, or the
            repository is not in the cache and the hub cannot be reached.
        PermissionError
            When the repository is gated, or the token does not let you read it.
        ImportError
            For a repository, without ``huggingface_hub``.
        ValueError
            When it is no regular file, damaged, of another format version, or names what is not in
            the package. When the weights are not those of the model described, or not finite. For
            the ``revision`` of a folder.

        See Also
        --------
        push_to_hub : An example with a repository.
        """
        folder: str | os.PathLike[str] = source
        if _hub.is_repository(source):
            folder = _hub.download(
                str(source),
                token=token,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
            )
        elif revision is not None:
            raise ValueError(f"revision={revision!r} is of a repository, but {source} is none.")
        return _folder.load(cls, folder)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Push model with sklearn_vae",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
    ) -> str:
        """Send the fitted model to the Hugging Face Hub, in one commit.

        The files are those of :meth:`save_pretrained`: column names, classes and the history of the
        training are in them, rows of X are not. A repository that does not exist is made. An edited
        card there, without its first comment, is kept. Needs ``pip install "sklearn-vae[hub]"``.

        Parameters
        ----------
        repo_id : str
            ``"owner/name"``. The owner is you or an organisation.
        commit_message : str, default="Push model with sklearn_vae"
            The title of the commit.
        private : bool, default=None
            Whether a new repository is private. None: public, if its organisation has no other
            default.
        token : str or bool, default=None
            One that may write. None takes what ``hf auth login`` has stored.
        revision : str, default=None
            The branch, made where it does not exist; None for ``main``.

        Returns
        -------
        url : str
            The address of the commit.

        Raises
        ------
        PermissionError
            When you are not logged in, or may not write there.
        TypeError, ValueError
            As :meth:`save_pretrained`, and for another form of ``repo_id``. Nothing is sent.
        FileExistsError
            When the repository holds a ``config.json`` of another origin.
        ImportError
            Without ``huggingface_hub``.

        Examples
        --------
        >>> from sklearn_vae import VAETransformer
        >>> vae.push_to_hub("you/digits-vae", private=True)  # doctest: +SKIP
        >>> vae = VAETransformer.from_pretrained("you/digits-vae")  # doctest: +SKIP
        """
        _hub.check_name(repo_id)
        return _hub.upload(
            _folder.to_files(self, repo_id),
            repo_id,
            commit_message=commit_message,
            private=private,
            token=token,
            revision=revision,
        )
