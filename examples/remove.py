"""Make ann leave room 1: a command onto the bus, with an operator's key. Needs nats-py and nkeys."""

import asyncio
import json
import os
import ssl
import uuid

import nats


async def main() -> None:
    """Ask, and print the answer."""
    tls = ssl.create_default_context(cafile=os.environ["STAGEDOOR_NATS_CA_FILE"])
    seed_file = os.environ["STAGEDOOR_NATS_NKEY_FILE"]
    bus = await nats.connect(os.environ["STAGEDOOR_NATS_URL"], nkeys_seed=seed_file, tls=tls, tls_handshake_first=True)
    command = {"id": uuid.uuid4().hex, "app": 1400000001, "room": 1, "users": ["ann"]}
    answer = await bus.request("stagedoor.v1.cmd._.1400000001.n1.remove", json.dumps(command).encode(), timeout=5)
    print(answer.data.decode())
    await bus.close()


asyncio.run(main())
