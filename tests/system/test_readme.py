"""What the README shows works as it stands there."""

import asyncio
import os
import re
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()


async def test_the_example_in_python_removes_ann(system):
    """With the vendor's SDK and nothing changed but the port."""
    program = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert "127.0.0.1:8081" in program
    program = program.replace("127.0.0.1:8081", f"127.0.0.1:{system.ports['admin_api']}")
    async with system.joined("ann") as ann:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            env=os.environ | system.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert (await ann.expect("ended"))["reason"] == "removed"
        await ann.acknowledge()
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    assert "RequestId" in printed.decode()


async def test_the_command_on_the_bus_removes_ann(system):
    """The subject and the body that the README gives to other services."""
    subject, body = re.search(r"the subject is `([^`]+)`, the body\s+`([^`]+)`", README).groups()
    connection = await system.connect()
    subject = subject.replace("<app>", "1400000001").replace("<room>", "n1")
    async with system.joined("ann") as ann:
        answer = await connection.request(subject, body.replace("...", "from-the-readme").encode(), timeout=5)
        assert b'"removed":[{"user":"ann"' in answer.data
        assert (await ann.expect("ended"))["reason"] == "removed"
    await connection.close()


def test_every_command_that_is_named_exists():
    """`make help` and the command line know them."""
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    for word in re.findall(r"^ +make (\w+)|`make (\w+)`", README, re.MULTILINE):
        assert re.search(rf"^{''.join(word)}:", makefile, re.MULTILINE), word
    main = (Path(__file__).parents[2] / "cli").glob("*.py")
    commands = {name for path in main for name in re.findall(r'add_parser\(\s*"(\w+)"', path.read_text())}
    assert set(re.findall(r"stagedoor (remove|dismiss|rooms|receipt|events|sig|up|\w+) --", README)) <= commands
