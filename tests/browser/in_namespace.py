#!/usr/bin/env python3
"""Run a program in a network of its own: loopback, and one interface with addresses of both IP versions as on a LAN.

    tests/browser/in_namespace.py PROGRAM ARGUMENT...

Browsers connect media to an address that is not loopback, which a machine under test need not have; and whatever a browser
would like to call home to is not there. As another user than root it needs user namespaces. The network is gone when the last
process in it has ended.
"""

import ctypes
import os
import shutil
import subprocess
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

ADDRESS = "10.77.0.1"
ADDRESS_6 = "fd77::1"
TURN_ADDRESS = "10.77.0.3"
TURN_ADDRESS_6 = "fd77::3"
"""Of a server that is none of ours."""
PROXY_ADDRESS = "10.77.0.9"
"""For tests that put something between browsers and a gateway."""
STEPS = (
    "link set lo up",
    "link add lan0 type veth peer name lan1",
    f"address add {ADDRESS}/24 dev lan0",
    f"address add {TURN_ADDRESS}/24 dev lan0",
    f"-6 address add {ADDRESS_6}/64 dev lan0 nodad",
    f"-6 address add {TURN_ADDRESS_6}/64 dev lan0 nodad",
    f"address add {PROXY_ADDRESS}/24 dev lan0",
    "link set lan0 up",
    "link set lan1 up",
    # A page that has not asked for camera or microphone gathers the address of the default route only.
    "route add default via 10.77.0.2 dev lan0",
    "-6 route add default via fd77::2 dev lan0",
    # What is local comes later than usual, so that tests can forbid some of it before.
    *(f"{version} rule {change}" for version in ("-4", "-6") for change in ("add pref 10 lookup local", "del pref 0")),
)


def main() -> None:
    """Enter the network and become the program."""
    program = sys.argv[1:]
    if not program:
        raise SystemExit(f"usage: {sys.argv[0]} PROGRAM ARGUMENT...")
    own_network()
    try:
        os.execvp(program[0], program)  # noqa: S606 -- to run a program is what this is for
    except OSError as error:
        raise SystemExit(f"{program[0]}: {error.strerror}") from error


def own_network() -> None:
    """Have this process, and what it starts from now on, in a network of its own; ends it where that cannot be."""
    try:
        enter()
    except OSError as error:
        raise SystemExit(f"no network of its own here ({error.strerror}): run it as root, or allow user namespaces") from error
    build()


def enter() -> None:
    """Leave the machine's network for an empty one.

    Raises:
        OSError: the kernel does not let this user.
    """
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if user != 0:
        # Only root may build a network: in here this user is.
        for name, words in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 -- one write, unbuffered names
                file.write(words)


def build() -> None:
    """Make the interfaces."""
    for step in STEPS:
        ip(step)


def ip(step: str) -> None:
    """Change the network with iproute2's words."""
    # Other users than root often have no sbin in their path.
    program = shutil.which("ip", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if program is None:
        raise SystemExit("ip is missing: apt-get install iproute2")
    done = subprocess.run([program, *step.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"no network of its own here: ip {step}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()
