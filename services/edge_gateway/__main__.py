"""Run a gateway: ``python -m services.edge_gateway``."""

from services.edge_gateway.app import build
from services.edge_gateway.settings import GatewaySettings
from shared.service import main

if __name__ == "__main__":
    main("edge_gateway", GatewaySettings, build)
