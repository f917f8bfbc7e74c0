"""The native engine under the sanitizers of the address and of undefined behaviour, for some seconds of each run of the tests."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 10


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is there")
def test_the_native_engine_takes_any_bytes(tmp_path):
    """What fuzzing has kept, and simple changes of it, other ones each time; what breaks it is left behind, with the sanitizer's words."""
    options = ["-g", "-O1", "-std=c11", "-Wall", "-Wextra", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    program = tmp_path / "alone"
    subprocess.run(["cc", *options, HERE / "alone.c", HERE / "forwarding.c", "-lm", "-o", program], check=True)
    files = sorted((HERE / "corpus" / "forwarding").iterdir())
    seed = random.randrange(1 << 32)  # noqa: S311 - no secret
    done = subprocess.run([program, str(SECONDS), str(seed), *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}, bytes in {tmp_path}/crash:\n{done.stderr}"
    assert int(done.stdout) >= len(files)
