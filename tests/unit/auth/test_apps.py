import pytest

from shared.auth.apps import App, Apps
from shared.auth.settings import AppSettings, CredentialSettings
from shared.contracts.errors import ConfigurationError
from shared.settings import Settings


class _GatewayLike(AppSettings, Settings):
    port: int = 0


class _AdminLike(CredentialSettings, Settings):
    port: int = 0


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("STAGEDOOR_SDK_APP_ID", "1400000000")
    monkeypatch.setenv("STAGEDOOR_SECRET_KEY", "sig-key")
    monkeypatch.setenv("STAGEDOOR_SECRET_ID", "AKID1")
    monkeypatch.setenv("STAGEDOOR_API_SECRET_KEY", "api-key")
    return monkeypatch


def test_an_app_is_found_by_its_id_and_a_credential_by_its_secret_id():
    one, two = App(1, "k1", {"A": "ka", "B": "kb"}), App(2, "k2", {"C": "kc"})
    apps = Apps([one, two])
    assert apps.app(1) is one
    assert apps.app(3) is None
    assert apps.credential("B") == (one, "kb")
    assert apps.credential("C") == (two, "kc")
    assert apps.credential("D") is None


def test_no_representation_shows_a_secret(environment):
    settings = _AdminLike.load()
    app = settings.apps().app(1400000000)
    assert app.secret_key == "sig-key"
    for shown in (repr(app), str(app), repr(settings), str(settings), repr(settings.apps())):
        assert "sig-key" not in shown
        assert "api-key" not in shown


def test_an_app_cannot_be_changed_through_what_it_was_made_of():
    credentials = {"A": "ka"}
    app = App(1, "k", credentials)
    credentials["B"] = "kb"
    assert dict(app.credentials) == {"A": "ka"}
    with pytest.raises(TypeError):
        app.credentials["B"] = "kb"


@pytest.mark.parametrize("second", [App(1, "other"), App(2, "other", {"A": "x"})])
def test_what_names_an_app_names_one(second):
    with pytest.raises(ConfigurationError, match="twice"):
        Apps([App(1, "k", {"A": "ka"}), second])


def test_apps_are_replaced_all_at_once_or_not_at_all():
    """Who holds them has the new ones; of a bad list none is taken."""
    apps = Apps([App(1, "k1", {"A": "ka"})])
    apps.replace([App(2, "k2", {"B": "kb"})])
    assert (apps.app(1), apps.credential("A")) == (None, None)
    with pytest.raises(ConfigurationError, match="twice"):
        apps.replace([App(3, "k3"), App(4, "k4", {"C": "x"}), App(3, "k5")])
    assert apps.app(2).secret_key == "k2"
    assert apps.app(3) is None


def test_the_gateway_needs_no_credential_of_the_server_api(environment):
    environment.delenv("STAGEDOOR_SECRET_ID")
    environment.delenv("STAGEDOOR_API_SECRET_KEY")
    apps = _GatewayLike.load().apps()
    assert apps.app(1400000000).secret_key == "sig-key"
    assert apps.credential("AKID1") is None


def test_the_server_api_needs_all_four(environment):
    assert _AdminLike.load().apps().credential("AKID1")[1] == "api-key"
    environment.delenv("STAGEDOOR_API_SECRET_KEY")
    with pytest.raises(ConfigurationError, match="STAGEDOOR_API_SECRET_KEY"):
        _AdminLike.load()


@pytest.mark.parametrize("value", ["0", "4294967296", "x", "-1"])
def test_an_impossible_app_id_is_refused_at_the_start(environment, value):
    environment.setenv("STAGEDOOR_SDK_APP_ID", value)
    with pytest.raises(ConfigurationError, match="STAGEDOOR_SDK_APP_ID"):
        _GatewayLike.load()
