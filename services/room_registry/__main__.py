"""Run a registry: ``python -m services.room_registry``."""

from services.room_registry.app import build
from services.room_registry.settings import RegistrySettings
from shared.service import main

if __name__ == "__main__":
    main("room_registry", RegistrySettings, build)
