"""The demo page and its signer: on one machine only, for its own page only."""

import asyncio
import time

import httpx
import pytest

from services.edge_gateway.app import build
from shared.auth.usersig import verify
from shared.contracts.errors import ConfigurationError
from tests.edge_gateway.conftest import APP, SECRET, gateway_running


@pytest.fixture
async def demo(gateway_settings, registry, tmp_path):
    (tmp_path / "trtc.js").write_text("// the SDK")
    settings = gateway_settings.model_copy(update={"demo": True, "sdk_dir": tmp_path})
    async with gateway_running(settings) as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        http.own = {"origin": gateway.url, "content-type": "application/json"}
        http.settings = settings
        yield http


async def test_the_page_gets_a_usersig_that_is_good_for_ten_minutes(demo):
    """For the user that it names."""
    answer = await demo.post("/dev/usersig", json={"user": "用户2 😀"}, headers=demo.own)
    signed = answer.json()
    assert (answer.status_code, signed["app"], signed["user"]) == (200, APP, "用户2 😀")
    apps = demo.settings.apps()
    verify(signed["sig"], "用户2 😀", APP, apps, time.time())
    with pytest.raises(Exception, match="expired"):
        verify(signed["sig"], "用户2 😀", APP, apps, time.time() + 601)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": ""}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:80", "origin": "http://evil.example:80"}, 421),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_other_pages_get_nothing(demo, headers, status):
    """Neither across origins, nor by rebinding a name, nor by a form."""
    answer = await demo.post("/dev/usersig", content='{"user": "ann"}', headers=demo.own | headers)
    assert answer.status_code == status
    assert "sig" not in answer.json()


@pytest.mark.parametrize("body", ["", "{", "[]", '{"user": ""}', '{"user": 5}', '{"user": "a", "app": 1}', '{"user": "a\\nb"}'])
async def test_malformed_wishes_are_refused(demo, body):
    """With a text."""
    answer = await demo.post("/dev/usersig", content=body, headers=demo.own)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


async def test_a_huge_wish_is_refused(demo):
    """Unread beyond its bound."""
    assert (await demo.post("/dev/usersig", content="x" * 10_000, headers=demo.own)).status_code == 413


async def test_wishes_are_rate_limited(demo):
    """A page has no reason for hundreds."""
    answers = await asyncio.gather(*(demo.post("/dev/usersig", json={"user": "ann"}, headers=demo.own) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200, 429}


async def test_nothing_that_is_served_has_the_secret_in_it(demo):
    """Page, scripts, SDK, health and errors."""
    service_paths = ["/", "/index.html", "/page.js", "/page.css", "/sdk/trtc.js", "/livez", "/readyz", "/nothing", "/v1/signal"]
    for path in service_paths:
        answer = await demo.get(path)
        assert SECRET not in answer.text + str(answer.headers), path


async def test_the_page_runs_under_a_strict_policy_and_no_other_origin_may_read_it(demo):
    """The SDK is for everybody; the page and the signer are not."""
    page = await demo.get("/")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "access-control-allow-origin" not in page.headers
    assert (await demo.get("/sdk/trtc.js")).headers["access-control-allow-origin"] == "*"
    signed = await demo.post("/dev/usersig", json={"user": "ann"}, headers=demo.own)
    assert "access-control-allow-origin" not in signed.headers


async def test_without_demo_mode_there_is_neither_page_nor_signer(gateway):
    """It is never a default."""
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        assert (await http.get("/")).status_code == 404
        assert (await http.post("/dev/usersig", json={"user": "ann"})).status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])  # noqa: S104 -- that is the point
def test_demo_mode_is_refused_where_others_can_reach_it(gateway_settings, host):
    """The process does not even start."""
    with pytest.raises(ConfigurationError, match="loopback"):
        build(gateway_settings.model_copy(update={"demo": True, "host": host}))
