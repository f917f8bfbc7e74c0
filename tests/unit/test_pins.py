"""The pinned packages are what pyproject.toml asks for, and say nothing of where they come from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = (ROOT / "requirements/dev.txt").read_text()
WANTED = [
    *PROJECT["project"]["dependencies"],
    *(wish for extra in PROJECT["project"]["optional-dependencies"].values() for wish in extra),
    *PROJECT["dependency-groups"]["dev"],
]


@pytest.mark.parametrize("wish", [wish for wish in WANTED if not wish.startswith("stagedoor[")])
def test_every_requirement_is_pinned_to_a_version_that_it_allows(wish):
    """Otherwise the pins are older than the project: make lock."""
    requirement = Requirement(wish)
    pinned = re.search(rf"^{re.escape(requirement.name)}==([^ ;]+)", PINS, re.MULTILINE)
    assert pinned, "not pinned"
    assert requirement.specifier.contains(pinned[1])


def test_pins_have_hashes_and_no_addresses():
    """What is installed is what was locked, from whatever registry this machine uses."""
    assert PINS.count("--hash=sha256:") > PINS.count("==")
    assert "://" not in PINS
    assert "://" not in "".join(re.findall(r'"resolved".*', (ROOT / "sdk/web/package-lock.json").read_text()))
