"""The logs of a local cloud: one file a process, and what the functions wrote to CloudWatch Logs."""

import time
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from scripts.local import emulator, launcher
from scripts.local.paths import Cloud

FOLLOW_POLL_S = 0.5
PLATFORM_LINES = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START")
NAME_WIDTH = 10


@dataclass
class Reader:
    """Remembers how far each log has been read."""

    cloud: Cloud
    read_bytes: dict[Path, int] = field(default_factory=dict)
    read_events: set[tuple[object, ...]] = field(default_factory=set)

    def process_lines(self) -> list[tuple[str, str]]:
        """Return (name, line) of every complete line that is new in the processes' files."""
        return list(chain.from_iterable(self._file_lines(log) for log in sorted(self.cloud.logs.glob("*.log"))))

    def _file_lines(self, log: Path) -> list[tuple[str, str]]:
        start = self.read_bytes.get(log, 0)
        with log.open("rb") as file:
            if file.seek(0, 2) < start:
                start = 0  # the process was started anew
            file.seek(start)
            complete, newline, _ = file.read().rpartition(b"\n")
        self.read_bytes[log] = start + len(complete) + len(newline)
        return [(log.stem, line) for line in complete.decode(errors="replace").splitlines()]

    def function_lines(self) -> list[tuple[str, str]]:
        """Return (name, line) of every new log event of the functions; nothing while the emulator is away."""
        if not launcher.answers(f"{self.cloud.emulator_url}{emulator.HEALTH_PATH}"):
            return []
        groups = emulator.client(self.cloud, "logs").describe_log_groups()["logGroups"]
        return list(chain.from_iterable(self._group_lines(group["logGroupName"]) for group in groups))

    def _group_lines(self, group: str) -> list[tuple[str, str]]:
        found = emulator.client(self.cloud, "logs").filter_log_events(logGroupName=group)["events"]
        # The emulator gives its events no ids.
        events = {(group, event["timestamp"], event["logStreamName"], event["message"]): event for event in found}
        new = [event for identity, event in events.items() if identity not in self.read_events]
        self.read_events.update(events)
        name = group.rpartition("/")[2].rpartition("Logs")[0] or group
        lines = [(name, event["message"].rstrip()) for event in new]
        return [(name, line) for name, line in lines if line and not line.startswith(PLATFORM_LINES)]


def show(cloud: Cloud, *, lines: int, follow: bool) -> None:
    """Print the last ``lines`` of each log with its name before every line; with ``follow`` go on until Ctrl-C."""
    reader = Reader(cloud)
    by_name: dict[str, list[str]] = {}
    for name, line in chain(reader.process_lines(), reader.function_lines()):
        by_name.setdefault(name, []).append(line)
    if not by_name:
        print(f"There are no logs in {cloud.logs} yet.")
    for name, written in by_name.items():
        for line in written[-lines:]:
            _print_line(name, line)
    while follow:
        time.sleep(FOLLOW_POLL_S)
        for name, line in chain(reader.process_lines(), reader.function_lines()):
            _print_line(name, line)


def _print_line(name: str, line: str) -> None:
    print(f"{name:{NAME_WIDTH}} | {line}", flush=True)
