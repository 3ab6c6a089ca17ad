"""Reads a recipe from where a user has it: a bundle of an earlier conversion, a JSON file, or an object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgekit.bundle import read_unverified
from edgekit.errors import EdgekitError, MalformedBundleError
from edgekit.strictjson import parse
from edgekit_converters.quantize.recipe import Recipe, recipe_from_json

MOST_BYTES = 1 << 20
"""Of a JSON file; a recipe has some hundred."""


def read_recipe(source: str | Path | Mapping[str, object]) -> Recipe:
    """The recipe that `source` holds.

    Args:
        source: A path of a bundle or of a JSON file, or the object itself.

    Raises:
        EdgekitError: There is no such file, it is neither, or it holds no recipe that can be repeated.
    """
    if isinstance(source, Mapping):
        return recipe_from_json(source)
    path = Path(source)
    hint = "name a bundle that convert wrote, or a .json file with ranges and corrections"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgekitError(f"--recipe {path}: cannot be read: {error.strerror}", hint=hint) from error
    if path.suffix != ".json":
        return _of_bundle(data, path, hint)
    if len(data) > MOST_BYTES:
        raise EdgekitError(f"--recipe {path}: holds {len(data)} bytes, and no recipe has so many", hint=hint)
    try:
        said = parse(data, path.name)
    except MalformedBundleError as error:
        raise EdgekitError(f"--recipe {path}: {error}", hint=hint) from error
    if isinstance(said, Mapping) and isinstance(said.get("recipe"), Mapping):
        said = said["recipe"]  # a manifest or a report that holds one
    return recipe_from_json(said)


def _of_bundle(data: bytes, path: Path, hint: str) -> Recipe:
    try:
        recipe = read_unverified(data).manifest.recipe  # what is read says how to quantize, and runs nowhere
    except EdgekitError as error:
        raise EdgekitError(f"--recipe {path}: no bundle to take a recipe from: {error}", hint=hint) from error
    if recipe.get("effort") == "none":
        raise EdgekitError(
            f"--recipe {path}: its model came quantized, so that there is no recipe",
            hint="take a bundle that was converted from a float model",
        )
    return recipe_from_json(recipe)
