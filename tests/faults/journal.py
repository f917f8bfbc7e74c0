"""What happens in a run, as it happens: JSON lines, with the wall clock that all processes of the machine share."""

import json
import time


class Journal:
    """Writes one file."""

    def __init__(self, path):
        self._file = path.open("a", buffering=1)
        self.counts = {}
        """How many entries there are of each kind."""

    def write(self, what, **fields):
        """Write an entry."""
        entry = {"what": what, "wall": time.time(), "mono": time.monotonic(), **fields}
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self.counts[what] = self.counts.get(what, 0) + 1

    def close(self):
        """End."""
        self._file.close()
