"""What the engine wants of a model, whatever is in it."""

from typing import Protocol

from gpu_container.engine.stft import Real


class SignalStream(Protocol):
    """One recording on its way: what comes out, put together, is as long as what went in and aligned with it."""

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network so far."""
        ...

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        ...

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        ...


class NetworkStream(SignalStream, Protocol):
    """A stream that can be taken up from where it is by several lanes side by side."""

    def fork(self, lanes: int) -> "NetworkStream":
        """Return a stream of ``lanes * channels`` rows, lane by lane, each of which goes on from here.

        Only after whole seconds: a ValueError otherwise.
        """
        ...

    def keep(self, rows: slice) -> "NetworkStream":
        """Return a stream of some rows only, which goes on from here."""
        ...


class Enhancer(Protocol):
    """A loaded model, whatever is in it."""

    name: str

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of what computes; the CPU's where any part of the model is left to it."""
        ...

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing."""
        ...

    def stream(self, channels: int) -> NetworkStream:
        """Return a new recording's stream."""
        ...

    def enhance(self, signal: Real) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        ...
