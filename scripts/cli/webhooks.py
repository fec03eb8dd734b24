"""``cleartake webhooks …``: who is told of what happens, and how each telling went."""

import argparse
from itertools import islice

from cleartake_client import Client, Delivery, Webhook
from scripts.cli.service import Action, add_json, local_time, running, show

EVENTS = ("*", "enhancement.succeeded", "enhancement.failed", "enhancement.cancelled")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("webhooks", help="be told of what happens; see how each telling went")
    actions = parser.add_subparsers(dest="action", required=True)
    add_json(_added(actions, "list", _list, "show all"))
    create = _added(actions, "create", _create, "be told at a URL; the secret is shown once")
    create.add_argument("url")
    create.add_argument("--event", choices=EVENTS, action="append", help="repeatable (default: all)")
    create.add_argument("--description", default="")
    delete = _added(actions, "delete", _delete, "tell a URL no more")
    rotate = _added(actions, "rotate", _rotate, "make a new secret; it is shown once")
    rotate.add_argument("--drop-previous", action="store_true", help="let the secret before sign no more")
    deliveries = _added(actions, "deliveries", _deliveries, "show what it was told, newest first")
    deliveries.add_argument("--limit", type=int, default=20, help="(default: %(default)s)")
    redeliver = _added(actions, "redeliver", _redeliver, "tell it something again")
    test = _added(actions, "test", _test, "send a test event")
    for action in (delete, rotate, deliveries, redeliver, test):
        action.add_argument("id")
    redeliver.add_argument("message_id")
    for action in (create, delete, rotate, deliveries, redeliver, test):
        add_json(action)


def _added(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, action: Action, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text)
    parser.set_defaults(run=running(action))
    return parser


def _list(client: Client, arguments: argparse.Namespace) -> int:
    found = client.webhooks.list()
    show(arguments, found, [_line(one) for one in found] or ["There are no webhooks."])
    return 0


def _create(client: Client, arguments: argparse.Namespace) -> int:
    made = client.webhooks.create(arguments.url, events=arguments.event or ["*"], description=arguments.description)
    show(arguments, made, _with_secret(made))
    return 0


def _delete(client: Client, arguments: argparse.Namespace) -> int:
    client.webhooks.delete(arguments.id)
    show(arguments, {"deleted": arguments.id}, [f"{arguments.id} deleted"])
    return 0


def _rotate(client: Client, arguments: argparse.Namespace) -> int:
    made = client.webhooks.rotate_secret(arguments.id, keep_previous=not arguments.drop_previous)
    show(arguments, made, _with_secret(made))
    return 0


def _deliveries(client: Client, arguments: argparse.Namespace) -> int:
    found = list(islice(client.webhooks.deliveries(arguments.id), arguments.limit))
    show(arguments, found, [_delivery_line(one) for one in found] or ["It was told nothing yet."])
    return 0


def _redeliver(client: Client, arguments: argparse.Namespace) -> int:
    again = client.webhooks.redeliver(arguments.id, arguments.message_id)
    show(arguments, again, [_delivery_line(again)])
    return 0


def _test(client: Client, arguments: argparse.Namespace) -> int:
    sent = client.webhooks.send_test(arguments.id)
    show(arguments, sent, [_delivery_line(sent)])
    return 0


def _line(webhook: Webhook) -> str:
    state = "enabled" if webhook.enabled else f"disabled ({webhook.disabled_reason})"
    return f"{webhook.id}  {state:10}  {','.join(webhook.events)}  {webhook.url}  {webhook.description}".rstrip()


def _with_secret(webhook: Webhook) -> list[str]:
    return [_line(webhook), f"secret {webhook.secret}", "", "The secret is shown only now."]


def _delivery_line(delivery: Delivery) -> str:
    last = delivery.attempts[-1] if delivery.attempts else None
    how = f"last: {last.status_code or last.error}" if last else ""
    start = f"{delivery.id}  {delivery.status:9}  {len(delivery.attempts)} attempts"
    return f"{start}  {local_time(delivery.created_at)}  {delivery.event}  {how}".rstrip()
