"""Where the worker gets its real engine and its real clients: the only place that knows both."""

from gpu_container.engine.models import load_model
from gpu_container.engine.pipeline import enhance_file
from gpu_container.serving.clients import make_clients
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.worker import Worker


def make_worker(settings: ServingSettings) -> Worker:
    """Make a worker on AWS and the engine; no model is loaded yet."""
    return Worker(settings, make_clients(settings), ModelShelf(load_model), enhance_file)
