"""Gives hostile bytes to every parser, for some time each, and keeps what reaches new code.

Run: make fuzz SECONDS=60. Python's parsers need atheris, the native engine clang with its sanitizers; what is missing is said and
left out. What it finds is written into the current folder as ``crash-...``, and the exit code is not 0.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
NATIVE = "forwarding"
MAX_LENGTH = {"sdp": 20000, NATIVE: 8192}


def main() -> None:
    """Fuzz one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--target", action="append", choices=[*TARGETS, NATIVE])
    arguments = parser.parse_args()
    failed = []
    for name in arguments.target or [*TARGETS, NATIVE]:
        program = native() if name == NATIVE else python(name)
        if program is None:
            continue
        corpus = HERE / "corpus" / name
        limits = (f"-max_total_time={arguments.seconds}", f"-max_len={MAX_LENGTH.get(name, 2048)}", "-timeout=10", "-rss_limit_mb=2048")
        with tempfile.TemporaryDirectory() as found:
            print(f"fuzzing {name}", flush=True)
            done = subprocess.run([*program, *limits, "-print_final_stats=1", found, str(corpus)], check=False)
            if done.returncode:
                failed.append(name)
            # Of all that was found, as few files as reach the same code.
            subprocess.run([*program, "-merge=1", f"-max_len={MAX_LENGTH.get(name, 2048)}", str(corpus), found], check=False)
    if failed:
        raise SystemExit(f"found something in {', '.join(failed)}")


def python(name: str) -> list[str] | None:
    """Return how to fuzz a parser in Python."""
    if importlib.util.find_spec("atheris") is None:
        print(f"{name} is left out, atheris is missing: .venv/bin/pip install atheris")
        return None
    return [sys.executable, "-m", "tests.fuzz.python_target", name]


def native() -> list[str] | None:
    """Compile the native engine with the sanitizers; return how to fuzz it."""
    if shutil.which("clang") is None:
        print(f"{NATIVE} is left out, clang is missing: apt-get install clang libclang-rt-14-dev")
        return None
    built = Path(tempfile.gettempdir()) / "stagedoor-fuzz-forwarding"
    sanitizers = "-fsanitize=fuzzer,address,undefined"
    options = ["-g", "-O1", "-std=c11", "-Wall", "-fno-sanitize-recover=undefined", sanitizers]
    subprocess.run(["clang", *options, str(HERE / "forwarding.c"), "-lm", "-o", str(built)], check=True)
    return [str(built)]


if __name__ == "__main__":
    main()
