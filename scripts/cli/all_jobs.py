"""``cleartake all-jobs …``, for operators: every client's jobs, and the end of what should not go on."""

import argparse
import os
import sys
from collections.abc import Mapping

from infra.outputs import Output
from lambdas.bootstrap import job_administration
from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.services.jobs import ClientWork, JobAdministration


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("all-jobs", help="for operators: list, show and cancel every client's enhancements")
    parser.add_argument("--stage", help="a stage in your AWS account (default: the local cloud)")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="show the newest jobs")
    listing.add_argument("--client", help="of one client only")
    listing.add_argument("--status", type=JobStatus, choices=list(JobStatus), action="append", help="repeatable")
    listing.add_argument("--limit", type=int, default=50, help="(default: %(default)s)")
    for action, text in (("show", "show all about one job"), ("cancel", "end a job that has not ended")):
        actions.add_parser(action, help=text).add_argument("job_id")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run one action."""
    try:
        outputs = _local_outputs() if arguments.stage is None else _stage_outputs(arguments.stage)
        return _act(administration_of(outputs), arguments)
    except DomainError as error:
        print(error.message, file=sys.stderr)
        return 1


def _act(administration: JobAdministration, arguments: argparse.Namespace) -> int:
    match arguments.action:
        case "list":
            statuses = arguments.status or list(JobStatus)
            jobs = administration.list(client_id=arguments.client, statuses=statuses, limit=arguments.limit)
            print("\n".join(line(job) for job in jobs) or "There are no such jobs.")
        case "show":
            job = administration.find(arguments.job_id)
            print("\n".join(f"{name:16} {value}" for name, value in details(job, administration).items()))
        case "cancel":
            print(line(administration.cancel(arguments.job_id)))
    return 0


def line(job: Job) -> str:
    """Return one job in one line."""
    moment, why = to_text(job.requested_at), job.error_code or ""
    return f"{job.id}  {job.status:10}  {job.progress:5.1f} %  attempt {job.attempt}  {moment}  {why}".rstrip()


def client_lines(work: ClientWork) -> list[str]:
    """Return what a client has in hand and what has failed, nothing for one that is idle."""
    if work.is_idle:
        return []
    client = work.client
    waiting = f", the oldest for {work.oldest_wait_s} s" if work.oldest_wait_s is not None else ""
    lines = [f"\n{client.name}  {client.id}  {client.queued} queued{waiting}"]
    lines += [f"  {line(job)}" for job in work.running]
    if work.failures:
        lines.append("  failed in a day: " + ", ".join(f"{number} {code}" for code, number in work.failures.items()))
    return lines


def details(job: Job, administration: JobAdministration) -> dict[str, object]:
    """Return what is known of a job, by name; what is not known is left out."""
    known = {
        "job": job.id,
        "client": job.client_id,
        "asset": job.asset_id,
        "status": job.status.value,
        "queue position": administration.queue_position(job),
        "attempt": job.attempt,
        "progress [%]": job.progress,
        "strength": job.strength,
        "model": job.model,
        "requested": job.requested_at,
        "admitted": job.admitted_at,
        "last heartbeat": job.heartbeat_at,
        "finished": job.finished_at,
        "told": job.notified_at,
        "output": job.output_key,
        "error": job.error_code,
        "reason": job.error_message,
    }
    return {name: value for name, value in known.items() if value is not None}


def administration_of(outputs: Mapping[str, str]) -> JobAdministration:
    """Return the administration of the cloud that has published ``outputs``."""
    return job_administration(
        outputs[Output.TABLE_NAME],
        admit_queue_url=outputs[Output.ADMIT_QUEUE_URL],
        stop_queue_url=outputs[Output.STOP_QUEUE_URL],
        outcome_queue_url=outputs[Output.OUTCOME_QUEUE_URL],
    )


def _local_outputs() -> Mapping[str, str]:
    from scripts.local.launcher import local_environment  # noqa: PLC0415 - only where it is needed
    from scripts.local.paths import Cloud, outputs_of  # noqa: PLC0415

    os.environ.update(local_environment())
    return outputs_of(Cloud.from_environment())


def _stage_outputs(stage: str) -> Mapping[str, str]:
    """Return what the stacks of a stage have published."""
    from scripts.cli.stacks import published, stage_config  # noqa: PLC0415 - only where it is needed

    return published(stage_config(stage))
