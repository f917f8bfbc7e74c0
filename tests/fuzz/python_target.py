"""Fuzzes one parser under atheris: python -m tests.fuzz.python_target NAME [libFuzzer's options] CORPUS."""

import sys

import atheris

with atheris.instrument_imports(include=["services.edge_gateway.media"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
