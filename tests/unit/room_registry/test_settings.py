"""What a registry is told."""

import pytest

from services.room_registry.settings import RegistrySettings
from services.room_registry.watch import Graces
from shared.contracts.errors import ConfigurationError


@pytest.mark.parametrize(("told", "isolation"), [("never", None), ("12.5", 12.5)])
def test_the_graces_are_the_gateways(monkeypatch, told, isolation):
    """One environment serves both."""
    monkeypatch.setenv("STAGEDOOR_ISOLATION_GRACE", told)
    monkeypatch.setenv("STAGEDOOR_RECONNECT_GRACE", "7")
    assert RegistrySettings.load().graces() == Graces(isolation, 7.0)


@pytest.mark.parametrize("told", ["0", "-1", "soon"])
def test_a_grace_that_is_none_is_refused(monkeypatch, told):
    """With a line that names it."""
    monkeypatch.setenv("STAGEDOOR_ISOLATION_GRACE", told)
    with pytest.raises(ConfigurationError, match="STAGEDOOR_ISOLATION_GRACE"):
        RegistrySettings.load()
