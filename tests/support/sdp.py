"""What browsers really said."""

import re
from pathlib import Path

SDP = Path(__file__).parents[1] / "unit" / "media" / "sdp"
CAPTURED = {path.stem: "\r\n".join(path.read_text().splitlines()) + "\r\n" for path in SDP.glob("*.sdp")}


def changed(pattern: str, replacement: str, name: str = "chromium-offer", count: int = 0) -> str:
    """Change a captured offer."""
    text, changes = re.subn(pattern, replacement, CAPTURED[name], count=count, flags=re.MULTILINE)
    assert changes
    return text
