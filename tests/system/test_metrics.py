"""What three running services say to Prometheus: of a join, a kick and its end, and nothing about whom."""

import asyncio
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.ports import free_port


@pytest.fixture
def environment():
    """Every service with a port for its metrics."""
    return {name: {"STAGEDOOR_METRICS_PORT": str(free_port())} for name in ("room_registry", "admin_api", "edge_gateway")}


async def scraped(system, name):
    """Read a service's metrics, by sample and labels."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{system.extra[name]['STAGEDOOR_METRICS_PORT']}/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples}


async def test_a_kick_is_seen_at_every_service(system):
    """Counted where it is asked, decided and told; who and where is in no label."""
    async with system.joined("a-person", "a-private-room") as ann, system.joined("bob", 2):
        gateway = await scraped(system, "edge_gateway")
        assert gateway["stagedoor_gateway_sessions",] == 2
        assert gateway["stagedoor_gateway_rooms",] == 2
        assert gateway["stagedoor_ready",] == gateway["stagedoor_nats_connected",] == 1
        asking = asyncio.create_task(system.call("RemoveUserByStrRoomId", RoomId="a-private-room", UserIds=["a-person"]))
        await ann.expect("ended")
        await ann.acknowledge()
        assert await ann.closed() == 1000
        await asking
        registry, admin, gateway = [await scraped(system, name) for name in ("room_registry", "admin_api", "edge_gateway")]
    assert sum(value for name, value in registry.items() if name[0] == "stagedoor_sessions") == 1
    assert sum(value for name, value in registry.items() if name[0] == "stagedoor_partition_owned") == 8
    assert registry["stagedoor_commands_total", "done", "remove"] == 1
    assert registry["stagedoor_sessions_joined_total", "anchor"] == 2
    assert registry["stagedoor_sessions_ended_total", "removed"] == 1
    assert registry["stagedoor_commit_duration_seconds_count",] >= 3
    assert registry["stagedoor_stream_lag_messages",] == 0
    assert registry["stagedoor_stream_bytes",] > 0
    assert admin["stagedoor_admin_requests_total", "RemoveUserByStrRoomId", "ok"] == 1
    assert admin["stagedoor_receipts_answered_total", "confirmed"] == 1
    assert admin["stagedoor_kick_confirmed_duration_seconds_count", "RemoveUserByStrRoomId"] == 1
    assert gateway["stagedoor_arrivals_total", "admitted", "join"] == 2
    assert gateway["stagedoor_arrival_duration_seconds_count", "join"] == 2
    assert gateway["stagedoor_departures_total", "removed"] == 1
    assert gateway["stagedoor_notice_duration_seconds_count", "removed"] == 1
    assert gateway["stagedoor_told_duration_seconds_count", "removed"] == 1
    assert gateway["stagedoor_receipt_writes_total", "written"] >= 1
    assert gateway["stagedoor_receipts_waiting",] == 0
    assert gateway["stagedoor_gateway_lease_age_seconds",] < 60
    for metrics in (registry, admin, gateway):
        assert not [name for name in metrics if re.search("a-person|a-private-room", str(name))]


async def test_metrics_are_not_where_strangers_come(system):
    """The public ports do not know them, and the metrics' port knows nothing else."""
    async with httpx.AsyncClient() as client:
        for name, port in system.ports.items():
            assert "stagedoor_build_info" not in (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            metrics = f"http://127.0.0.1:{system.extra[name]['STAGEDOOR_METRICS_PORT']}"
            assert (await client.get(f"{metrics}/readyz")).status_code == 404


async def test_refusals_are_counted_without_the_callers_words(system):
    """An action that does not exist is one label, whatever it is called; a wrong signature is one code."""
    async with httpx.AsyncClient() as client:
        for action in ("Nonsense", "MoreNonsense"):
            await client.post(f"http://127.0.0.1:{system.ports['admin_api']}/", headers={"x-tc-action": action}, content=b"{}")
    admin = await scraped(system, "admin_api")
    assert sum(value for name, value in admin.items() if name[0] == "stagedoor_admin_requests_total" and "other" in name) == 2
    assert not [name for name in admin if "onsense" in str(name)]
