"""A look-alike of one SageMaker asynchronous endpoint, for the cloud on this machine.

It answers the real ``InvokeEndpointAsync`` call, runs the container's own ``serve`` command, and ends each invocation
the way SageMaker does: the answer in S3, then a message to the success or the error topic. It speaks to 127.0.0.1
only and checks no signatures. What it leaves out: inline bodies, KMS, scaling and several instances.

The protocol's shapes are in ``sagemaker_protocol``, the queue's files in ``sagemaker_spool``, the container in
``sagemaker_container``; this file is the endpoint's behaviour and its command line.
"""

import argparse
import asyncio
import contextlib
import logging
import shlex
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
import httpx
import uvicorn
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scripts.local.sagemaker_container import Container
from scripts.local.sagemaker_protocol import (
    HEADER,
    Answer,
    Invocation,
    InvocationRequest,
    RequestError,
    container_headers,
    notification,
    now_text,
    split_s3_uri,
)
from scripts.local.sagemaker_spool import Spool

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient

_LOG = logging.getLogger("sagemaker_sim")

DEFAULT_COMMAND: Final = (sys.executable, "-m", "gpu_container.serving", "serve")
MAX_PUBLISH_PAUSE_S: Final = 30.0


@dataclass(frozen=True)
class Endpoint:
    """The endpoint's configuration: what EndpointConfig holds in AWS.

    Attributes
    ----------
    output_prefix, failure_prefix
        S3 URIs under which answers are filed.
    concurrency
        MaxConcurrentInvocationsPerInstance.
    include_response
        Whether messages carry the container's answer (IncludeInferenceResponseIn, both topics).
    environment
        What the model's container definition sets.
    """

    name: str
    output_prefix: str
    failure_prefix: str
    success_topic: str
    error_topic: str
    state_dir: Path
    concurrency: int = 1
    timeout_s: int = 3600
    include_response: bool = False
    command: tuple[str, ...] = DEFAULT_COMMAND
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def region(self) -> str:
        """The topics' region, which stands for the endpoint's."""
        return self.success_topic.split(":")[3]


class Simulator:
    """Takes invocations in, works through them in order of arrival, and tells how they ended."""

    def __init__(self, endpoint: Endpoint, s3: "S3Client", sns: "SNSClient") -> None:
        self._endpoint = endpoint
        self._s3 = s3
        self._sns = sns
        self._spool = Spool(endpoint.state_dir)
        self._queue: asyncio.Queue[Invocation] = asyncio.Queue()
        self._container = Container(
            endpoint.command, concurrency=endpoint.concurrency, environment=endpoint.environment
        )
        self._http = httpx.AsyncClient(trust_env=False)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Run the container and the consumers while the server runs."""
        for invocation in self._spool.pending():
            self._queue.put_nowait(invocation)
        consumers = [asyncio.create_task(self._consume()) for _ in range(self._endpoint.concurrency)]
        supervisor = asyncio.create_task(self._container.supervise())
        yield
        # Consumers first: what the dying container answers must not end an invocation that the next start will redo.
        for task in (*consumers, supervisor):
            task.cancel()
        await asyncio.gather(*consumers, supervisor, return_exceptions=True)
        await self._http.aclose()

    async def health(self, _: Request) -> Response:
        """Say whether the container is ready for invocations."""
        ready = self._container.ready.is_set()
        return JSONResponse({"ready": ready, "waiting": self._queue.qsize()}, 200 if ready else 503)

    async def invoke(self, request: Request) -> Response:
        """Answer InvokeEndpointAsync: the invocation is on disk before the client hears 202."""
        name = request.path_params["name"]
        if name != self._endpoint.name:
            return _validation_error(f"Endpoint {name} not found.")
        try:
            asked = InvocationRequest.parse(request.headers, await request.body())
        except RequestError as error:
            return _validation_error(str(error))
        invocation = self._accept(asked)
        self._spool.save(invocation)
        self._queue.put_nowait(invocation)
        headers = {
            f"{HEADER}OutputLocation": invocation.output_location,
            f"{HEADER}FailureLocation": invocation.failure_location,
        }
        return JSONResponse({"InferenceId": invocation.request.inference_id}, 202, headers=headers)

    def _accept(self, asked: InvocationRequest) -> Invocation:
        name = uuid.uuid4()
        return Invocation(
            # Sorts by arrival.
            id=f"{time.time_ns():020d}-{name}",
            request=asked,
            received_time=now_text(),
            received_s=time.time(),
            output_location=f"{self._endpoint.output_prefix}/{name}.out",
            failure_location=f"{self._endpoint.failure_prefix}/{name}-error.out",
        )

    async def _consume(self) -> None:
        while True:
            invocation = await self._queue.get()
            try:
                await self._finish(invocation)
            except Exception:  # noqa: BLE001 - one invocation must not stop the queue
                # Its file stays: the next start tries again.
                _LOG.exception("invocation %s could not be finished", invocation.id)

    async def _finish(self, invocation: Invocation) -> None:
        """Run an invocation unless an earlier life of the simulator has, then publish how it ended."""
        if invocation.message is None:
            answer = await self._file(invocation, await self._run(invocation))
            message = notification(
                invocation,
                answer,
                endpoint_name=self._endpoint.name,
                region=self._endpoint.region,
                include_response=self._endpoint.include_response,
            )
            invocation = invocation.model_copy(update={"message": message, "ok": answer.ok})
            self._spool.save(invocation)
        await self._publish(invocation)
        self._spool.remove(invocation)

    async def _run(self, invocation: Invocation) -> Answer:
        age_s = time.time() - invocation.received_s
        if age_s > invocation.request.ttl_s:
            return Answer.failed("Request expired: it waited in the queue longer than RequestTTLSeconds.")
        try:
            order = await asyncio.to_thread(self._get, invocation.request.input_location)
        except (BotoCoreError, ClientError) as error:
            return Answer.failed(f"ClientError: InputLocation cannot be read ({type(error).__name__}).")
        await self._container.ready.wait()
        return await self._post(invocation, order)

    async def _post(self, invocation: Invocation, order: bytes) -> Answer:
        timeout_s = min(invocation.request.timeout_s or self._endpoint.timeout_s, self._endpoint.timeout_s)
        called = self._container.url
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._http.post(
                    f"{called}/invocations",
                    content=order,
                    headers=container_headers(invocation.request),
                    timeout=None,
                )
        except TimeoutError:
            return Answer.failed("ClientError: Your invocation timed out while waiting for a response from the model.")
        except httpx.TransportError:
            self._container.hung_up(called)
            return Answer.failed("InternalServerError: The model container closed the connection; it may have crashed.")
        return Answer.from_container(answer.status_code, answer.headers.get("content-type"), answer.content)

    async def _file(self, invocation: Invocation, answer: Answer) -> Answer:
        """Write the container's answer to S3; an answer that cannot be written is a failed invocation."""
        if answer.body is None:
            return answer
        location = invocation.output_location if answer.ok else invocation.failure_location
        try:
            await asyncio.to_thread(self._put, location, answer)
        except (BotoCoreError, ClientError) as error:
            return Answer.failed(f"ClientError: the response cannot be written to S3 ({type(error).__name__}).")
        return answer

    async def _publish(self, invocation: Invocation) -> None:
        """Publish until it succeeds: an invocation nobody hears of would hang until its task times out."""
        topic = self._endpoint.success_topic if invocation.ok else self._endpoint.error_topic
        pause_s = 0.5
        while True:
            try:
                await asyncio.to_thread(self._sns.publish, TopicArn=topic, Message=invocation.message or "")
            except (BotoCoreError, ClientError) as error:
                _LOG.warning("cannot publish to %s (%s), trying again", topic, type(error).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PUBLISH_PAUSE_S)
            else:
                return

    def _get(self, location: str) -> bytes:
        bucket, key = split_s3_uri(location)
        return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def _put(self, location: str, answer: Answer) -> None:
        bucket, key = split_s3_uri(location)
        self._s3.put_object(Bucket=bucket, Key=key, Body=answer.body or b"", ContentType=answer.content_type)


def _validation_error(message: str) -> Response:
    return JSONResponse({"Message": message}, 400, headers={"x-amzn-errortype": "ValidationError"})


def make_app(endpoint: Endpoint) -> Starlette:
    """Make the ASGI application of one endpoint."""
    region = endpoint.region
    s3 = boto3.client("s3", region_name=region, config=Config(s3={"addressing_style": "path"}))
    simulator = Simulator(endpoint, s3, boto3.client("sns", region_name=region))
    routes = [
        Route("/endpoints/{name}/async-invocations", simulator.invoke, methods=["POST"]),
        Route("/health", simulator.health, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=simulator.lifespan)


def _parse(arguments: list[str] | None) -> tuple[Endpoint, int]:
    parser = argparse.ArgumentParser(prog="sagemaker_sim", description="A local SageMaker asynchronous endpoint")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--endpoint-name", required=True)
    parser.add_argument("--output-bucket-prefix", required=True, help="s3://bucket/prefix for answers")
    parser.add_argument("--failure-bucket-prefix", help="the same for failures (default: <output>/failures)")
    parser.add_argument("--success-topic", required=True, help="ARN of the topic told of successes")
    parser.add_argument("--error-topic", required=True, help="ARN of the topic told of failures")
    parser.add_argument("--state-dir", type=Path, required=True, help="where waiting invocations are kept")
    parser.add_argument("--concurrency", type=int, default=1, help="invocations in the container at once")
    parser.add_argument("--invocation-timeout-s", type=int, default=3600, help="upper limit, as SageMaker's")
    parser.add_argument("--include-response", action="store_true", help="put the answer into the messages too")
    parser.add_argument("--serve-command", default=shlex.join(DEFAULT_COMMAND), help="the container's command")
    parser.add_argument("--environment", action="append", default=[], metavar="NAME=VALUE", help="for the container")
    given = parser.parse_args(arguments)
    output_prefix = given.output_bucket_prefix.rstrip("/")
    endpoint = Endpoint(
        name=given.endpoint_name,
        output_prefix=output_prefix,
        failure_prefix=(given.failure_bucket_prefix or f"{output_prefix}/failures").rstrip("/"),
        success_topic=given.success_topic,
        error_topic=given.error_topic,
        state_dir=given.state_dir,
        concurrency=given.concurrency,
        timeout_s=given.invocation_timeout_s,
        include_response=given.include_response,
        command=tuple(shlex.split(given.serve_command)),
        environment=dict(pair.split("=", 1) for pair in given.environment),
    )
    return endpoint, given.port


def main(arguments: list[str] | None = None) -> int:
    """Serve the endpoint until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    endpoint, port = _parse(arguments)
    uvicorn.run(make_app(endpoint), host="127.0.0.1", port=port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
