"""onnxruntime as the stages use it: a few threads of its own, and runs that can be given up.

Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime import OrtValue

from babblefish.engine import interruption

_PIECES = 8
"""in which memory is taken in advance: results of many sizes find room in them"""


class OnnxSession:
    """One model, on the CPU. Not thread-safe."""

    def __init__(
        self, model: bytes | Path, threads: int, *, reuse_memory: bool = True, reserve: int = 0
    ) -> None:
        """Raises onnxruntime's errors for what is no model.

        reuse_memory: plan which results may share memory. For large graphs of unknown lengths
        that takes seconds, and saves no time afterwards.
        reserve: bytes that are taken now for results. onnxruntime keeps what the longest input so
        far needed; what is there at once does not grow whenever a longer one comes.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_mem_reuse = reuse_memory
        # a plan would be kept for every length of input ever seen
        options.enable_mem_pattern = False
        options.log_severity_level = 4
        # threads spin while a product is shared out, not between two runs
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if reserve:
            _share_memory()
            options.add_session_config_entry("session.use_env_allocators", "1")
        self._session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
        )
        # it would keep the bytes for trying other providers, which we do not
        self._session.disable_fallback()
        vars(self._session).pop("_model_bytes", None)
        self._runner = ThreadPoolExecutor(1, thread_name_prefix="onnx")
        if reserve:
            _fill(options, reserve)

    @property
    def inputs(self) -> list[str]:
        return [given.name for given in self._session.get_inputs()]

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray | OrtValue]
    ) -> Sequence[OrtValue]:
        """The results named ``outputs``. For runs of a few milliseconds."""
        return self._session.run_with_ort_values(list(outputs), _values(inputs))

    def run_until_interrupted(
        self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray | OrtValue]
    ) -> Sequence[OrtValue]:
        """The same, for longer ones. Raises WorkerError("superseded") soon after somebody asked
        for this job to be given up."""
        interruption.check()
        options = onnxruntime.RunOptions()
        # on another thread, for Python hears of a signal only when this one does not compute
        run = self._runner.submit(
            self._session.run_with_ort_values, list(outputs), _values(inputs), options
        )
        interruption.while_waiting(partial(setattr, options, "terminate", True))
        try:
            interruption.check()
            return run.result()
        except BaseException:  # KeyboardInterrupt too must not leave it computing
            options.terminate = True
            run.exception()
            interruption.check()
            raise
        finally:
            interruption.while_waiting(None)


@cache
def _share_memory() -> None:
    """Sessions of this process that ask for it take memory from one place."""
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(0, -1, -1, -1))


def _fill(options: onnxruntime.SessionOptions, size: int) -> None:
    """Write ``size`` bytes of the shared memory once, so that it has them from then on."""
    from onnx import TensorProto, helper

    names = [f"zeros{number}" for number in range(_PIECES)]
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], [name]) for name in names],
        "zeros",
        [helper.make_tensor_value_info("shape", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
    )
    # as old a format as the operator allows: every onnxruntime reads it
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    shape = np.array([size // _PIECES // np.float32().itemsize], np.int64)
    session.run_with_ort_values(names, _values({"shape": shape}))


def _values(inputs: Mapping[str, np.ndarray | OrtValue]) -> dict[str, OrtValue]:
    return {
        name: value if isinstance(value, OrtValue) else OrtValue.ortvalue_from_numpy(value)
        for name, value in inputs.items()
    }
