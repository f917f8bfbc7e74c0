"""What the images are made from."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORT = """
import importlib, sys
from importlib.metadata import packages_distributions

pinned, own = set(sys.argv[2:]), {"services", "shared", "cli", "stagedoor_client"}
known = packages_distributions()

class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        owners = {owner.lower().replace("_", "-").replace(".", "-") for owner in known.get(top, ())}
        if owners and not owners & pinned and top not in own:
            raise ModuleNotFoundError(f"{top} of {owners} is not pinned", name=top)

sys.meta_path.insert(0, Absent())
importlib.import_module(sys.argv[1])
"""


def pins(service):
    """The distributions of an image."""
    lines = (ROOT / f"requirements/{service}.txt").read_text().splitlines()
    return [match[1] for line in lines if (match := re.match(r"([a-z0-9][a-z0-9-]*)==", line))]


@pytest.mark.parametrize("service", ["room_registry", "admin_api", "edge_gateway"])
@pytest.mark.parametrize("module", ["services.{}.__main__", "cli.main"])
def test_a_service_finds_all_that_it_imports(service, module):
    """Among what its image carries, and nowhere else; the command line beside it, too."""
    program = [sys.executable, "-c", IMPORT, module.format(service), *pins(service)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", ["room_registry", "admin_api"])
def test_only_gateways_carry_media(service):
    """Codecs come with aiortc."""
    assert not {"aiortc", "av", "aioice", "pylibsrtp"} & set(pins(service))
