"""Finding processes of which one knows an ancestor only."""

from pathlib import Path


def media_workers(pid):
    """Return the process ids of the media workers among a process's descendants."""
    return running(pid, "services.edge_gateway.media.worker")


def running(pid, module):
    """Return the process ids of those among a process's descendants that run a module (``python -m``)."""
    return [child for child in _descendants(pid) if module.encode() in _command(child).split(b"\0")]


def _descendants(pid):
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [each for child in children for each in (child, *_descendants(child))]


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""
