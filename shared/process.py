"""How a process of Stagedoor keeps Python's garbage collector from standing in its way."""

import gc


def collect_less() -> None:
    """Have Python look for garbage in cycles less often: it stops the process, for a second where there are 10,000 sessions.

    What is imported stays for good and is looked at no more. Of the rest, nearly all goes without cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
