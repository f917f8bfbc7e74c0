"""Says how the native engine is compiled; ``setup.py`` asks."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
MODULE = "services.edge_gateway.media.native._forwarding"


def builder() -> FFI:
    """Return what compiles the module. It needs a C compiler, Python's headers and the C library."""
    ffi = FFI()
    ffi.cdef((HERE / "forwarding.h").read_text())
    ffi.set_source(
        MODULE,
        '#include <stdbool.h>\n#include <stdint.h>\n#include "forwarding.h"',
        sources=[str(source.relative_to(ROOT)) for source in sorted(HERE.glob("[a-z]*.c"))],
        include_dirs=[str(HERE.relative_to(ROOT))],
        # Python's floating-point numbers are rounded after each step, and these must be the same.
        extra_compile_args=["-O2", "-std=c11", "-Wall", "-Wextra", "-ffp-contract=off", "-fvisibility=hidden"],
        libraries=["m"],
    )
    return ffi
