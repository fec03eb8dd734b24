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
        self.ready = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the running container listens; another port after each start."""
        return f"http://{HOST}:{self._port}"

    async def supervise(self) -> None:
        """Keep the container running until cancelled, then stop it."""
        pause_s = 0.5
        while True:
            was_ready = await self._run_once()
            # Only a container that never came up is started more and more slowly.
            pause_s = 0.5 if was_ready else min(2 * pause_s, MAX_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _run_once(self) -> bool:
        """Run the container until it ends; return whether it had been ready."""
        self._port = _free_port()
        address = {"CLEARTAKE_SERVE_HOST": HOST, "CLEARTAKE_SERVE_PORT": str(self._port)}
        env = {**os.environ, **self._environment, **address}
        env.setdefault("CLEARTAKE_MAX_CONCURRENT", str(self._concurrency))
        process = await asyncio.create_subprocess_exec(*self._command, env=env)
        pinging = asyncio.create_task(self._ping_until_ready())
        try:
            status = await process.wait()
            _LOG.error("the container ended with status %d, starting it again", status)
            return self.ready.is_set()
        finally:
            pinging.cancel()
            self.ready.clear()
            await _stop(process)

    async def _ping_until_ready(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while not self.ready.is_set():
                try:
                    answer = await client.get(f"{self.url}/ping")
                except httpx.TransportError:
                    answer = None
                if answer is not None and answer.status_code == 200:
                    _LOG.info("the container is ready on port %d", self._port)
                    self.ready.set()
                    return
                await asyncio.sleep(PING_S)


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
