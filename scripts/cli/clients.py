"""``cleartake clients …``: who may call the API."""

import argparse
import os
import sys

from lambdas.bootstrap import client_administration
from lambdas.core.clients import DEFAULT_MAX_ACTIVE, DEFAULT_MAX_QUEUED, Client
from lambdas.core.errors import DomainError
from lambdas.core.rates import RateClass
from lambdas.core.services.clients import ClientAdministration

MAX_ACTIVE, MAX_QUEUED = "max-active", "max-queued"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("clients", help="create, list, rotate and disable API clients")
    parser.add_argument("--table", help="name of the table in an AWS account (default: the local cloud's)")
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a client; its secret is shown once")
    create.add_argument("name")
    create.add_argument("--max-active", type=int, default=DEFAULT_MAX_ACTIVE, help="jobs at once; 1 is Adobe's way")
    create.add_argument("--max-queued", type=int, default=DEFAULT_MAX_QUEUED, help="jobs that may wait")
    create.add_argument("--api-key", action="store_true", help="let a secret in a header be enough")
    limit = actions.add_parser("limit", help="give a client limits of its own: calls in a minute, jobs at once")
    limit.add_argument("client_id")
    limit.add_argument("limit", choices=[*(rate_class.value for rate_class in RateClass), MAX_ACTIVE, MAX_QUEUED])
    limit.add_argument("count", type=int)
    actions.add_parser("list", help="show all clients")
    for action, text in (
        ("rotate", "make a second secret; the newest two are valid"),
        ("disable", "shut a client out"),
        ("enable", "let a client in again"),
    ):
        actions.add_parser(action, help=text).add_argument("client_id")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run one action."""
    administration = _administration(arguments.table)
    try:
        return _act(administration, arguments)
    except DomainError as error:
        print(error.message, file=sys.stderr)
        return 1


def _act(administration: ClientAdministration, arguments: argparse.Namespace) -> int:
    match arguments.action:
        case "create":
            client, secret = administration.create(
                arguments.name,
                max_active=arguments.max_active,
                max_queued=arguments.max_queued,
                takes_api_keys=arguments.api_key,
            )
            print(f"client_id     {client.id}\nclient_secret {secret}")
            print(f"api_key       {client.id}.{secret}\n" if client.takes_api_keys else "")
            print("The secret is shown only now.")
        case "limit":
            print(_limit(administration, arguments.client_id, arguments.limit, arguments.count))
        case "list":
            for client in administration.clients.all():
                print(_line(client))
        case "rotate":
            print(f"client_secret {administration.rotate(arguments.client_id)}\n\nThe secret is shown only now.")
        case "disable" | "enable":
            administration.set_disabled(arguments.client_id, disabled=arguments.action == "disable")
            print(f"{arguments.client_id} {arguments.action}d")
    return 0


def _limit(administration: ClientAdministration, client_id: str, limit: str, count: int) -> str:
    """Set one limit and say which."""
    if limit == MAX_ACTIVE:
        administration.set_slots(client_id, max_active=count)
        return f"{client_id} {count} jobs at once"
    if limit == MAX_QUEUED:
        administration.set_slots(client_id, max_queued=count)
        return f"{client_id} {count} jobs that may wait"
    administration.set_rate_limit(client_id, RateClass(limit), count)
    return f"{client_id} {limit} {count} calls in a minute"


def _line(client: Client) -> str:
    state = "disabled" if client.disabled else "enabled"
    active, queued = f"{len(client.leases)}/{client.max_active} active", f"{client.queued}/{client.max_queued} queued"
    return f"{client.id}  {state:8}  {active}  {queued}  {client.name}"


def _administration(table: str | None) -> ClientAdministration:
    """Return the administration of the named table, else of the local cloud's."""
    if table is None:
        from scripts.local.launcher import local_environment, local_table  # noqa: PLC0415 - only where it is needed

        os.environ.update(local_environment())
        table = local_table()
    return client_administration(table)
