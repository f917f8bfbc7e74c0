"""Both engines, for the rules that send packets."""

from tests.support.media import give_client, give_mux  # noqa: F401 - fixtures
