"""Where the worker gets its real engine and its real clients: the only place that knows both."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import botocore.session
import numpy as np

from gpu_container.contract import ErrorCode, PartOrder, WorkOrder
from gpu_container.engine.batching import Batcher
from gpu_container.engine.byte_io import ByteSink, ByteSource
from gpu_container.engine.deepfilternet import CUDA
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.errors import EngineError
from gpu_container.engine.models import load_model, model_version
from gpu_container.engine.parts import enhance_part
from gpu_container.engine.pipeline import ENGINE_VERSION, Enhanced, EnhanceOptions, enhance
from gpu_container.engine.stft import RATE_HZ
from gpu_container.engine.wet import WetParts, WetStore
from gpu_container.serving.access import make_access
from gpu_container.serving.clients import make_clients
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.worker import Worker

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioEngine:
    """The engine as orders speak to it.

    Attributes
    ----------
    jobs
        Threads that share one long recording: more than one only where no other order wants them.
    """

    jobs: int = 1

    def enhance(
        self,
        order: WorkOrder,
        source: ByteSource,
        sink: ByteSink,
        *,
        model: Enhancer,
        wet: WetStore | WetParts | None,
        on_progress: Callable[[float, float], None],
        is_cancelled: Callable[[], bool],
    ) -> Enhanced:
        """Enhance ``source`` into ``sink`` as the order says."""
        options = EnhanceOptions(
            strength=order.strength,
            dereverb=order.dereverb,
            output_format=order.output_format,
            loudness_lufs=order.loudness_lufs,
            true_peak_dbtp=order.true_peak_dbtp,
            report=order.report,
            jobs=self.jobs,
        )
        return enhance(
            source, sink, model=model, options=options, wet=wet, on_progress=on_progress, is_cancelled=is_cancelled
        )

    def enhance_part(
        self,
        order: PartOrder,
        source: ByteSource,
        *,
        model: Enhancer,
        wet: WetStore,
        on_progress: Callable[[float, float], None],
        is_cancelled: Callable[[], bool],
    ) -> int:
        """Make and keep one part's wet track; return the network's runs, 0 where it was kept already."""
        return enhance_part(
            source,
            order.part,
            model=model,
            dereverb=order.order.dereverb,
            wet=wet,
            jobs=self.jobs,
            on_progress=on_progress,
            is_cancelled=is_cancelled,
        )

    def wet_version(self, model: str) -> str:
        """Return the fingerprint of engine and model."""
        return f"{ENGINE_VERSION}:{model_version(model)}"


def make_worker(settings: ServingSettings) -> Worker:
    """Make a worker on AWS and the engine; no model is loaded yet."""
    session = botocore.session.Session()
    # Made before the first order comes: the session then knows AWS's services, and so do the orders' own.
    clients = make_clients(settings, session.create_client)
    shelf = ModelShelf(partial(_load, needs_gpu=settings.needs_gpu))
    return Worker(settings, clients, shelf, AudioEngine(), access=make_access(settings, session))


def _load(name: str, *, needs_gpu: bool) -> Enhancer:
    """Load a model whose calls all orders of this process share.

    Raises
    ------
    EngineError
        MODEL_UNAVAILABLE also where a GPU is wanted and another provider was taken; what a GPU raises that cannot run
        the model comes through.
    """
    model = load_model(name)
    _LOG.info("provider chosen", extra={"model": name, "provider": model.provider})
    if needs_gpu:
        if model.provider != CUDA:
            reason = f"The model {name} would run on {model.provider}: is the instance's driver one for CUDA 12?"
            raise EngineError(ErrorCode.MODEL_UNAVAILABLE, reason)
        # A driver that loads may still lack this GPU's kernels; no client's order should be the first to find out.
        model.enhance(np.zeros((1, RATE_HZ), np.float32))
    return Batcher(model)
