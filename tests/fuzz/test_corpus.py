"""What fuzzing has kept, and simple changes of it, in every run of the tests; `make fuzz` goes on from here for as long as it is told."""

import random
import time
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 5.0
"""For each parser."""


def changed(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat or insert something."""
    changing = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(changing))
        match chance.randint(0, 3):
            case 0:
                changing[at : at + 1] = chance.randbytes(1)
            case 1:
                del changing[at : at + chance.randint(1, 16)]
            case 2:
                changing[at:at] = changing[at : at + chance.randint(1, 16)]
            case 3:
                changing[at:at] = chance.choice([b"\x00", b"\xff\xff", b"\x7f", chance.randbytes(4)])
    return bytes(changing)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_harmless(name):
    """Nothing but refusals, and none of the bounds is crossed; nor by changes of it, other ones each time."""
    files = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    assert files
    for data in files:
        TARGETS[name](data)
    chance = random.Random()  # noqa: S311 - no secret
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = changed(chance.choice(files), chance)
        try:
            TARGETS[name](data)
        except Exception as error:
            raise AssertionError(f"bytes.fromhex({data.hex()!r})") from error
