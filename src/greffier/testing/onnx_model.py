"""A real ONNX text classifier, small enough to build in a test: a weight per word, summed over the text."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_OPSET = 17
_ENDLESS = 10**12


def write_classifier(
    folder: Path, weights: Mapping[str, float], *, bias: float = -2.0, endless: bool = False
) -> dict[str, Any]:
    """Write ``model.onnx`` and ``tokenizer.json``; return what a workspace says about them, as its ``onnx`` key.

    Args:
        folder: Where to write.
        weights: What each word adds to the evidence for the second label.
        bias: Evidence of a text without any of them.
        endless: Whether the model computes for ever, for tests of deadlines.
    """
    vocabulary = {word: at for at, word in enumerate((*_SPECIAL, *weights))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=_SPECIAL[1]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    table = np.zeros((len(vocabulary), 2), dtype=np.float32)
    for word, weight in weights.items():
        table[vocabulary[word], 1] = weight
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask_of_words"]),
        helper.make_node("Mul", ["embedded", "mask_of_words"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "words"], ["summed"], keepdims=0),
        helper.make_node("Add", ["summed", "bias"], ["evidence"]),
        *([_loop()] if endless else []),
        helper.make_node("Identity", ["spun" if endless else "evidence"], ["logits"]),
    ]
    constants: dict[str, Any] = {
        "table": table,
        "last": np.array([2], dtype=np.int64),
        "words": np.array([1], dtype=np.int64),
        "bias": np.array([0.0, bias], dtype=np.float32),
        **({"rounds": np.array(_ENDLESS, dtype=np.int64), "go_on": np.array(True)} if endless else {}),  # noqa: FBT003 - a tensor
    }
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "words"]) for name in _INPUTS],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    checker.check_model(model)
    save_model(model, str(folder / "model.onnx"))
    return {
        "model": {"path": "model.onnx", "sha256": _digest(folder / "model.onnx")},
        "tokenizer": {"path": "tokenizer.json", "sha256": _digest(folder / "tokenizer.json")},
    }


_INPUTS = ("input_ids", "attention_mask")


def _loop() -> Any:
    """Adds nothing to the evidence, a trillion times."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["going_on"]),
            helper.make_node("Identity", ["value"], ["value_again"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_again", TensorProto.FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["rounds", "go_on", "evidence"], ["spun"], body=body)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
