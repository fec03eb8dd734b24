"""The models this process has loaded, each once, by name."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_container.engine.enhancer import Enhancer

_LOG = logging.getLogger(__name__)


class ModelShelf:
    """Loads models on first use and keeps them; safe to call from several threads at once."""

    def __init__(self, load: "Callable[[str], Enhancer]") -> None:
        self._load = load
        self._loaded: dict[str, Enhancer] = {}
        # One lock for all names: two models loading at once would be slower than one after the other.
        self._loading = threading.Lock()

    def get(self, name: str) -> "Enhancer":
        """Return a model, loading it if this is the first request for it.

        Raises
        ------
        EngineError
            If there is no such model or it cannot be loaded; the next call tries again.
        """
        model = self._loaded.get(name)
        if model is not None:
            return model
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = self._timed_load(name)
            return self._loaded[name]

    def _timed_load(self, name: str) -> "Enhancer":
        start = time.monotonic()
        model = self._load(name)
        _LOG.info("model loaded", extra={"model": name, "seconds": round(time.monotonic() - start, 3)})
        return model
