"""``cleartake assets …``: a client's own recordings."""

import argparse
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from cleartake_client import Asset, Client
from scripts.cli.progress import UPLOADING, bars
from scripts.cli.service import add_json, local_time, running, show
from scripts.cli.sources import add_role, fetched_source_of


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("assets", help="list, show, upload, fetch and delete your recordings")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="show the newest")
    listing.add_argument("--limit", type=int, default=50, help="(default: %(default)s)")
    listing.set_defaults(run=running(_list))
    one = actions.add_parser("show", help="show all about one")
    one.add_argument("id")
    one.set_defaults(run=running(_show))
    upload = actions.add_parser("upload", help="upload a file, or go on where an upload was interrupted")
    upload.add_argument("file", type=Path, metavar="FILE")
    upload.set_defaults(run=running(_upload))
    fetch = actions.add_parser("fetch", help="have the service fetch a recording from a URL or a bucket")
    fetch.add_argument("source", metavar="URL|s3://…")
    add_role(fetch)
    fetch.add_argument("--no-wait", action="store_true", help="return before it is there")
    fetch.set_defaults(run=running(_fetch))
    for action in (upload, fetch):
        action.add_argument("--retain-hours", type=int, help="delete it, and all that is made of it, after so many")
    deletion = actions.add_parser("delete", help="delete recordings and all that was made of them")
    deletion.add_argument("ids", nargs="+", metavar="ID")
    deletion.set_defaults(run=running(_delete))
    for action in (listing, one, upload, fetch, deletion):
        add_json(action)


def _list(client: Client, arguments: argparse.Namespace) -> int:
    assets = list(islice(client.assets.list(page_size=max(1, min(arguments.limit, 100))), arguments.limit))
    show(arguments, assets, [_line(asset) for asset in assets] or ["There are no recordings."])
    return 0


def _show(client: Client, arguments: argparse.Namespace) -> int:
    asset = client.assets.get(arguments.id)
    known = {name: value for name, value in asdict(asset).items() if value is not None and name != "upload"}
    show(arguments, asset, [f"{name:16} {value}" for name, value in known.items()])
    return 0


def _upload(client: Client, arguments: argparse.Namespace) -> int:
    with bars(UPLOADING, hidden=arguments.json) as new_bar:
        advance = new_bar(arguments.file.name)
        asset = client.assets.upload(arguments.file, retain_hours=arguments.retain_hours, on_progress=advance)
    show(arguments, asset, [asset.id])
    return 0


def _fetch(client: Client, arguments: argparse.Namespace) -> int:
    source = fetched_source_of(arguments.source, arguments.role)
    bring = client.assets.create if arguments.no_wait else client.assets.fetch
    asset = bring(source, retain_hours=arguments.retain_hours)
    show(arguments, asset, [asset.id])
    return 0


def _delete(client: Client, arguments: argparse.Namespace) -> int:
    for asset_id in arguments.ids:
        client.assets.delete(asset_id)
    show(arguments, {"deleted": arguments.ids}, [f"{asset_id} deleted" for asset_id in arguments.ids])
    return 0


def _line(asset: Asset) -> str:
    duration = f"{asset.audio.duration_s:9.1f} s" if asset.audio else f"{'':11}"
    size = f"{asset.size_bytes / 1e6:9.1f} MB"
    return f"{asset.id}  {asset.status:18}  {size}  {duration}  {local_time(asset.created_at)}  {asset.filename}"
