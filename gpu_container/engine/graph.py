"""Surgery on the official ONNX graphs, so that audio can run through them in blocks of any size, many at a time.

The exported graphs see a whole file at once: their causal convolutions pad the past with zeros and their GRUs start
from zero. Here each such zero becomes an input and what the next block needs becomes an output; a file run in blocks
with this state carried over gives the whole file's answer. The batch axis, exported as 1, becomes free. The graphs
become one, so that what passes between them never leaves the device that they run on.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

OUT = "_out"
TO_THE_END = 2**62
PROBE_FRAMES = 8

Shape = tuple[int, ...]
State = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class StateLayout:
    """What a graph keeps from block to block: each of these inputs has an output of its name plus ``_out``.

    Attributes
    ----------
    shapes
        Input name → shape for a batch of one; ``batch_axis`` tells where the batch is.
    """

    shapes: dict[str, Shape]
    batch_axis: dict[str, int]

    def zeros(self, batch: int) -> State:
        """Return the state before the first block."""
        return {
            name: np.zeros([batch if axis == self.batch_axis[name] else size for axis, size in enumerate(shape)], "f4")
            for name, shape in self.shapes.items()
        }

    def take(self, state: State, rows: NDArray[np.intp] | slice) -> State:
        """Return the state of some rows of the batch, repeated where ``rows`` repeats them."""
        return {
            name: value[:, rows].copy() if self.batch_axis[name] else value[rows].copy()
            for name, value in state.items()
        }

    def concatenate(self, states: list[State]) -> State:
        """Return several batches' state as one batch's."""
        return {
            name: np.concatenate([state[name] for state in states], axis=axis) for name, axis in self.batch_axis.items()
        }


def assemble(raw: Mapping[str, bytes], wanted: Collection[str]) -> tuple[bytes, StateLayout]:
    """Return several graphs as one, with its state made explicit, and what that state is.

    Parameters
    ----------
    raw
        Name → exported graph, in the order in which they run. An input that bears the name of an earlier graph's
        output is that output.
    wanted
        The outputs to keep, by their own names. In the whole every name has its graph's in front: ``enc/feat_erb``.
    """
    whole: onnx.ModelProto | None = None
    state: dict[str, Shape] = {}
    axes: dict[str, int] = {}
    for name, exported in raw.items():
        part, contexts, hidden = _make_stateful(exported)
        model = compose.add_prefix(part, f"{name}/")
        state |= {f"{name}/{key}": shape for key, shape in (contexts | hidden).items()}
        axes |= {f"{name}/{key}": 0 for key in contexts} | {f"{name}/{key}": 1 for key in hidden}
        whole = model if whole is None else _append(whole, model)
    if whole is None:
        msg = "there is no graph to assemble"
        raise ValueError(msg)
    kept = [
        value
        for value in whole.graph.output
        if value.name.removesuffix(OUT) in state or value.name.rpartition("/")[2] in wanted
    ]
    del whole.graph.output[:]
    whole.graph.output.extend(kept)
    _drop_dead_nodes(whole.graph)
    return whole.SerializeToString(), StateLayout(state, axes)


def _append(whole: onnx.ModelProto, part: onnx.ModelProto) -> onnx.ModelProto:
    """Add a graph behind others, its inputs tied to their outputs where the names are the same."""
    bare = {value.name.rpartition("/")[2]: value.name for value in whole.graph.output if not value.name.endswith(OUT)}
    tied = {value.name: bare[value.name.rpartition("/")[2]] for value in part.graph.input if _bare(value) in bare}
    for node in part.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = tied.get(name, name)
    whole.graph.node.extend(part.graph.node)
    whole.graph.initializer.extend(part.graph.initializer)
    whole.graph.input.extend(value for value in part.graph.input if value.name not in tied)
    whole.graph.output.extend(part.graph.output)
    return whole


def _bare(value: onnx.ValueInfoProto) -> str:
    return value.name.rpartition("/")[2]


def _make_stateful(raw: bytes) -> tuple[onnx.ModelProto, dict[str, Shape], dict[str, Shape]]:
    """Return the graph with its state made explicit, and the shapes of contexts and of hidden states."""
    widths = _pad_shapes(raw)
    model = onnx.load_model_from_string(raw)
    graph = model.graph
    for value in [*graph.input, *graph.output]:
        batch = value.type.tensor_type.shape.dim[0]
        batch.ClearField("dim_value")
        batch.dim_param = "B"
    contexts = _expose_contexts(graph, widths)
    hidden = _expose_hidden(graph)
    _fold_pointwise(graph)
    _drop_dead_nodes(graph)
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    return model, contexts, hidden


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


def _fold_pointwise(graph: onnx.GraphProto) -> None:
    """Make one convolution of a grouped one and the 1 x 1 behind it, where that is less arithmetic.

    Nothing stands between the two, so their product is exact but for rounding. It pays where the first has few inputs:
    the first layer of the complex path has two.
    """
    weights = {value.name: value for value in graph.initializer}
    for first, second in _adjacent_convolutions(graph):
        if len(first.input) > 2 or not {first.input[1], second.input[1]} <= weights.keys():
            continue
        grouped = numpy_helper.to_array(weights[first.input[1]])  # (M, C / groups, kt, kf)
        pointwise = numpy_helper.to_array(weights[second.input[1]])  # (N, M, 1, 1)
        groups = _attribute(first, "group")
        product = _product(grouped, pointwise, groups)  # (N, C, kt, kf)
        if pointwise.shape[2:] != (1, 1) or product.size >= grouped.size + pointwise.size:
            continue
        name = f"{second.input[1]}_folded"
        graph.initializer.append(numpy_helper.from_array(product, name))
        second.input[0], second.input[1] = first.input[0], name
        del second.attribute[:]
        second.attribute.extend(attribute for attribute in first.attribute if attribute.name != "group")


def _adjacent_convolutions(graph: onnx.GraphProto) -> list[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Return the pairs of convolutions of which the second, ungrouped, is all that hears the first."""
    convolutions = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    heard = [name for node in graph.node for name in node.input] + [value.name for value in graph.output]
    return [
        (convolutions[node.input[0]], node)
        for node in convolutions.values()
        if node.input[0] in convolutions and _attribute(node, "group") == 1 and heard.count(node.input[0]) == 1
    ]


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 1)


def _product(grouped: NDArray[np.float32], pointwise: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """Σ_m pointwise[n, m] · grouped[m, c]: ``(M, C / groups, kt, kf)`` and ``(N, M, 1, 1)`` → ``(N, C, kt, kf)``."""
    members = np.split(grouped.astype(np.float64), groups)
    columns = np.split(pointwise[:, :, 0, 0].astype(np.float64), groups, axis=1)
    parts = [np.einsum("nm,mcij->ncij", column, part) for column, part in zip(columns, members, strict=True)]
    return np.concatenate(parts, axis=1).astype(np.float32)


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
