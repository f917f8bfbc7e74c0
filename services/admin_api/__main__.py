"""Run the server API: ``python -m services.admin_api``."""

from services.admin_api.app import build
from services.admin_api.settings import AdminSettings
from shared.service import main

if __name__ == "__main__":
    main("admin_api", AdminSettings, build)
