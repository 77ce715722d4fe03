"""Saved models in repositories of the Hugging Face Hub, through its client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._folder import CARD, CONFIG, WEIGHTS, Files, may_replace

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EXTRA = 'pip install "sklearn-vae[hub]"'
LOG_IN = "log in with `hf auth login`, or pass a token"
NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
"""An owner and a name; no path such as ``./folder``."""
UNREACHED = ("ConnectError", "ConnectTimeout", "ConnectionError")
"""What requests and httpx call it; the client uses one or the other, by its version."""


def is_repository(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a repository's name, and nothing here has it."""
    return isinstance(source, str) and bool(NAME.fullmatch(source)) and not os.path.lexists(source)


def download(repo_id: str, *, token: str | bool | None, **where: Any) -> Path:
    """Return a folder of the cache with the weights of a repository, and them alone up to date."""
    api = _api(token, f"{repo_id} is no folder here, and a repository")
    with _explained(api, repo_id, where["revision"]):
        return Path(api.hf_hub_download(repo_id, WEIGHTS, **where)).parent


def upload(
    files: Files,
    repo_id: str,
    *,
    commit_message: str,
    private: bool | None,
    token: str | bool | None,
    revision: str | None,
) -> str:
    """Commit files to a repository, made where there is none; return the commit's address."""
    api = _api(token, "push_to_hub")
    from huggingface_hub import CommitOperationAdd

    with _explained(api, repo_id, revision):
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        theirs = _theirs(api, repo_id, revision)
        if CONFIG in theirs:
            raise FileExistsError(
                f"{repo_id} holds a {CONFIG} that this version of push_to_hub did not write, or "
                "that changed since. Choose another repository, or remove the file."
            )
        added = [
            CommitOperationAdd(name, b"".join(parts))
            for name, parts in files.items()
            if name not in theirs
        ]
        commit = api.create_commit(
            repo_id, added, commit_message=commit_message, revision=revision
        )  # one, so that who loads meanwhile gets the old model or the new one
    return commit.commit_url


def check_name(repo_id: Any) -> None:
    """Refuse what is no owner and name."""
    if not isinstance(repo_id, str) or not NAME.fullmatch(repo_id):
        raise ValueError(f'repo_id={repo_id!r:.100}; use "owner/name", such as "you/digits-vae".')


def _theirs(api: HfApi, repo_id: str, revision: str | None) -> list[str]:
    """Return which of the files that people read are in the repository and not written here."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    theirs = []
    for name in (CONFIG, CARD):
        try:
            path = Path(api.hf_hub_download(repo_id, name, revision=revision))
        except LocalEntryNotFoundError:  # not reached; else it would be an EntryNotFoundError
            raise
        except EntryNotFoundError:
            continue
        if not may_replace(path):
            theirs.append(name)
    return theirs


def _api(token: str | bool | None, who: str) -> HfApi:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ImportError(f"{who} needs huggingface_hub: {EXTRA}.") from error
    return HfApi(token=token, library_name="sklearn-vae")


@contextmanager
def _explained(api: HfApi, repo_id: str, revision: str | None) -> Iterator[None]:
    """Let the client's errors say what to do; they are the cause of those raised."""
    try:
        yield
    except Exception as error:
        if (told := _told(error, api.endpoint, repo_id, revision)) is None:
            raise
        raise told from error


def _told(error: Exception, host: str, repo_id: str, revision: str | None) -> Exception | None:
    """Return what says what to do about an error of the client's; None for one of another kind."""
    from huggingface_hub import errors

    page = f"{host}/{repo_id}"
    match error:  # kinds of others come before these
        case errors.GatedRepoError():
            return PermissionError(f"{page} is gated: ask for access there, then {LOG_IN}.")
        case errors.RepositoryNotFoundError():
            return FileNotFoundError(
                f"{repo_id} is no folder here, and {page} does not exist or is private. Check the "
                f"name; if it is private, {LOG_IN}."
            )
        case errors.RevisionNotFoundError():
            what = f"no revision {revision!r}. Name a branch, a tag or a commit of it."
            return FileNotFoundError(f"{page} has {what}")
        case errors.LocalEntryNotFoundError():  # offline, asked for or not
            return FileNotFoundError(
                f"{repo_id} is not in the cache, and {host} was not asked or not reached. Check "
                "the connection, and leave out local_files_only=True and HF_HUB_OFFLINE."
            )
        case errors.EntryNotFoundError():
            return FileNotFoundError(
                f"{page} has no {WEIGHTS}, which push_to_hub writes. It is another library's "
                "model, or the revision is another."
            )
        case errors.OfflineModeIsEnabled():
            return ConnectionError(f"{host} was not asked: unset HF_HUB_OFFLINE.")
        case errors.HfHubHTTPError() if getattr(error.response, "status_code", 0) in (401, 403):
            return PermissionError(f"{page} refuses you: {LOG_IN} that may do this.")
    if type(error).__name__ in UNREACHED:
        return ConnectionError(f"{host} was not reached. Check the connection.")
    return None
