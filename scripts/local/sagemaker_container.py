"""The container's own ``serve`` process: started on a free port, watched, started again when it dies."""

import asyncio
import logging
import os
import socket
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from typing import Final

import httpx

_LOG = logging.getLogger("sagemaker_sim")

HOST: Final = "127.0.0.1"
PING_S: Final = 0.2
STOP_S: Final = 30.0
"""SageMaker, too, kills a container 30 s after SIGTERM."""
MAX_PAUSE_S: Final = 30.0


class Container:
    """One child process and whether it takes invocations."""

    def __init__(self, command: Sequence[str], *, concurrency: int, environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._concurrency = concurrency
        self._port = 0
        self._was_ready = False
        self.ready = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the running container listens; another port after each start."""
        return f"http://{HOST}:{self._port}"

    def hung_up(self, url: str) -> None:
        """Take in nothing until the container answers again: its callers see before `supervise` that it has died.

        ``url`` is what was called; what another life of the container did says nothing about this one.
        """
        if url == self.url:
            self.ready.clear()

    async def supervise(self) -> None:
        """Keep the container running until cancelled, then stop it."""
        pause_s = 0.5
        while True:
            await self._run_once()
            # Only a container that never came up is started more and more slowly.
            pause_s = 0.5 if self._was_ready else min(2 * pause_s, MAX_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _run_once(self) -> None:
        """Run the container until it ends."""
        self._port = _free_port()
        self._was_ready = False
        address = {"CLEARTAKE_SERVE_HOST": HOST, "CLEARTAKE_SERVE_PORT": str(self._port)}
        env = {**os.environ, **self._environment, **address}
        env.setdefault("CLEARTAKE_MAX_CONCURRENT", str(self._concurrency))
        process = await asyncio.create_subprocess_exec(*self._command, env=env)
        pinging = asyncio.create_task(self._ping())
        try:
            status = await process.wait()
            _LOG.error("the container ended with status %d, starting it again", status)
        finally:
            pinging.cancel()
            self.ready.clear()
            await _stop(process)

    async def _ping(self) -> None:
        """Ask until there is an answer, and again whenever a caller got none."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while True:
                if not self.ready.is_set() and await self._answers(client):
                    _LOG.info("the container is ready on port %d", self._port)
                    self.ready.set()
                    self._was_ready = True
                await asyncio.sleep(PING_S)

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"{self.url}/ping")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
