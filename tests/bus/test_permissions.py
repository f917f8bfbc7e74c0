"""What each part may do on a nats-server with the shipped configuration, and what it may not: tried, and seen denied."""

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import sys

import nats
import nats.errors
import nkeys
import pytest
from structlog.testing import capture_logs

from cli import nats_keys
from cli.nats_server import die_with_parent
from services.room_registry.app import build
from services.room_registry.settings import RegistrySettings
from shared.bus.connection import connection_of, make_broker
from shared.bus.stream import EventStream
from shared.clients.receipts import Receipts
from shared.contracts.nats_accounts import publications, subscriptions
from shared.contracts.subjects import RECEIPT_STREAM, STREAM, Part
from tests.support.running import running
from tests.support.secured_nats import SecuredNats

CMD, EVT, PUB = "stagedoor.v1.cmd.0.1.n1", "stagedoor.v1.evt.0.1.n1", "stagedoor.v1.pub.0.1.n1"
RECEIPT, GATEWAY_LEASE, SNAPSHOT, LEASE = "stagedoor.v1.rcpt.1.a.b", "stagedoor.v1.gw.a", "stagedoor.v1.snap.0.1.1", "stagedoor.v1.lease.a"
GATEWAY_VERBS, OPERATOR_VERBS = ("join", "resume", "leave", "switch_role", "detach"), ("remove", "dismiss")
JETSTREAM = [
    *(f"$JS.API.STREAM.{verb}.{STREAM}" for verb in ("DELETE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN")),
    f"$JS.API.CONSUMER.CREATE.{STREAM}.a",
    "$JS.API.STREAM.CREATE.X",
    "$JS.API.STREAM.NAMES",
    "$JS.API.INFO",
    "$JS.API.ACCOUNT.PURGE.ROOM_REGISTRY",
    "$SYS.REQ.SERVER.PING",
    "anything.else",
]
NOBODYS_BUT_THE_REGISTRYS = [
    f"{EVT}.join",
    "stagedoor.v1.evt.0._._.epoch",
    f"{PUB}.remove",
    SNAPSHOT,
    LEASE,
    "stagedoor.v1.cmd.0._._.epoch",
    "stagedoor.v1.cmd.0._._.lose",
    f"$JS.API.STREAM.PURGE.{STREAM}",
    f"$JS.API.STREAM.MSG.GET.{STREAM}",
    "_INBOX.room_registry.x",
    "_R_.x",
    *JETSTREAM,
]
MAY_NOT_PUBLISH = {
    Part.GATEWAY: [
        *(f"{CMD}.{verb}" for verb in OPERATOR_VERBS),
        *(f"stagedoor.v1.cmd._.1.n1.{verb}" for verb in OPERATOR_VERBS),
        "stagedoor.v1.qry.0.rooms",
        f"$JS.API.DIRECT.GET.{RECEIPT_STREAM}",
        "_INBOX.admin_api.x",
        *NOBODYS_BUT_THE_REGISTRYS,
    ],
    Part.ADMIN: [
        *(f"{CMD}.{verb}" for verb in GATEWAY_VERBS),
        RECEIPT,
        GATEWAY_LEASE,
        f"$JS.API.DIRECT.GET.{STREAM}",
        "_INBOX.edge_gateway.x",
        *NOBODYS_BUT_THE_REGISTRYS,
    ],
    Part.OPERATOR: [*(f"{CMD}.{verb}" for verb in GATEWAY_VERBS), RECEIPT, GATEWAY_LEASE, *NOBODYS_BUT_THE_REGISTRYS],
    Part.REGISTRY: [
        *(f"{CMD}.{verb}" for verb in GATEWAY_VERBS),
        f"{PUB}.remove",
        RECEIPT,
        GATEWAY_LEASE,
        "_INBOX.edge_gateway.x",
        *JETSTREAM,
    ],
}
MAY_NOT_HEAR = {
    Part.GATEWAY: [">", "_INBOX.>", "_INBOX.admin_api.>", f"{CMD}.*", "stagedoor.v1.evt.>", RECEIPT, LEASE, "$SYS.>", "$JS.EVENT.>"],
    Part.ADMIN: [">", "_INBOX.>", "_INBOX.edge_gateway.>", f"{CMD}.*", "stagedoor.v1.evt.>", f"{PUB}.*", LEASE, "$SYS.>"],
    Part.OPERATOR: [">", f"{CMD}.*", "stagedoor.v1.evt.>", LEASE, "stagedoor.v1.qry._.answer", "$SYS.>"],
    Part.REGISTRY: [">", "_INBOX.>", "_INBOX.edge_gateway.>", "stagedoor.v1.evt.>", RECEIPT, "$SYS.>"],
}


@pytest.fixture
async def secured(tmp_path):
    server = SecuredNats(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()


class Denials:
    """What the server says that a client may not do. nats-py raises nothing for it, and has its words in lower case."""

    def __init__(self):
        self.subjects = set()

    async def note(self, error):
        found = re.search(r'permissions violation for (?:publish|subscription) to "([^"]+)"', str(error))
        if found:
            self.subjects.add(found[1])


async def settled(connection):
    """Wait until the server has taken, and judged, what was sent. nats-py's ping overtakes what waits to be sent: the second does not."""
    await connection.flush()
    await connection.flush()


@contextlib.asynccontextmanager
async def connected(server, role, **options):
    """A client with a role's key, and what it was denied."""
    denials = Denials()
    connection = await server.connect(role, error_cb=denials.note, **options)
    try:
        yield connection, denials
    finally:
        await connection.close()


@pytest.mark.parametrize("part", Part)
async def test_what_is_not_its_work_is_denied(secured, part):
    """Publishing, and hearing."""
    async with connected(secured, part) as (connection, denials):
        for subject in MAY_NOT_PUBLISH[part]:
            await connection.publish(subject, b"{}")
        await settled(connection)
        assert {subject.lower() for subject in MAY_NOT_PUBLISH[part]} - denials.subjects == set()
    async with connected(secured, part) as (connection, denials):
        for subject in MAY_NOT_HEAR[part]:
            await connection.subscribe(subject)
        await settled(connection)
        assert {subject.lower() for subject in MAY_NOT_HEAR[part]} - denials.subjects == set()


@pytest.mark.parametrize("part", Part)
async def test_what_the_contract_gives_it_is_allowed(secured, part):
    """Of every family of subjects one."""
    async with connected(secured, part) as (connection, denials):
        for subject in publications(part):
            await connection.publish(subject.replace("*", "1"), b"{}")
        for subject in subscriptions(part):
            await connection.subscribe(subject)
        await settled(connection)
    assert denials.subjects == set()


@pytest.fixture
async def registry(secured):
    settings = RegistrySettings(**secured.settings(Part.REGISTRY).model_dump(), port=0, partitions=2, isolation_margin=3600)
    async with running(build(settings)):
        yield


async def forge(connection, last_seq):
    """Have JetStream write: its acknowledgement of a receipt, and a receipt that it is asked to read, where the sender must not."""
    before = await last_seq()
    forged = "stagedoor.v1.evt.0.1.n1.remove"
    await connection.publish(RECEIPT, b"a forged event", reply=forged)
    await settled(connection)
    await connection.publish(f"$JS.API.DIRECT.GET.{RECEIPT_STREAM}", json.dumps({"last_by_subj": RECEIPT}).encode(), reply=forged)
    await connection.publish(f"$JS.API.STREAM.INFO.{STREAM}", b"", reply=forged)
    await settled(connection)
    # A request later, what JetStream had to say has been said.
    for _ in range(5):
        last = await last_seq()
    return last - before


async def test_jetstream_forges_nothing_for_a_gateway(secured, registry):
    """It answers where a request says: in another account there is nothing there."""
    async with connected(secured, Part.GATEWAY) as (gateway, _), connected(secured, Part.OPERATOR) as (operator, _):
        assert await forge(gateway, EventStream(operator).last_seq) == 0
        assert await forge(operator, EventStream(operator).last_seq) == 0


async def test_jetstream_forges_where_all_are_in_one_account(bus):
    """Why each part has one of its own: with this server an allow list is not enough. If this fails, think again about ADR 18."""
    await EventStream(bus).ensure(2)
    await Receipts(bus).ensure(1)
    assert await forge(bus, EventStream(bus).last_seq) > 0


async def refused(secured, **options):
    with pytest.raises((nats.errors.Error, OSError, TimeoutError)) as error:
        await secured.connect(Part.GATEWAY, allow_reconnect=False, connect_timeout=5, **options)
    return repr(error.value)


async def test_who_has_no_key_or_an_unknown_one_is_not_let_in(secured, tmp_path):
    """Nor who does not trust the server."""
    stranger = tmp_path / "stranger.nk"
    stranger.write_bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    assert "uthorization" in await refused(secured, nkeys_seed=str(stranger))
    assert "uthorization" in await refused(secured, nkeys_seed=None)
    assert "uthorization" in await refused(secured, nkeys_seed=None, user="edge_gateway", password="guess")
    assert "uthorization" in await refused(secured, nkeys_seed=None, token="guess")
    assert "CERTIFICATE_VERIFY_FAILED" in await refused(secured, tls=ssl.create_default_context())


async def test_without_tls_nobody_is_heard(secured):
    """The server hangs up without a word."""
    host, _, port = secured.url.rpartition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
            with contextlib.suppress(ConnectionError):
                said = await reader.read()
                assert b"INFO" not in said
                assert b"PONG" not in said
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def registry_process(told):
    """A registry as a process, ended with the block at the latest."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.room_registry"),
        env=os.environ | told | {"STAGEDOOR_PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_service_that_is_to_speak_tls_says_nothing_before(secured):
    """Somebody in between who says that there is no TLS hears the beginning of a TLS handshake, and nothing else."""
    said = asyncio.get_running_loop().create_future()

    async def in_between(reader, writer):
        writer.write(b'INFO {"server_id":"X","version":"2.12.0","max_payload":1048576,"nonce":"aaaa"}\r\n')
        data = await reader.read(1024)
        if not said.done():
            said.set_result(data)
        writer.close()

    async with await asyncio.start_server(in_between, "127.0.0.1", 0) as server:
        told = secured.environment(Part.REGISTRY) | {"STAGEDOOR_NATS_URL": f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
        async with registry_process(told), asyncio.timeout(60):
            data = await said
    assert data[:2] == b"\x16\x03"  # a handshake record, RFC 8446, section 5.1
    assert b"CONNECT" not in data


async def test_a_first_handshake_that_fails_is_not_the_last(secured):
    """The service comes back, which nats-py alone would not."""
    second = asyncio.Event()
    connections = []

    async def broken(reader, writer):
        connections.append(writer)
        writer.write(b"no TLS here\r\n")
        await reader.read(1024)
        writer.close()
        if len(connections) > 1:
            second.set()

    async with await asyncio.start_server(broken, "127.0.0.1", 0) as server:
        told = secured.environment(Part.REGISTRY) | {"STAGEDOOR_NATS_URL": f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
        async with registry_process(told), asyncio.timeout(90):
            await second.wait()


async def until_let_in(secured):
    """Connect as soon as the server has read its configuration anew."""
    while True:
        with contextlib.suppress(nats.errors.Error):
            return await secured.connect(Part.GATEWAY, allow_reconnect=False)
        await asyncio.sleep(0.02)


async def test_a_key_is_changed_while_everybody_stays_connected(secured):
    """Both count until the old one is retired; only who still has that is cut off."""
    old = secured.directory / "old.nk"
    old.write_bytes(secured.seed_file(Part.GATEWAY).read_bytes())
    async with connected(secured, Part.ADMIN) as (other, _):
        nats_keys.add(secured.directory, Part.GATEWAY)
        os.kill(secured.process.pid, signal.SIGHUP)
        async with asyncio.timeout(20):
            new = await until_let_in(secured)
            before = await secured.connect(Part.GATEWAY, nkeys_seed=str(old), allow_reconnect=False)
            nats_keys.retire(secured.directory, Part.GATEWAY)
            os.kill(secured.process.pid, signal.SIGHUP)
            while not before.is_closed:
                await asyncio.sleep(0.02)
        assert "uthorization" in await refused(secured, nkeys_seed=str(old))
        for connection in (new, other):
            await connection.flush()
        assert other.stats["reconnects"] == 0
        await new.close()


async def test_services_come_in_with_what_their_settings_name(secured):
    """The seed is read once, at the start."""
    broker = make_broker(secured.settings(Part.ADMIN), Part.ADMIN)
    await broker.connect()
    try:
        await connection_of(broker).flush()
        assert connection_of(broker).new_inbox().startswith("_INBOX.admin_api.")
    finally:
        await broker.stop()


async def test_who_is_shut_out_for_a_while_comes_in_again(secured):
    """A configuration that was wrong for a moment, say. A service goes on trying."""
    keys = (secured.directory / "keys.conf").read_text()
    broker = make_broker(secured.settings(Part.ADMIN), Part.ADMIN)
    await broker.connect()
    try:
        connection = connection_of(broker)
        nats_keys.add(secured.directory, Part.ADMIN)
        nats_keys.retire(secured.directory, Part.ADMIN)
        with capture_logs() as lines:
            os.kill(secured.process.pid, signal.SIGHUP)
            async with asyncio.timeout(20):
                # Once when it is cut off, and once when it is refused.
                while sum("uthorization" in str(line) for line in lines) < 2:
                    await asyncio.sleep(0.02)
        (secured.directory / "keys.conf").write_text(keys)
        os.kill(secured.process.pid, signal.SIGHUP)
        async with asyncio.timeout(20):
            while not connection.is_connected:
                await asyncio.sleep(0.02)
        await connection.flush()
    finally:
        await broker.stop()


async def test_a_service_whose_key_does_not_count_says_so_and_ends(secured):
    """Whoever starts it knows at once. Its key is not among what it says."""
    nats_keys.add(secured.directory, Part.REGISTRY)
    seed = secured.seed_file(Part.REGISTRY).read_bytes().strip()
    async with registry_process(secured.environment(Part.REGISTRY)) as process, asyncio.timeout(60):
        printed = await process.stdout.read()
        assert await process.wait() == 1, printed
    assert b"service_failed" in printed
    assert b"uthorization" in printed
    assert seed not in printed
