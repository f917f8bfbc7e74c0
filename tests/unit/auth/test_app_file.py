"""The file of apps: what is in it counts a moment later, and a bad one changes nothing and shows nothing."""

import json

import pytest
from structlog.testing import capture_logs

from shared.auth.app_file import MAX_BYTES, AppsFile, read_apps
from shared.auth.apps import Apps
from shared.auth.settings import AppSettings, CredentialSettings
from shared.contracts.errors import ConfigurationError

ONE = {"sdk_app_id": 1, "secret_key": "sig-1", "accepted_keys": ["sig-0"], "credentials": {"AKID1": "api-1", "AKID0": "api-0"}}
TWO = {"sdk_app_id": 2, "secret_key": "sig-2"}


def text(*apps):
    return json.dumps({"apps": apps})


class Mount:
    """A directory as Kubernetes mounts a secret: the file is a link into a version, and the version is a link that is swapped."""

    def __init__(self, directory):
        self._directory = directory
        self._version = 0
        self.path = directory / "apps.json"
        self.path.symlink_to("..data/apps.json")

    def swap(self, content):
        self._version += 1
        version = self._directory / f"..version-{self._version}"
        version.mkdir()
        if content is not None:
            (version / "apps.json").write_text(content)
        link = self._directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._directory / "..data")


@pytest.fixture
def mount(tmp_path):
    mounted = Mount(tmp_path)
    mounted.swap(text(ONE))
    return mounted


def test_a_file_describes_any_number_of_apps(mount):
    mount.swap(text(ONE, TWO))
    apps = read_apps(mount.path)
    assert apps.app(1).verifying_keys == ("sig-1", "sig-0")
    assert apps.credential("AKID0") == (apps.app(1), "api-0")
    assert apps.app(2).verifying_keys == ("sig-2",)


BAD = [
    None,
    "",
    "{",
    "[]",
    text(),
    text({"sdk_app_id": 1}),
    text({"sdk_app_id": "1", "secret_key": "hush"}),
    text({"sdk_app_id": 0, "secret_key": "hush"}),
    text({"sdk_app_id": 1, "secret_key": ""}),
    text({"sdk_app_id": 1, "secret_key": "hush", "secretkey": "hush"}),
    text({"sdk_app_id": 1, "secret_key": "hush", "credentials": {"a b": "hush"}}),
    text({"sdk_app_id": 1, "secret_key": "hush", "credentials": ["hush"]}),
    text(TWO, TWO),
    text(ONE, {"sdk_app_id": 3, "secret_key": "hush", "credentials": {"AKID1": "hush"}}),
    " " * MAX_BYTES + text(ONE),
]


@pytest.mark.parametrize("content", BAD)
async def test_a_bad_file_changes_nothing_and_the_log_says_so_once(mount, content):
    """Nor does the text show any of its secrets. The next good one counts."""
    apps = read_apps(mount.path)
    file = AppsFile(mount.path, apps, seconds=1)
    mount.swap(content)
    with pytest.raises(ConfigurationError) as refused:
        read_apps(mount.path)
    assert "hush" not in str(refused.value)
    with capture_logs() as lines:
        await file._look()
        await file._look()
    assert [line["event"] for line in lines] == ["apps_file_refused"]
    assert "hush" not in str(lines)
    assert apps.app(1).secret_key == "sig-1"
    mount.swap(text(TWO))
    await file._look()
    assert (apps.app(1), apps.app(2).secret_key) == (None, "sig-2")


@pytest.mark.parametrize("variable", ["STAGEDOOR_SECRET_KEY", "STAGEDOOR_SDK_APP_ID"])
def test_apps_are_described_by_the_file_or_by_variables_and_not_by_both(mount, monkeypatch, variable):
    monkeypatch.setenv("STAGEDOOR_APPS_FILE", str(mount.path))
    assert CredentialSettings.load().apps().credential("AKID1") is not None
    monkeypatch.setenv(variable, "7")
    with pytest.raises(ConfigurationError, match=f"^STAGEDOOR_APPS_FILE and {variable}: "):
        AppSettings.load()


async def test_without_a_file_nothing_is_looked_at():
    settings = AppSettings(sdk_app_id=1, secret_key="sig-1")
    apps = settings.apps()
    await settings.keep(apps)
    assert isinstance(apps, Apps)
