"""Pictures of an enhancement: spectrogram and waveform before and after, and a waveform for players."""

import io
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gpu_container.contract import WaveformPeaks
from gpu_container.engine.measure import Measured
from gpu_container.engine.stft import Real
from gpu_container.engine.traces import Traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_INCHES: Final = (12.0, 6.75)
DOTS_PER_INCH: Final = 120

PAPER: Final = "#ffffff"
INK: Final = "#1f2933"
FAINT_INK: Final = "#9aa5b1"
BEFORE_COLOUR: Final = "#7b8794"
AFTER_COLOUR: Final = "#0b7285"

RANGE_DB: Final = 80.0
"""Of a spectrogram's colours, down from the loudest: more would show nothing but codec dust."""

SILENCE_DB: Final = -80.0
"""Recordings fainter than this are drawn dark, not stretched to full brightness."""

ROWS: Final = 480
HIGHEST_HZ: Final = 24_000.0
"""Above it nobody hears."""

TICKS_HZ: Final = (100, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)


def draw_spectrogram(measured: Measured) -> bytes:
    """Return a PNG with the spectrogram before above the one after, on one scale of colours.

    Raises
    ------
    ValueError
        If the measurement kept no traces.
    """
    traces = _traces(measured)
    figure, panels = _figure()
    top_hz = min(traces.edges_hz[-1], HIGHEST_HZ)
    images = [_on_mel_rows(trace.power, traces.edges_hz, top_hz) for trace in (traces.before, traces.after)]
    loudest_db = max(SILENCE_DB, *(float(np.percentile(image, 99.9)) for image in images))
    for panel, image in zip(panels, images, strict=True):
        drawn = panel.imshow(
            image.T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=loudest_db - RANGE_DB,
            vmax=loudest_db,
            extent=(0, image.shape[0] * traces.seconds_per_column, 0, float(_mel(np.array(top_hz)))),
            interpolation="bilinear",
        )
        panel.set_facecolor(drawn.cmap(0.0))
        ticks = [tick for tick in TICKS_HZ if tick <= top_hz]
        panel.set_yticks(_mel(np.array(ticks)), [f"{tick / 1000:g}" for tick in ticks])
        panel.set_ylabel("frequency [kHz]")
        panel.set_xlim(0, traces.duration_s)
    bar = figure.colorbar(drawn, ax=panels, pad=0.012, fraction=0.03, label="power [dB]")
    bar.outline.set_visible(False)
    _finish_time_axis(panels, traces.duration_s)
    return _png(figure)


def draw_waveform(measured: Measured) -> bytes:
    """Return a PNG with the waveform before above the one after, on one scale.

    Raises
    ------
    ValueError
        If the measurement kept no traces.
    """
    traces = _traces(measured)
    figure, panels = _figure()
    sides = ((traces.before, BEFORE_COLOUR), (traces.after, AFTER_COLOUR))
    highest = max(float(np.abs(trace.outline).max(initial=0)) for trace, _ in sides) or 1.0
    for panel, (trace, colour) in zip(panels, sides, strict=True):
        lowest, uppermost = trace.outline
        edges_s = np.arange(len(lowest) + 1) * traces.samples_per_column / traces.rate_hz
        panel.axhline(0, color=FAINT_INK, linewidth=0.6)
        panel.stairs(uppermost, edges_s, baseline=lowest, fill=True, color=colour, linewidth=0)
        panel.stairs(uppermost, edges_s, baseline=lowest, color=colour, linewidth=0.4)
        panel.set_ylim(-1.08 * highest, 1.08 * highest)
        panel.set_xlim(0, traces.duration_s)
        panel.set_ylabel("amplitude")
        panel.grid(axis="y", color=FAINT_INK, alpha=0.25, linewidth=0.6)
    _finish_time_axis(panels, traces.duration_s)
    return _png(figure)


def peaks(measured: Measured) -> WaveformPeaks:
    """Return the result's outline for players, at most 2,000 pixels wide.

    Raises
    ------
    ValueError
        If the measurement kept no traces.
    """
    traces = _traces(measured)
    steps = np.clip(np.round(traces.after.outline.T * 128), -128, 127).astype(int)  # (columns, 2)
    return WaveformPeaks(
        sample_rate=traces.rate_hz,
        samples_per_pixel=traces.samples_per_column,
        length=len(steps),
        data=tuple(steps.ravel().tolist()),
    )


def _traces(measured: Measured) -> Traces:
    if measured.traces is None:
        raise ValueError("pictures need a measurement at the full report level")
    return measured.traces


def _mel(frequency_hz: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the place of a frequency on the ear's scale (O'Shaughnessy, 1987)."""
    mel: NDArray[np.floating] = 2595 * np.log10(1 + np.asarray(frequency_hz) / 700)
    return mel


def _on_mel_rows(power: Real, edges_hz: NDArray[np.float64], top_hz: float) -> NDArray[np.floating]:
    """Return ``(columns, ROWS)`` in dB from powers ``(columns, rows)``, rows evenly spaced on the mel scale."""
    level_db = 10 * np.log10(power + np.float32(1e-15))
    centres = _mel((edges_hz[:-1] + edges_hz[1:]) / 2)
    wanted = (np.arange(ROWS) + 0.5) / ROWS * _mel(np.array(top_hz))
    place = np.clip(np.interp(wanted, centres, np.arange(len(centres))), 0, len(centres) - 1)
    lower = np.floor(place).astype(int)
    upper = np.minimum(lower + 1, len(centres) - 1)
    share = place - lower
    mixed: NDArray[np.floating] = (1 - share) * level_db[:, lower] + share * level_db[:, upper]
    return mixed


def _figure() -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second that only pictures pay

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, facecolor=PAPER, layout="constrained")
    panels = list(figure.subplots(2, 1, sharex=True, sharey=True))
    for panel, title in zip(panels, ("Before", "After"), strict=True):
        panel.set_title(title, loc="left", color=INK, fontsize=13, fontweight="bold")
        panel.tick_params(colors=INK, labelsize=9, length=3, color=FAINT_INK)
        panel.yaxis.label.set_color(INK)
        panel.xaxis.label.set_color(INK)
        panel.xaxis.set_tick_params(length=0)
        for spine in panel.spines.values():
            spine.set_visible(False)
    return figure, panels


def _finish_time_axis(panels: "list[Axes]", duration_s: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    axis = panels[-1].xaxis
    if duration_s < 60:
        axis.set_label_text("time [s]")
        return
    hours = duration_s >= 3600
    axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 1.2, 1.5, 2, 3, 6, 10]))
    axis.set_major_formatter(FuncFormatter(lambda at_s, _: _clock(at_s, hours=hours)))
    axis.set_label_text("time [h:min:s]" if hours else "time [min:s]")


def _clock(at_s: float, *, hours: bool) -> str:
    minutes, seconds = divmod(round(at_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
