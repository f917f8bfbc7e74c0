"""One folder a process. None imports another: they meet on the bus only."""
