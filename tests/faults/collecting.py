"""Reading the streams from the beginning to a file, for the checker."""

import json

from nats.js.errors import NotFoundError

from shared.contracts.ids import room_token

STREAMS = {"STAGEDOOR_EVT_V1": "stream.jsonl", "STAGEDOOR_RCPT_V1": "receipts.jsonl"}
_BATCH = 256


async def collect(connection, directory):
    """Write the streams down."""
    for stream, name in STREAMS.items():
        with (directory / name).open("w") as file:
            async for message in _messages(connection, stream):
                file.write(json.dumps(message, ensure_ascii=False) + "\n")


async def everybody_has_gone(connection):
    """Say whether every session of the stream has ended."""
    present = {}
    async for message in _messages(connection, "STAGEDOOR_EVT_V1"):
        room = ".".join(message["subject"].split(".")[4:6])
        for fact in message["body"].get("facts", []):
            if fact["kind"] == "joined":
                present.setdefault(room, set()).add(fact["session"])
            elif fact["kind"] == "left":
                present[room] -= {end["session"] for end in fact["sessions"]}
            elif fact["kind"] == "dissolved":
                present[room].clear()
    return not any(present.values())


async def _messages(connection, stream):
    js = connection.jetstream(timeout=10)
    try:
        state = (await js.stream_info(stream)).state
    except NotFoundError:
        return
    for seq in range(max(1, state.first_seq), state.last_seq + 1):
        try:
            message = await js.get_msg(stream, seq)
        except NotFoundError:
            continue
        for number, (subject, body) in enumerate(_parts(message.subject, json.loads(message.data))):
            yield {"seq": seq + number / 1000, "at": message.time.timestamp(), "subject": subject, "body": body}


def _parts(subject, body):
    """Take a group of commands apart: each as if it had come alone, at a place of its own after the group's sequence."""
    if not subject.endswith(".group"):
        yield subject, body
        return
    before = subject.removesuffix("._._.group")
    for part in body["events"]:
        event = part["event"]
        place = "_._" if "room" not in event else f"{event['app']}.{room_token(event['room'])}"
        yield f"{before}.{place}.{part['verb']}", event
