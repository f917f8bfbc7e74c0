"""A checker that cannot fail is worthless: bugs are planted, one at a time, and it names the promise that each breaks."""

import pytest

from tests.faults import scenes
from tests.faults.planted import BUGS
from tests.faults.scenes import Scene

SHOWN = [
    ("anchor_not_replaced", scenes.duplicates, "P1"),
    ("ended_twice", scenes.comings_and_goings, "P2"),
    ("fence_off", scenes.comings_and_goings, "P3"),
    ("gap_not_healed", scenes.two_at_once, "P3"),
    ("notice_before_commit", scenes.removal, "P4"),
    ("last_event_lost", scenes.removal, "P4"),
    ("removed_by_user", scenes.back_after_a_removal, "P4"),
    ("resume_unchecked", scenes.removed_while_away, "P5"),
    ("lease_renewed_while_deaf", scenes.removal_with_media, "P5"),
    ("answers_forgotten", scenes.removed_twice_with_one_id, "P6"),
    ("receipt_before_the_media_stops", scenes.removal_with_media, "P7"),
]


def test_every_bug_is_shown():
    """And none is forgotten."""
    assert sorted(bug for bug, _, _ in SHOWN) == sorted(BUGS)


@pytest.mark.parametrize(("bug", "play", "promise"), SHOWN, ids=[bug for bug, _, _ in SHOWN])
async def test_a_planted_bug_is_found(tmp_path, bug, play, promise):
    """By the promise that it breaks."""
    async with Scene(tmp_path, (bug, BUGS[bug][0]), replicas=2 if bug == "fence_off" else 1) as scene:
        await play(scene)
        violations = await scene.violations()
    assert promise in {violation.promise for violation in violations}


async def test_without_a_bug_nothing_is_found(tmp_path):
    """The same scenes, all of them."""
    async with Scene(tmp_path) as scene:
        for play in dict.fromkeys(play for _, play, _ in SHOWN):
            await play(scene)
        violations = await scene.violations()
    assert violations == [], "\n".join(map(str, violations))
