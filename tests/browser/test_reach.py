"""Networks that let little through: media finds a way all the same. One Stagedoor for all, with both IP versions and a coturn."""

import asyncio
import contextlib
import time

import pytest
import pytest_asyncio

from shared.auth import turn
from tests.browser.conftest import Visits
from tests.browser.in_namespace import ADDRESS, ADDRESS_6, TURN_ADDRESS, TURN_ADDRESS_6, ip
from tests.browser.stagedoor import Stagedoor
from tests.browser.waiting import until
from tests.support.coturn import coturn

HOST = "host"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def turn_server(tmp_path_factory):
    """Coturn at an address of its own, that relays to the gateway."""
    async with coturn(tmp_path_factory.mktemp("coturn"), TURN_ADDRESS, ADDRESS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory, turn_server):
    """Everything, with a gateway that listens to both IP versions and names the TURN server."""
    settings = {
        "MEDIA_HOST": f"{ADDRESS},{ADDRESS_6}",
        "MEDIA_ADVERTISE": f"auto,{ADDRESS_6}",
        "MEDIA_STUN_SERVER": f"{TURN_ADDRESS}:{turn_server.port}",
        "TURN_URLS": f"{turn_server.url}?transport=udp,{turn_server.url}?transport=tcp",
        "TURN_SECRET": turn_server.secret,
    }
    it = Stagedoor(tmp_path_factory.mktemp("reach"), **settings)
    await it.start()
    yield it
    await it.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def visits(gateway, browser):
    """Open pages; they are closed when the test has ended."""
    async with contextlib.AsyncExitStack() as stack:
        it = Visits(gateway, browser)
        stack.push_async_callback(it.end)
        yield it


@pytest.fixture
def firewall(gateway):
    """Forbid the browser some of what it would send: (ip version, protocol, port); what coturn sends passes."""
    media = gateway.ports["MEDIA"]
    with contextlib.ExitStack() as stack:

        def rule(words):
            version, rest = words.split(" ", 1)
            ip(f"{version} rule add {rest}")
            stack.callback(ip, f"{version} rule del {rest}")

        def forbid(version, protocol, port=media):
            rule(f"-{version} pref 5 ipproto {protocol} dport {port} prohibit")

        rule(f"-4 pref 4 from {TURN_ADDRESS} lookup local")
        yield forbid


async def see_each_other(visits, room, relay=None, **proxy):
    """Let two publish and see each other; return how media went: {(local candidate, protocol, the gateway's address)}."""
    people = [await visits.application(user, room, proxy=proxy, relay=relay) for user in ("ann", "bob")]
    ann, bob = people
    await asyncio.gather(ann.publish(), bob.publish())
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))

    async def all_ways():
        # A pair whose check is under way is not shown as one that works.
        ways = await ways_of(people)
        return set(ways) if len(ways) == 4 else None

    return await until(all_ways)


async def ways_of(people):
    """Say how media goes over each connection that is up: [(local candidate, protocol, the gateway's address)]."""
    return [tuple(way.values()) for person in people for way in await person.page.evaluate("() => watch.ways()")]


async def test_udp_where_everything_is_open(visits, room):
    """Over IPv4 or IPv6, as the browser likes; never over TCP."""
    ways = await see_each_other(visits, room)
    assert {way[:2] for way in ways} == {(HOST, "udp")}


async def test_ipv6_alone(visits, room, firewall):
    """Nothing passes over IPv4."""
    firewall(4, "udp")
    firewall(4, "tcp")
    assert await see_each_other(visits, room) == {(HOST, "udp", ADDRESS_6)}


async def test_ipv4_alone(visits, room, firewall):
    """Nothing passes over IPv6; the address is the one that STUN has told."""
    firewall(6, "udp")
    firewall(6, "tcp")
    assert await see_each_other(visits, room) == {(HOST, "udp", ADDRESS)}


async def test_tcp_where_udp_is_blocked(visits, room, firewall, turn_server):
    """To the gateway's own port, and no relay is within reach."""
    firewall(4, "udp")
    firewall(6, "udp")
    for protocol in ("udp", "tcp"):
        firewall(4, protocol, turn_server.port)
    ways = await see_each_other(visits, room)
    # The browser knows its port only when it is connected: then the candidate is another one (RFC 6544, 7.2).
    assert {way[:2] for way in ways} <= {(HOST, "tcp"), ("prflx", "tcp")}


async def test_through_the_relay_alone(visits, room):
    """Because the application wants it so."""
    ways = await see_each_other(visits, room, iceTransportPolicy="relay")
    assert ways <= {("relay over udp", "udp", ADDRESS), ("relay over tcp", "udp", ADDRESS)}


async def test_through_a_relay_over_ipv6(visits, room, tmp_path):
    """One of the application's own, that browsers reach over IPv6 alone; it goes on to the gateway over IPv4."""
    async with coturn(tmp_path, TURN_ADDRESS_6, ADDRESS, relay=TURN_ADDRESS) as server:
        username, credential = turn.make(server.secret, "ann", int(time.time()) + 300)
        relay = {"url": f"{server.url}?transport=udp", "username": username, "credential": credential}
        ways = await see_each_other(visits, room, relay=relay, iceTransportPolicy="relay")
    assert ways == {("relay over udp", "udp", ADDRESS)}


async def test_over_tcp_to_the_relay_where_nothing_else_passes(visits, room, firewall, turn_server):
    """No way to the gateway, and no UDP: the browser finds the relay by itself."""
    for protocol in ("udp", "tcp"):
        firewall(4, protocol)
        firewall(6, protocol)
    firewall(4, "udp", turn_server.port)
    assert await see_each_other(visits, room) == {("relay over tcp", "udp", ADDRESS)}


async def test_udp_is_blocked_in_mid_call(visits, room, firewall, turn_server):
    """The call goes on over TCP: same peer connections, and nobody hears of anything."""
    people = ann, bob = [await visits.application(user, room, publishes=True) for user in ("ann", "bob")]
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))
    before = [await each.heard() for each in people]
    firewall(4, "udp")
    firewall(6, "udp")
    for protocol in ("udp", "tcp"):
        firewall(4, protocol, turn_server.port)

    async def go_over_tcp():
        ways = await ways_of(people)
        return [way[1] for way in ways] == ["tcp"] * 4

    await until(go_over_tcp, 60)
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))
    assert [len(await each.connections()) for each in people] == [2, 2]
    assert [await each.heard() for each in people] == before
