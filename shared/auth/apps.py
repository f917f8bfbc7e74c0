"""The apps that are served, and their secrets, which no representation shows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shared.contracts.errors import ConfigurationError


@dataclass(frozen=True)
class App:
    """One sdkAppId: the keys of its UserSigs and resume tokens, and the credentials that may call its server API."""

    sdk_app_id: int
    secret_key: str = field(repr=False)
    """Signs, and verifies."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """SecretId to SecretKey."""
    accepted_keys: tuple[str, ...] = field(default=(), repr=False)
    """Verify, too: the key of before a rotation, or the one of after it."""

    @property
    def verifying_keys(self) -> tuple[str, ...]:
        """All keys that count, the signing one first."""
        return (self.secret_key, *self.accepted_keys)

    def __post_init__(self) -> None:
        """Keep a copy of the credentials that nobody can change."""
        object.__setattr__(self, "credentials", MappingProxyType(dict(self.credentials)))


class Apps:
    """All apps, found by sdkAppId and by SecretId. There may be others in their place from one moment to the next.

    Raises:
        ConfigurationError: two apps share an sdkAppId or a SecretId.
    """

    def __init__(self, apps: Iterable[App]) -> None:
        self._by_id: Mapping[int, App] = {}
        self._by_secret_id: Mapping[str, App] = {}
        self.replace(apps)

    def replace(self, apps: Iterable[App]) -> None:
        """Have other apps from now on, all at once.

        Raises:
            ConfigurationError: two of them share an sdkAppId or a SecretId; nothing has changed.
        """
        by_id: dict[int, App] = {}
        by_secret_id: dict[str, App] = {}
        for app in apps:
            if app.sdk_app_id in by_id:
                raise ConfigurationError(f"sdkAppId {app.sdk_app_id} is configured twice")
            by_id[app.sdk_app_id] = app
            for secret_id in app.credentials:
                if secret_id in by_secret_id:
                    raise ConfigurationError(f"SecretId {secret_id} is configured twice")
                by_secret_id[secret_id] = app
        self._by_id, self._by_secret_id = by_id, by_secret_id

    def app(self, sdk_app_id: int) -> App | None:
        """Find an app by its id."""
        return self._by_id.get(sdk_app_id)

    def callers(self) -> Iterator[App]:
        """Go through the apps that may call the server API."""
        return (app for app in self._by_id.values() if app.credentials)

    def credential(self, secret_id: str) -> tuple[App, str] | None:
        """Find the app that a SecretId belongs to, and its SecretKey."""
        app = self._by_secret_id.get(secret_id)
        return None if app is None else (app, app.credentials[secret_id])
