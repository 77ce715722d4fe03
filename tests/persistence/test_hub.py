"""Models in repositories: the real client against a hub on this machine."""

import hashlib
import os
import re
import sys

import numpy as np
import pytest
from helpers import same_weights, synthetic_images, tiny
from local_hub import TOKEN, LocalHub, Repository

from sklearn_vae import VAETransformer
from sklearn_vae.persistence import _hub

load = VAETransformer.from_pretrained
# The client's own, where it sends a file without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


def forget_client():
    """Let the client be imported anew, which reads its environment once."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    with LocalHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # a protocol of its own, which LFS stands for
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        forget_client()
        yield server
    forget_client()


@pytest.fixture(scope="module")
def pair():
    X = synthetic_images(30, 8, 8)
    return [tiny(max_epochs=1, random_state=seed).fit(X) for seed in range(2)]


@pytest.fixture
def pushed(hub, pair):
    pair[0].push_to_hub("you/digits", token=TOKEN)
    return hub.repositories["you/digits"]


def test_what_is_pushed_comes_back(hub, pair):
    url = pair[0].push_to_hub("you/digits", token=TOKEN)
    repository = hub.repositories["you/digits"]
    assert url == f"{hub.url}/you/digits/commit/{repository.heads['main']}"
    assert sorted({*repository.files()} - {".gitattributes"}) == [
        *("README.md", "config.json", "model.safetensors"),
    ]
    assert repository.messages == ["initial commit", "Push model with sklearn_vae"]  # one commit
    hub.requests.clear()
    loaded = load("you/digits")
    assert same_weights(loaded, pair[0])
    X = synthetic_images(30, 8, 8)
    np.testing.assert_array_equal(loaded.transform(X), pair[0].transform(X))
    read = {
        request.rpartition("/resolve/")[2] for request in hub.requests if "/resolve/" in request
    }
    assert read == {"main/model.safetensors"}  # nothing else is fetched


def test_the_card_is_as_hubs_want_it(pushed):
    from huggingface_hub import ModelCard

    card = ModelCard(pushed.files()["README.md"].decode())
    assert card.data.library_name == "sklearn-vae"
    assert card.data.pipeline_tag == "image-feature-extraction"
    assert card.data.tags == ["variational-autoencoder", "scikit-learn"]
    assert 'VAETransformer.from_pretrained("you/digits")' in card.text


def test_private_repositories_ask_for_the_token(hub, pair):
    pair[0].push_to_hub("you/digits", private=True, token=TOKEN, commit_message="First")
    assert hub.repositories["you/digits"].private
    assert hub.repositories["you/digits"].messages[-1] == "First"
    assert same_weights(load("you/digits", token=TOKEN), pair[0])
    with pytest.raises(FileNotFoundError, match=r"does not exist or is private.*hf auth login"):
        load("you/digits", cache_dir="elsewhere")


def test_revisions_are_branches_and_commits(hub, pair):
    first = pair[0].push_to_hub("you/digits", token=TOKEN).rpartition("/")[2]
    pair[1].push_to_hub("you/digits", token=TOKEN, revision="next")
    assert same_weights(load("you/digits"), pair[0])
    assert same_weights(load("you/digits", revision="next"), pair[1])
    pair[1].push_to_hub("you/digits", token=TOKEN)
    assert same_weights(load("you/digits"), pair[1])
    assert same_weights(load("you/digits", revision=first), pair[0])
    with pytest.raises(FileNotFoundError, match=r"no revision 'lost'. Name a branch"):
        load("you/digits", revision="lost")


def test_an_edited_card_is_kept_and_another_librarys_model_not_replaced(hub, pushed, pair):
    pushed.commit("main", {"README.md": b"---\nlicense: mit\n---\nMine."}, "Edit")
    pair[1].push_to_hub("you/digits", token=TOKEN)
    assert pushed.files()["README.md"].endswith(b"Mine.")
    assert same_weights(load("you/digits"), pair[1])
    pushed.commit("main", {"config.json": b'{"model_type": "bert"}'}, "Another model")
    with pytest.raises(FileExistsError, match=r"you/digits holds a config\.json.*another repos"):
        pair[0].push_to_hub("you/digits", token=TOKEN)
    assert same_weights(load("you/digits"), pair[1])


def test_what_cannot_be_loaded_says_why(hub, pushed):
    with pytest.raises(
        FileNotFoundError, match=r"you/digit is no folder here, and .*Check the name"
    ):
        load("you/digit", token=TOKEN)
    hub.repositories["you/other"] = Repository()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors, which push_to_hub writes"):
        load("you/other")
    pushed.gated = True
    for token in (None, TOKEN):
        with pytest.raises(PermissionError, match="is gated: ask for access there, then log in"):
            load("you/digits", token=token)


def test_a_file_that_was_changed_on_the_way_is_refused(pushed, hub):
    weights = bytearray(pushed.files()["model.safetensors"])
    weights[-1] ^= 1
    pushed.commit("main", {"model.safetensors": bytes(weights)}, "Damage")
    hub.blobs[hashlib.sha256(weights).hexdigest()] = bytes(weights)
    with pytest.raises(ValueError, match="damaged"):
        load("you/digits")


def test_without_a_connection_the_cache_serves(hub, pushed, pair, tmp_path, monkeypatch):
    assert same_weights(load("you/digits"), pair[0])
    hub.server.shutdown()
    hub.server.server_close()
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client tries again, for 20 s
    assert same_weights(load("you/digits", local_files_only=True), pair[0])
    assert same_weights(load("you/digits"), pair[0])
    for only in (True, False):
        with pytest.raises(FileNotFoundError, match=r"not in the cache.*Check the connection"):
            load("you/digits", cache_dir=tmp_path / "cache", local_files_only=only)
    with pytest.raises(ConnectionError, match="Check the connection"):
        pair[0].push_to_hub("you/digits", token=TOKEN)


def test_the_hubs_own_switch_for_working_offline(hub, pair, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    forget_client()
    with pytest.raises(FileNotFoundError, match=r"leave out .* HF_HUB_OFFLINE"):
        load("you/digits")
    with pytest.raises(ConnectionError, match="unset HF_HUB_OFFLINE"):
        pair[0].push_to_hub("you/digits", token=TOKEN)
    assert hub.requests == []


def test_who_is_not_logged_in_or_may_not_write_is_told(hub, pushed, pair):
    with pytest.raises(PermissionError, match=r"hf auth login"):
        pair[0].push_to_hub("you/new", token="hf_wrong")
    with pytest.raises(PermissionError, match=r"hf auth login"):
        pair[0].push_to_hub("you/new")
    assert [*hub.repositories] == ["you/digits"]


def test_nothing_is_sent_of_what_cannot_be_saved(hub, pair):
    with pytest.raises(ValueError, match=r"repo_id='digits'; use \"owner/name\""):
        pair[0].push_to_hub("digits", token=TOKEN)
    with pytest.raises(Exception, match="not fitted"):
        VAETransformer().push_to_hub("you/digits", token=TOKEN)
    assert hub.requests == []


def test_a_folder_is_a_folder(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair[0].save_pretrained("you/digits")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert same_weights(load("you/digits"), pair[0])
    with pytest.raises(ValueError, match=r"revision='v1' is of a repository, but you/digits"):
        load("you/digits", revision="v1")
    for missing in ("./you/digit", "digit", tmp_path / "you" / "digit"):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            load(missing)


def test_without_the_client_the_extra_is_named(pair, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    install = re.escape(_hub.EXTRA)
    with pytest.raises(ImportError, match=f"you/digits is no folder here, and.*{install}"):
        load("you/digits")
    with pytest.raises(ImportError, match=f"push_to_hub needs huggingface_hub: {install}"):
        pair[0].push_to_hub("you/digits")
