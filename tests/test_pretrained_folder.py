"""Who writes a saved folder, who reads it, and who dies meanwhile: the old model or the new one."""

import os
import random
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest
from helpers import budget, needs_links, same_weights, synthetic_images, tiny

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP
from sklearn_vae.persistence import _folder, _weights

NAMES = ["README.md", "config.json", "model.safetensors"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def pair():
    """Two models that differ in their weights and in their classes."""
    X = synthetic_images(40, 8, 8)
    return tuple(
        tiny(label_weight=1, network=MLP((500,)), max_epochs=1, random_state=seed).fit(X, y)
        for seed, y in enumerate((np.array(["cat", "dog"] * 20), np.array(["pear", "plum"] * 20)))
    )


def loaded(folder, pair):
    """Return which model a folder holds, all of it: 0 or 1; None where there is none."""
    try:
        vae = VAETransformer.from_pretrained(folder)
    except FileNotFoundError:
        return None
    which = [list(vae.classes_) == list(each.classes_) for each in pair].index(True)
    assert same_weights(vae, pair[which])
    return which


def in_child(act):
    """Start a process that does something to the end, or to its death; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        act()
        os._exit(0)
    except BaseException:
        os._exit(1)


def ends(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name not in NAMES]


# -- death ---------------------------------------------------------------------------------------

STEPS = [
    (os, "fsync"),
    (os, "replace"),
    (_folder, "_new_part"),
    (_folder, "_remove_leftovers"),
]


def dying_at(step, act):
    """Run, and kill the process before one of the steps that a save is made of."""

    def die():
        done = 0

        def counted(original):
            def call(*args, **kwargs):
                nonlocal done
                if done == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                done += 1
                return original(*args, **kwargs)

            return call

        for owner, name in STEPS:
            setattr(owner, name, counted(getattr(owner, name)))
        act()

    return die


@needs_fork
@pytest.mark.parametrize("first", [True, False])
def test_death_at_each_step_leaves_the_old_model_or_the_new_one(pair, tmp_path, first):
    seen = []
    for step in range(20):
        folder = tmp_path / str(step)
        if not first:
            pair[0].save_pretrained(folder)
        code = ends(in_child(dying_at(step, lambda: pair[1].save_pretrained(folder))))  # noqa: B023
        seen.append(loaded(folder, pair))
        pair[1].save_pretrained(folder)
        assert loaded(folder, pair) == 1
        assert leftovers(folder) == []
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert step == 10  # 3 parts, each written; 3 moves; 1 removal
    old = None if first else 0
    assert seen == [old] * 8 + [1] * 3  # the first of the moves is the save


@needs_fork
def test_death_at_any_moment_leaves_the_old_model_or_the_new_one(pair, tmp_path):
    rnd = random.Random(0)
    start = time.perf_counter()
    pair[0].save_pretrained(tmp_path)
    duration = time.perf_counter() - start
    seen = Counter()
    for _ in range(budget(12)):
        pair[0].save_pretrained(tmp_path)
        child = in_child(lambda: pair[1].save_pretrained(tmp_path))
        time.sleep(rnd.random() * duration * 1.5)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen[loaded(tmp_path, pair)] += 1
    assert seen.keys() <= {0, 1}
    pair[1].save_pretrained(tmp_path)
    assert loaded(tmp_path, pair) == 1
    assert leftovers(tmp_path) == []


# -- company -------------------------------------------------------------------------------------


@needs_fork
def test_who_reads_beside_a_writer_gets_one_model_or_the_other(pair, tmp_path):
    pair[0].save_pretrained(tmp_path)

    def write():
        while True:
            for vae in reversed(pair):
                vae.save_pretrained(tmp_path)

    child = in_child(write)
    try:
        seen = Counter(loaded(tmp_path, pair) for _ in range(budget(30)))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert seen.keys() <= {0, 1}


def test_who_has_opened_the_file_reads_it_to_its_end(pair, tmp_path, monkeypatch):
    """A save that comes between header and weights goes unnoticed."""
    pair[0].save_pretrained(tmp_path)
    read = _weights.read
    saves = iter([pair[1]])

    def save_and_read(*args):
        for vae in saves:  # one
            vae.save_pretrained(tmp_path)
        return read(*args)

    with monkeypatch.context() as patch:
        patch.setattr(_weights, "read", save_and_read)
        assert loaded(tmp_path, pair) == 0
    assert loaded(tmp_path, pair) == 1


def test_two_threads_save_to_one_folder(pair, tmp_path):
    failed = []

    def write(vae):
        try:
            for _ in range(budget(10)):
                vae.save_pretrained(tmp_path / "new" / "folder")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(vae,)) for vae in (*pair, *pair)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert loaded(tmp_path / "new" / "folder", pair) in (0, 1)
    assert leftovers(tmp_path / "new" / "folder") == []


@needs_fork
def test_two_processes_save_to_one_folder(pair, tmp_path):
    for i in range(budget(5)):
        folder = tmp_path / str(i)
        children = [in_child(lambda vae=vae: vae.save_pretrained(folder)) for vae in pair]  # noqa: B023
        assert [ends(child) for child in children] == [0, 0]
        assert loaded(folder, pair) in (0, 1)
        assert leftovers(folder) == []


def test_what_a_live_save_has_written_so_far_is_not_removed(pair, tmp_path):
    (tmp_path / ".model.safetensors.0123456789abcdef.part").write_bytes(b"of a killed save")
    with _folder._new_part(tmp_path, "model.safetensors") as part:
        part.write(b"of a live one")
        part.flush()
        pair[0].save_pretrained(tmp_path)
        assert [str(tmp_path / name) for name in leftovers(tmp_path)] == [part.name]
    pair[0].save_pretrained(tmp_path)
    assert leftovers(tmp_path) == []


def test_a_file_system_without_locks_will_do(pair, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / ".config.json.0123456789abcdef.part").touch()

    def fail(*args):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    pair[0].save_pretrained(tmp_path)
    assert loaded(tmp_path, pair) == 0
    assert len(leftovers(tmp_path)) == 1  # it could be another's


# -- what others have put there --------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@needs_links
def test_links_under_temporary_names_are_not_followed(pair, tmp_path, victim):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in NAMES:
        for end in (os.getpid(), "0123456789abcdef"):
            (folder / f".{name}.{end}.part").symlink_to(victim)
    pair[0].save_pretrained(folder)
    assert victim.read_text() == "precious"
    assert loaded(folder, pair) == 0


@needs_links
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("exists", [True, False])
def test_links_of_another_origin_are_refused(pair, tmp_path, victim, name, exists):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).symlink_to(victim if exists else tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match=f"holds {name} that"):
        pair[0].save_pretrained(folder)
    assert victim.read_text() == "precious"
    assert os.listdir(folder) == [name]


@needs_links
def test_a_linked_card_is_the_users_own(pair, tmp_path, victim):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "README.md").symlink_to(victim)
    pair[0].save_pretrained(folder)
    assert (folder / "README.md").read_text() == victim.read_text() == "precious"


@needs_links
def test_a_snapshot_of_links_is_read_and_saving_leaves_what_they_point_to(pair, tmp_path):
    """As huggingface_hub keeps them."""
    blobs, folder = tmp_path / "blobs", tmp_path / "snapshot"
    pair[0].save_pretrained(blobs)
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(blobs / name)
    assert loaded(folder, pair) == 0
    pair[1].save_pretrained(folder)
    assert loaded(folder, pair) == 1
    assert loaded(blobs, pair) == 0
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize("make", [os.mkdir, pytest.param(getattr(os, "mkfifo", None), id="mkfifo")])
def test_what_is_no_file_is_neither_waited_for_nor_replaced(pair, tmp_path, make):
    if make is None:
        pytest.skip("no pipes here")
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        make(folder / name)
        kind = (folder / name).stat().st_mode
        if name == "README.md":
            pair[0].save_pretrained(folder)
            assert loaded(folder, pair) == 0
        else:
            with pytest.raises(FileExistsError, match=f"holds {name} that"):
                pair[0].save_pretrained(folder)
            assert os.listdir(folder) == [name]
        assert (folder / name).stat().st_mode == kind
    with pytest.raises(ValueError, match=r"model\.safetensors is no regular file"):
        VAETransformer.from_pretrained(tmp_path / "model.safetensors")


def test_pipes_and_folders_under_temporary_names_are_left_alone(pair, tmp_path):
    (tmp_path / ".config.json.a.part").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / ".model.safetensors.b.part")
    before = leftovers(tmp_path)
    pair[0].save_pretrained(tmp_path)
    assert loaded(tmp_path, pair) == 0
    assert leftovers(tmp_path) == before


def test_a_file_in_the_folders_place_is_kept(pair, victim):
    for path in (victim, victim / "below"):
        with pytest.raises(FileExistsError, match=r"victim.* cannot be made a folder"):
            pair[0].save_pretrained(path)
    assert victim.read_text() == "precious"
    with pytest.raises(FileNotFoundError):
        VAETransformer.from_pretrained(victim)
