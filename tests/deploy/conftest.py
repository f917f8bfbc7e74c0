import pytest

from tests.support.chart import complete


@pytest.fixture(scope="session")
def chart(tmp_path_factory):
    """The chart with its dependency where Helm looks for it."""
    return complete(tmp_path_factory.mktemp("chart"))
