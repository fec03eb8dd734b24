"""One upload in parts: what is missing is sent, some parts at a time, until nothing is."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from cleartake_client.calls import RetryPolicy
from cleartake_client.errors import CleartakeError, StorageError, UnreachableError, UploadInterruptedError
from cleartake_client.files import LocalFile, md5_base64
from cleartake_client.models import Parts, UploadProgress
from cleartake_client.storage import BLOCK_BYTES, Advance, put

AT_ONCE = 4
"""Each holds its part in memory, 16 MiB for files up to 16 GB."""


@dataclass
class PartsUpload:
    """Sends the parts that the service does not have.

    Attributes
    ----------
    link
        Returns links to parts, given as number → base64 of the part's MD5.
    """

    file: LocalFile
    progress: UploadProgress
    link: Callable[[dict[int, str]], Parts]
    http: httpx.Client
    retry: RetryPolicy
    advance: Advance
    _sent_bytes: dict[int, int] = field(default_factory=dict)
    _arrived: set[int] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Send what is missing.

        Raises
        ------
        UploadInterruptedError
            A part did not arrive for all attempts; those that did need not be sent again.
        """
        missing = self.progress.missing
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cleartake-upload") as pool:
            sending = [pool.submit(self._send, number) for number in missing]
            try:
                for one in sending:
                    one.result()
            except BaseException as error:
                # What is under way ends at its next block, the rest does not begin: nobody waits for a slow line.
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                if not isinstance(error, CleartakeError):
                    raise
                left = len(missing) - len(self._arrived)
                raise UploadInterruptedError(self.progress.asset_id, left, error) from error

    def _send(self, number: int) -> None:
        data = self.file.part((number - 1) * self.progress.part_size_bytes, self.progress.part_size_bytes)
        digest = md5_base64(data)
        for attempt in itertools.count(1):
            # A link of its own for every attempt: none is ever too old.
            (part,) = self.link({number: digest}).parts
            if len(data) != part.size_bytes:
                raise CleartakeError(f"{self.file.path.name} has changed while it was uploaded")
            try:
                put(self.http, part.url, part.headers, self._blocks(number, data), len(data))
            except (StorageError, UnreachableError):
                self._tell(number, 0)
                if self._stopped.is_set() or not self.retry.allows(attempt):
                    raise
                self.retry.sleep(self.retry.pause_s(attempt))
            else:
                break
        with self._lock:
            self._arrived.add(number)

    def _blocks(self, number: int, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), BLOCK_BYTES):
            if self._stopped.is_set():
                raise CleartakeError("another part has failed")
            yield data[start : start + BLOCK_BYTES]
            self._tell(number, min(start + BLOCK_BYTES, len(data)))

    def _tell(self, number: int, sent_bytes: int) -> None:
        with self._lock:
            self._sent_bytes[number] = sent_bytes
            done_bytes = self.progress.arrived_bytes + sum(self._sent_bytes.values())
            self.advance("upload", done_bytes / self.file.size_bytes)
