"""``cleartake jobs …``: a client's own enhancements."""

import argparse
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice

from cleartake_client import Client, Enhancement
from cleartake_client.enhancements import LONGEST_POLL_S
from scripts.cli.progress import WATCHING, bars
from scripts.cli.service import FAILED, add_json, local_time, moment, running, show

STATUSES = ("waiting_for_upload", "queued", "running", "succeeded", "failed", "cancelled")

WATCHES_A_MINUTE = 80
"""Of the 120 held calls that a client has by default."""
WATCHED_AT_ONCE = WATCHES_A_MINUTE * LONGEST_POLL_S // 60


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("jobs", help="list, show, watch and cancel your enhancements")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="show the newest")
    listing.add_argument("--status", choices=STATUSES, action="append", default=[], help="repeatable")
    listing.add_argument("--asset", help="of one recording only")
    listing.add_argument("--since", type=moment, help="asked for since then")
    listing.add_argument("--limit", type=int, default=50, help="(default: %(default)s)")
    listing.set_defaults(run=running(_list))
    one = actions.add_parser("show", help="show all about one")
    one.add_argument("id")
    one.set_defaults(run=running(_show))
    cancelling = actions.add_parser("cancel", help="end one that has not ended")
    cancelling.add_argument("id")
    cancelling.set_defaults(run=running(_cancel))
    watching = actions.add_parser("watch", help="wait for the end; exit code 0 if all have succeeded")
    watching.add_argument("ids", nargs="+", metavar="ID")
    watching.set_defaults(run=running(_watch))
    for action in (listing, one, cancelling, watching):
        add_json(action)


def _list(client: Client, arguments: argparse.Namespace) -> int:
    found = client.enhancements.list(
        status=arguments.status,
        asset_id=arguments.asset,
        created_after=arguments.since,
        page_size=max(1, min(arguments.limit, 100)),
    )
    jobs = list(islice(found, arguments.limit))
    show(arguments, jobs, [line(job) for job in jobs] or ["There are no such enhancements."])
    return 0


def _show(client: Client, arguments: argparse.Namespace) -> int:
    job = client.enhancements.get(arguments.id)
    known = {name: value for name, value in asdict(job).items() if value is not None}
    show(arguments, job, [f"{name:16} {value}" for name, value in known.items()])
    return 0


def _cancel(client: Client, arguments: argparse.Namespace) -> int:
    job = client.enhancements.cancel(arguments.id)
    show(arguments, job, [line(job)])
    return 0


def _watch(client: Client, arguments: argparse.Namespace) -> int:
    side_by_side = min(len(arguments.ids), WATCHED_AT_ONCE)
    hold_s = math.ceil(60 * side_by_side / WATCHES_A_MINUTE)  # how old the bars are
    with bars(WATCHING, hidden=arguments.json) as new_bar, ThreadPoolExecutor(side_by_side) as pool:

        def watch(job_id: str) -> Enhancement:
            advance = new_bar(job_id)
            return client.enhancements.wait(
                job_id, poll_s=hold_s, on_update=lambda seen: advance("enhance", seen.progress_percent / 100)
            )

        jobs = list(pool.map(watch, arguments.ids))
    show(arguments, jobs, [line(job) for job in jobs])
    return 0 if all(job.status == "succeeded" for job in jobs) else FAILED


def line(job: Enhancement) -> str:
    """Return one enhancement in one line."""
    place = f"place {job.queue_position}" if job.queue_position else ""
    why = job.error.code if job.error else ""
    words = (job.reference or "", place, why)
    told = "  ".join(word for word in words if word)
    start = f"{job.id}  {job.status:10}  {job.progress_percent:5.1f} %  strength {job.strength:g}"
    return f"{start}  {local_time(job.created_at)}  {told}".rstrip()
