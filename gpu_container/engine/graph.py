"""Surgery on the official ONNX graphs, so that audio can run through them in blocks of any size.

The exported graphs see a whole file at once: their causal convolutions pad the past with zeros and their GRUs start
from zero. Here each such zero becomes an input and what the next block needs becomes an output; a file run in blocks
with this state carried over gives the whole file's answer. The batch axis, exported as 1, becomes free.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OUT = "_out"
TO_THE_END = 2**62
PROBE_FRAMES = 8

Shape = tuple[int, ...]


@dataclass(frozen=True)
class StatefulGraph:
    """A graph whose state is explicit: each input named in ``state`` has an output of that name plus ``_out``.

    Attributes
    ----------
    state
        Input name → shape for a batch of one; ``batch_axis`` tells where the batch is.
    """

    model: bytes
    state: dict[str, Shape]
    batch_axis: dict[str, int]

    def zeros(self, batch: int) -> dict[str, NDArray[np.float32]]:
        """Return the state before the first block."""
        return {
            name: np.zeros([batch if axis == self.batch_axis[name] else size for axis, size in enumerate(shape)], "f4")
            for name, shape in self.state.items()
        }


def make_stateful(raw: bytes) -> StatefulGraph:
    """Return the graph with its state made explicit."""
    widths = _pad_shapes(raw)
    model = onnx.load_model_from_string(raw)
    graph = model.graph
    for value in [*graph.input, *graph.output]:
        batch = value.type.tensor_type.shape.dim[0]
        batch.ClearField("dim_value")
        batch.dim_param = "B"
    contexts = _expose_contexts(graph, widths)
    hidden = _expose_hidden(graph)
    _drop_dead_nodes(graph)
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    axes = dict.fromkeys(contexts, 0) | dict.fromkeys(hidden, 1)
    return StatefulGraph(model.SerializeToString(), contexts | hidden, axes)


def _pad_shapes(raw: bytes) -> dict[str, Shape]:
    """Return, by each Pad's output, the shape ``(1, C, k, F)`` of the zeros that it puts before the first frame.

    The widths are computed inside the graph, so the graph is run once on noise and each Pad's ends are compared.
    """
    model = onnx.load_model_from_string(raw)
    pads = [node for node in model.graph.node if node.op_type == "Pad"]
    if not pads:
        return {}
    inputs = {value.name for value in model.graph.input}
    known = inputs | {value.name for value in model.graph.output}
    for name in {name for node in pads for name in (node.input[0], node.output[0])} - known:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), _quiet(), providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(0)
    values = {
        value.name: noise.standard_normal([d if isinstance(d, int) else PROBE_FRAMES for d in value.shape]).astype("f4")
        for value in session.get_inputs()
    }
    values |= dict(zip([value.name for value in session.get_outputs()], session.run(None, values), strict=True))
    return {node.output[0]: _zeros_before(values[node.input[0]], values[node.output[0]]) for node in pads}


def _zeros_before(before: NDArray[np.float32], after: NDArray[np.float32]) -> Shape:
    width = after.shape[2] - before.shape[2]
    if width <= 0 or after[:, :, :width].any() or not np.array_equal(after[:, :, width:], before):
        msg = "the model pads in a way that this engine does not know"
        raise ValueError(msg)
    return (1, before.shape[1], width, before.shape[3])


def _expose_contexts(graph: onnx.GraphProto, widths: dict[str, Shape]) -> dict[str, Shape]:
    """Turn each causal Pad into Concat(context, x), whose last frames are the next block's context."""
    contexts: dict[str, Shape] = {}
    for index, node in enumerate([node for node in graph.node if node.op_type == "Pad"]):
        name, (source, padded) = f"ctx{index}", (node.input[0], node.output[0])
        shape = widths[padded]
        bounds = {f"{name}_from": -shape[2], f"{name}_to": TO_THE_END, f"{name}_axis": 2}
        graph.initializer.extend(numpy_helper.from_array(np.array([v], "i8"), key) for key, v in bounds.items())
        position = list(graph.node).index(node)
        graph.node.remove(node)
        graph.node.insert(position, helper.make_node("Concat", [name, source], [padded], axis=2))
        graph.node.insert(position + 1, helper.make_node("Slice", [padded, *bounds], [name + OUT]))
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *shape[1:]]))
        graph.output.append(helper.make_tensor_value_info(name + OUT, TensorProto.FLOAT, None))
        contexts[name] = shape
    return contexts


def _expose_hidden(graph: onnx.GraphProto) -> dict[str, Shape]:
    """Turn each GRU's initial state into an input and its final state into an output."""
    hidden: dict[str, Shape] = {}
    for index, node in enumerate([node for node in graph.node if node.op_type == "GRU"]):
        name = f"h{index}"
        size = next(attribute.i for attribute in node.attribute if attribute.name == "hidden_size")
        node.input.extend([""] * (6 - len(node.input)))
        node.input[5] = name
        node.output.extend([""] * (2 - len(node.output)))
        _rename_uses(graph, node.output[1], name + OUT)
        node.output[1] = name + OUT
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "B", size]))
        graph.output.append(helper.make_tensor_value_info(name + OUT, TensorProto.FLOAT, None))
        hidden[name] = (1, 1, size)
    return hidden


def _rename_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for index, name in enumerate(node.input):
            if old and name == old:
                node.input[index] = new


def _drop_dead_nodes(graph: onnx.GraphProto) -> None:
    """Remove what no output needs any more: the old zeros and the arithmetic of their shapes."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(list(graph.node)):
        if any(name in needed for name in node.output):
            kept.append(node)
            needed |= {name for name in node.input if name}
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options
