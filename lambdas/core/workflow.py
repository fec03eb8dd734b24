"""The state machines as tables.

``infra`` renders them to Amazon States Language, the tests walk them in one process.

Each step calls one function with ``{"step": name, "state": <state document>}``; a callback step adds
``"task_token"`` and ends only when somebody answers that token. The function's answer is kept in the
state document under ``result_key``, and its ``outcome`` picks the next step where a step has branches.
A step for each item of a list calls its function once for every one of them, side by side.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from types import MappingProxyType

END = "End"

HEARTBEAT_TIMEOUT_S = 120
"""After a worker's first heartbeat this much silence means that it is gone; the sweeper beats for it until then."""

TASK_HEARTBEAT_S = 300
"""A task that nobody beats for ends by itself: the last resort, late enough that some sweeps may fail or come late."""

SWEEP_INTERVAL_S = 60
GPU_START_LIMIT_S = 1200
"""How long a dispatched job may wait for its first heartbeat (a cold GPU starts in minutes) before it is failed."""

OUTCOME_GRACE_S = 120
"""So long whoever ended a job may take to tell of it."""

INVOCATION_TIMEOUT_S = 3600
"""SageMaker's own limit for one asynchronous invocation."""

ORDER_LIFETIME_S = GPU_START_LIMIT_S + 2 * INVOCATION_TIMEOUT_S
"""How long SageMaker keeps an order that no instance takes: longer than any that is waited for.

A job waits for a GPU to start, and then behind a lane that works: admission lets in twice what all instances work on at
a time, so one that runs alone of two has three rounds before it, of forty minutes at most (``limit_s`` of the lane).
SageMaker's own six hours would keep orders that were given up in its backlog, and wake a GPU for them.
"""

CPU_INVOCATION_TIMEOUT_S = 900
"""Lambda's own limit."""

PROBE_LIMIT_S = CPU_INVOCATION_TIMEOUT_S - 60
"""What a probe gives itself: the rest is for getting its keys, and for saying that it took too long."""

EXECUTION_TIMEOUT_S = 12 * 3600
FAN_OUT_TIMEOUT_S = 10 * 3600
"""Sooner than the task that waits for it."""


INTAKE_GRACE_S = 120
"""So long an upload may take to be settled before its intake is started again; next after twice the time."""

INTAKE_GIVEN_UP_S = 72 * 3600
"""An asset that waits longer waits for bytes that nobody sends; a PUT still starts its intake, as ever.

Only together with an enhancement that waits for it an asset is given up then.

The last turn comes after 68 hours: later than the parts of an upload are kept, so that none can end unseen."""


@dataclass(frozen=True)
class Patience:
    """How long the minute's sweep waits before it acts; production has the defaults, a drill fractions of them.

    Attributes
    ----------
    silence_s
        Without a sign of life of a worker that had given some.
    start_s
        For a dispatched job's first sign of life.
    execution_s
        Since the admission, before the execution of a job is asked for.
    outcome_s
        For somebody to tell of a job's end.
    intake_s
        For an upload to be settled.
    interval_s
        Between two sweeps.
    """

    silence_s: float = HEARTBEAT_TIMEOUT_S
    start_s: float = GPU_START_LIMIT_S
    execution_s: float = SWEEP_INTERVAL_S
    outcome_s: float = OUTCOME_GRACE_S
    intake_s: float = INTAKE_GRACE_S
    interval_s: float = SWEEP_INTERVAL_S

    def times(self, scale: float) -> "Patience":
        """Return the same with every time ``scale`` times as long."""
        return Patience(*(scale * time_s for time_s in astuple(self)))


class FunctionName(StrEnum):
    """Every function of the app; the value is its logical name in the template."""

    ADOBE_API = "AdobeApi"
    ADOBE_V2_API = "AdobeV2Api"
    NATIVE_API = "NativeApi"
    TOKEN = "Token"  # noqa: S105 - a function's name
    DOCS = "Docs"
    INTAKE = "Intake"
    PROBE = "Probe"
    ADMIT = "Admit"
    JOB_STEPS = "JobSteps"
    DISPATCH = "Dispatch"
    ENHANCE_CPU = "EnhanceCpu"
    ACCESS = "Access"
    COMPLETE = "Complete"
    SWEEP = "Sweep"
    ERASE = "Erase"
    WEBHOOK = "Webhook"
    DELIVER = "Deliver"
    FETCH = "Fetch"
    FETCH_LOST = "FetchLost"


@dataclass(frozen=True)
class Retry:
    """Try again on these errors: first after ``interval_s``, then ``backoff`` times later each time, up to a limit."""

    errors: tuple[str, ...]
    interval_s: int = 1
    attempts: int = 4
    backoff: float = 2.0
    max_delay_s: int | None = None


TRANSIENT = Retry(
    errors=(
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        "Lambda.Unknown",
        "Sandbox.Timedout",
        "Runtime.ExitError",
        "Runtime.Unknown",
        "TransientError",
        "VersionConflictError",
    )
)
"""Faults of the platform, and what our own adapters call transient. Never the client's bytes."""

_ROOM = Retry(("Lambda.TooManyRequestsException",), interval_s=5, attempts=60, max_delay_s=60)
"""Room in the account comes back as other functions end: half an hour on average before it is given up."""

PERSISTENT = (_ROOM, Retry(TRANSIENT.errors, attempts=60, max_delay_s=60))
"""Of a step that holds the fruit of an attempt: a platform that is away for minutes must not throw it away."""

DEATHS = ("States.Timeout", "Sandbox.Timedout", "Runtime.ExitError", "Lambda.Unknown")
"""How a function ends that ran out of time or memory or crashed. Twice over on one file, the file is to blame."""


PROBE_TIMEOUT = "ProbeTimeoutError"
"""The container's own name of it."""
OUT_OF_TIME = (PROBE_TIMEOUT, "Sandbox.Timedout", "States.Timeout")
"""How a probe ends that could not read a file in time. Twice over, the file is too much for it, but not damaged."""


WHOLE_STATE = "$"


@dataclass(frozen=True)
class Each:
    """The items that a step runs for, each in an execution of its own.

    Attributes
    ----------
    items
        JSONPath of the list.
    payload
        What each call gets: name → JSONPath, or `ITEM`.
    """

    items: str
    payload: Mapping[str, str]


ITEM = "$$.Map.Item.Value"
"""Stands for the item in an `Each`."""


@dataclass(frozen=True)
class Step:
    """One task of a state machine.

    Attributes
    ----------
    result_key
        Where the answer is kept, below what is there already: a name, or names joined by dots. None: it is not kept.
        `WHOLE_STATE`: it takes the place of the state document.
    payload
        JSONPath of what the function gets as ``state``; None sends the state itself, bare (the probe takes a
        ``ProbeOrder`` and knows nothing of steps).
    branches
        ``outcome`` of the answer → next step; an outcome that is not listed goes to ``next``.
    """

    name: str
    function: FunctionName
    result_key: str | None
    next: str
    timeout_s: int = 60
    payload: str | None = None
    callback: bool = False
    heartbeat_s: int | None = None
    retries: tuple[Retry, ...] = (TRANSIENT,)
    catch: str | None = None
    branches: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    each: Each | None = None


@dataclass(frozen=True)
class Machine:
    """A state machine; it starts at its first step."""

    name: str
    steps: tuple[Step, ...]
    timeout_s: int

    def step(self, name: str) -> Step:
        """Return the step called ``name``."""
        return next(step for step in self.steps if step.name == name)


ASSET_INTAKE = Machine(
    name="AssetIntake",
    timeout_s=2 * 3600,
    steps=(
        # The input is S3's "Object Created" event as EventBridge delivers it.
        Step(
            "Locate",
            FunctionName.INTAKE,
            "located",
            next="Probe",
            # Nothing else would come back to an upload, or to one that has to be erased.
            retries=(Retry(TRANSIENT.errors, interval_s=5, attempts=8),),
            branches={"ignore": END},
        ),
        Step(
            "Probe",
            FunctionName.PROBE,
            "probed",
            payload="$.located.probe_order",
            next="MarkReady",
            timeout_s=CPU_INVOCATION_TIMEOUT_S,
            # Storage that fails says nothing about the file: try for twenty minutes. The first match counts, so a
            # file that kills the probe, or is too long for it, is tried once more and not for hours.
            retries=(
                Retry((*DEATHS, PROBE_TIMEOUT), attempts=1),
                Retry((*TRANSIENT.errors, "StorageError", "ProbeCrashError"), interval_s=5, attempts=8),
            ),
            branches={"failed": "MarkInvalid"},
            catch="MarkInvalid",
        ),
        Step(
            "MarkReady",
            FunctionName.INTAKE,
            "marked",
            next=END,
            retries=PERSISTENT,
            branches={"enqueue": "Enqueue"},
        ),
        Step("MarkInvalid", FunctionName.INTAKE, "marked", next=END),
        # What is lost here, or finds the queue full, the minute's sweep takes up.
        Step("Enqueue", FunctionName.INTAKE, "enqueued", next=END),
    ),
)

ENHANCEMENT = Machine(
    name="Enhancement",
    timeout_s=EXECUTION_TIMEOUT_S,
    steps=(
        # The input is {"job_id", "client_id", "attempt"}.
        Step(
            "Claim",
            FunctionName.JOB_STEPS,
            "claimed",
            next="Dispatch",
            retries=PERSISTENT,
            branches={"stop": "Notify"},
            catch="Fail",
        ),
        Step(
            "Dispatch",
            FunctionName.DISPATCH,
            "result",
            next="Verify",
            callback=True,
            # An endpoint or a table that is away for minutes must not cost attempts.
            retries=(_ROOM, Retry(TRANSIENT.errors, interval_s=5, attempts=7)),
            # Behind a busy lane it may wait for several invocations' time; the heartbeat tells waiting from lost.
            timeout_s=EXECUTION_TIMEOUT_S - 1800,
            heartbeat_s=TASK_HEARTBEAT_S,
            catch="Fail",
        ),
        Step("Verify", FunctionName.JOB_STEPS, "verified", next="Succeed", retries=PERSISTENT, catch="Fail"),
        Step("Succeed", FunctionName.JOB_STEPS, "finished", next="Notify", retries=PERSISTENT, catch="Fail"),
        Step("Fail", FunctionName.JOB_STEPS, "finished", next="Notify", retries=PERSISTENT, branches={"queued": END}),
        # Also after a job that somebody else has ended: there is nobody but its execution to tell of it.
        Step("Notify", FunctionName.JOB_STEPS, "notified", next=END, retries=PERSISTENT),
    ),
)

_IN_A_FUNCTION = (
    # A crash takes only its part along, and may be the machine's fault; the second time it ends the lane's attempt.
    Retry(DEATHS, attempts=1),
    _ROOM,
    Retry(TRANSIENT.errors, interval_s=5, attempts=6),
)

FAN_OUT = Machine(
    name="FanOut",
    timeout_s=FAN_OUT_TIMEOUT_S,
    steps=(
        # The input is {"order": a work order with parts}; the execution is named after the inference.
        # What a part answers only tells what it cost: one that is missing, or a file that is to blame, shows in the
        # assembly. It joins the order, so that a container that knows nothing of it reads the order as ever.
        Step(
            "Parts",
            FunctionName.ENHANCE_CPU,
            "order.part_results",
            next="Assemble",
            each=Each("$.order.parts", MappingProxyType({"order": "$.order", "part": ITEM})),
            timeout_s=CPU_INVOCATION_TIMEOUT_S,
            # The container's own name of what a retry may help; what none can help it answers.
            retries=(*_IN_A_FUNCTION, Retry(("PartFailedError",), interval_s=5)),
        ),
        Step(
            "Assemble",
            FunctionName.ENHANCE_CPU,
            WHOLE_STATE,
            next=END,
            payload="$.order",
            timeout_s=CPU_INVOCATION_TIMEOUT_S,
            retries=_IN_A_FUNCTION,
        ),
    ),
)

MACHINES = (ASSET_INTAKE, ENHANCEMENT, FAN_OUT)

ERROR_KEY = "error"
"""Where a caught error is kept in the state document: ``{"Error": …, "Cause": …}``."""
