from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgekit
from edgekit.errors import TrustRequiredError


def test_importing_edgekit_imports_nothing_heavy() -> None:
    program = "import edgekit, sys; print(edgekit.__version__, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    version, *modules = done.stdout.split()
    assert version == edgekit.__version__
    assert not set(modules) & {
        "numpy",
        "click",
        "PIL",
        "typing",
        "cryptography",
        "ai_edge_litert",
        "importlib.metadata",
    }


def test_reading_a_bundle_imports_no_runtime() -> None:
    program = "import edgekit, sys; edgekit.UNSIGNED, edgekit.EdgekitError; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numpy", "click", "PIL", "ai_edge_litert"}


def test_every_public_name_is_there() -> None:
    for name in edgekit.__all__:
        assert getattr(edgekit, name) is not None
        assert name in dir(edgekit)
    from edgekit import UNSIGNED, Session, load

    assert (Session.__module__, load.__module__) == ("edgekit.session", "edgekit.opening")
    assert repr(UNSIGNED) == "edgekit.UNSIGNED"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'edgekit' has no attribute 'fetch'"):
        edgekit.fetch  # noqa: B018


def test_type_checkers_see_the_names_where_they_live() -> None:
    tree = ast.parse(Path(edgekit.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == edgekit._HOMES
    assert set(seen) | {"__version__"} == set(edgekit.__all__)


def test_trust_has_no_default() -> None:
    with pytest.raises(TypeError, match="trust"):
        edgekit.load("cats.edgekit")  # type: ignore[call-arg]


def test_trust_none_is_refused(bundle_file, dense) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TrustRequiredError):
        edgekit.load(bundle_file(dense), trust=None)
