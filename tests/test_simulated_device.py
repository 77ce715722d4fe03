"""All that a GPU would do but compute, without one: see ``tests/simulated``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

HERE = Path(__file__).parent


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch cannot simulate a device",
)
def test_estimators_on_another_device():
    """In a process of its own, since torch never forgets a device."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # torch has room for one kind of device beside the CPU
    done = subprocess.run(
        [*command, HERE / "simulated" / "checks.py"],
        env=environment,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
