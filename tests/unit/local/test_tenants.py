"""Credentials survive a restart as long as the service knows the clients."""

from pathlib import Path

from scripts.local import tenants


class Registry:
    """Makes clients and remembers them."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def ensure(self, name: str) -> tuple[str, str]:
        client_id = f"{name}-{len(self.known)}"
        self.known.add(client_id)
        return client_id, f"secret of {client_id}"


def ensure(registry: Registry, path: Path, base_url: str = "http://127.0.0.1:8080") -> tenants.Credentials:
    return tenants.ensure(path, base_url, ensure_client=registry.ensure, is_known=registry.known.__contains__)


def test_two_clients_are_made_and_kept(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "local.json"
    first = ensure(registry, path)
    assert first.client_id != first.second_client_id
    assert ensure(registry, path) == first
    assert len(registry.known) == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_port_changes_the_base_url_alone(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "local.json"
    first = ensure(registry, path)
    moved = ensure(registry, path, "http://127.0.0.1:8081")
    assert (moved.client_id, moved.base_url) == (first.client_id, "http://127.0.0.1:8081")


def test_clients_the_service_has_lost_are_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "local.json"
    first = ensure(Registry(), path)
    registry = Registry()
    registry.known.add("someone else")
    assert ensure(registry, path) != first


def test_a_damaged_file_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "local.json"
    path.write_text('{"client_id": 1}')
    assert ensure(Registry(), path) == tenants.Credentials.read(path)
