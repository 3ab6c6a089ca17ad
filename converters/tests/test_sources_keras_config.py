"""Configurations as an attacker would write them, checked without Keras; whole files are in test_sources_convert."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.errors import UntrustedCodeError
from edgekit_converters.sources.keras_config import refuse_foreign_code


def _model(*layers: dict[str, Any], **extra: Any) -> dict[str, Any]:
    config = {"name": "net", "trainable": True, "layers": list(layers)}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None, **extra}


def _layer(name: str, module: str | None, kind: str, **config: Any) -> dict[str, Any]:
    inner = {"name": name, "trainable": True, **config}
    return {"module": module, "class_name": kind, "config": inner, "registered_name": None}


def _activation(module: str, function: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": function, "registered_name": "function"}


PLAIN = _layer(
    "dense",
    "keras.layers",
    "Dense",
    dtype={
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "float32"},
        "registered_name": None,
    },
    activation=_activation("builtins", "gelu"),
    kernel_initializer={
        "module": "keras.initializers",
        "class_name": "Zeros",
        "config": {},
        "registered_name": None,
    },
)


@pytest.mark.parametrize(
    "config",
    [
        _model(PLAIN),
        _model(_layer("add", "keras.src.ops.numpy", "Add")),
        _model(_layer("old", None, "Dense", activation="relu")),
        _model(_layer("old", "tf_keras.src.engine.functional", "Functional")),
        _model(
            _layer("tf.nn.relu", "tf_keras.src.layers.core.tf_op_layer", "TFOpLambda", function="nn.relu")
        ),
        _model(_layer("reshape", "tf_keras.src.layers.core.tf_op_layer", "TFOpLambda", function="reshape")),
        # The training configuration of the whole model is not loaded, so what it names does not matter.
        _model(
            PLAIN,
            compile_config={"loss": _activation("my_losses", "focal"), "metrics": [{"class_name": "Lambda"}]},
        ),
    ],
)
def test_plain_models_pass(config: dict[str, Any]) -> None:
    refuse_foreign_code(config, "m.keras", ())


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (_layer("evil", "keras.layers", "Lambda", function=["4wEA", None, None]), "is a Lambda"),
        (_layer("evil", "keras.src.layers.core.lambda_layer", "Lambda"), "is a Lambda"),
        (_layer("evil", None, "Lambda"), "is a Lambda"),
        (
            _layer("evil", "keras.layers", "Dense", activation={"class_name": "__lambda__", "config": {}}),
            "a lambda",
        ),
        (_layer("evil", "tf_keras.src.layers", "core.Lambda"), "needs tf_keras.src.layers.core.Lambda"),
        (_layer("evil", "keras.layers", "TFSMLayer", filepath="elsewhere"), "loads another SavedModel"),
        (_layer("evil", "keras.layers", "TorchModuleWrapper"), "pickled PyTorch"),
        (_layer("evil", "os", "system"), "needs os.system"),
        (_layer("evil", "keras.layers", "Dense", activation=_activation("os", "system")), "needs os.system"),
        (
            _layer("evil", "keras.layers", "Dense", activation=_activation("builtins", "eval")),
            "Python's own eval",
        ),
        (_layer("evil", "keras.utils", "get_file"), "needs keras.utils.get_file"),
        (_layer("evil", "keras.models", "load_model"), "needs keras.models.load_model"),
        (_layer("evil", "keras.config", "enable_unsafe_deserialization"), "needs keras.config"),
        (_layer("evil", "keras", "src.utils.get_file"), "needs keras.src.utils.get_file"),
        (_layer("evil", "kerasx.layers", "Dense"), "needs kerasx.layers.Dense"),
        (_layer("evil", "tf_keras.layers", "TFOpLambda", function="io.write_file"), "calls tf.io.write_file"),
        (_layer("evil", "tf_keras.layers", "TFOpLambda", function="py_function"), "calls tf.py_function"),
        (_layer("evil", "tf_keras.layers", "TFOpLambda"), "calls tf.None"),
        (_layer("evil", None, "ClassMethod", cls_symbol="io.gfile.GFile"), "calls a method"),
    ],
)
def test_code_is_refused_by_layer_and_by_what_it_would_run(layer: dict[str, Any], said: str) -> None:
    nested = _layer("block", "keras.src.models.functional", "Functional", layers=[PLAIN, layer])
    for config in (_model(layer), _model(PLAIN, nested)):
        with pytest.raises(UntrustedCodeError, match=r"m\.keras: layer 'evil'") as caught:
            refuse_foreign_code(config, "m.keras", ())
        assert said in str(caught.value)
        assert "--trust-model-code" in str(caught.value.hint)


def test_the_training_configuration_of_a_nested_model_is_loaded_and_so_is_checked() -> None:
    inner = _layer("block", "keras.src.models.functional", "Functional")
    inner["compile_config"] = {"loss": _activation("os", "system")}
    with pytest.raises(UntrustedCodeError, match=r"needs os\.system"):
        refuse_foreign_code(_model(inner), "m.keras", ())


def test_an_own_class_is_asked_for_and_accepted_when_given() -> None:
    by_module = _layer("mine", "my_layers", "Attention2") | {"registered_name": "Attention2"}
    by_package = _layer("mine", None, "Attention2") | {"registered_name": "mine>Attention2"}
    for layer in (by_module, by_package):
        with pytest.raises(UntrustedCodeError, match="which is not part of Keras") as caught:
            refuse_foreign_code(_model(layer), "m.keras", ())
        assert "--custom-objects" in str(caught.value.hint)
        refuse_foreign_code(_model(layer), "m.keras", {"Attention2"})


def test_a_given_class_does_not_let_a_lambda_pass() -> None:
    with pytest.raises(UntrustedCodeError, match="is a Lambda"):
        refuse_foreign_code(_model(_layer("evil", "keras.layers", "Lambda")), "m.keras", {"Lambda", "os"})


@pytest.mark.parametrize("config", [None, 3, [], {}, {"class_name": None}])
def test_json_that_describes_nothing_passes_without_a_crash(config: object) -> None:
    refuse_foreign_code(config, "m.keras", ())


@pytest.mark.parametrize("odd", [{"class_name": [1], "module": 5}, {"class_name": {}, "module": ["os"]}])
def test_names_of_odd_types_are_refused(odd: object) -> None:
    with pytest.raises(UntrustedCodeError, match=r"m\.keras: the model itself"):
        refuse_foreign_code({"config": [odd]}, "m.keras", ())
