"""What each layer of an int8 model does to the error of the outputs, measured by running the two models in parts.

Three figures a layer, all on the relative power of the output error, ``|int8 - float|^2 / |float|^2``, averaged over
samples and outputs as `score` says:

- **alone**: only this layer computes in int8, everything before and behind it in float; the error that is left is its
  own, the rounding of what it reads included. This is the one-at-a-time sensitivity by which mixed precision is chosen
  (Wu et al. 2020, "Integer quantization for deep learning inference: principles and empirical evaluation",
  arXiv:2004.09602, section 5.1 "partial quantization").
- **gain**: all layers but this one compute in int8; by how many dB the output's SQNR rises. Its output is not rounded
  either: the layers that read it take it in float, with the weights that the int8 model has, for else a range that is
  set badly would be nobody's fault.
- **share** of the final error. With the layers up to k in int8 and the rest in float, the output error is e_k; layer k
  adds d_k = e_k - e_(k-1), and these add up to the final error e. Its share is <d_k, e> / <e, e>. The shares sum to 1
  by construction, and where the rest of the network is linear in these small errors they are the Shapley values (Shapley
  1953) of the error's power: each layer gets its own power and half of what it shares with every other. A share below
  zero means that the layer takes back error that others made, as a bias correction is meant to.

Decision 0014 has what they say of real networks, and the options that lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit_converters.diagnosis.hybrid import Hybrid, State, through
from edgekit_converters.diagnosis.local import Local, measure
from edgekit_converters.diagnosis.score import Outputs, Score, difference
from edgekit_converters.diagnosis.written import Written, look
from edgekit_converters.runner import Runner


@dataclass(frozen=True, slots=True)
class Effect:
    """What one block does to the outputs.

    Attributes:
        alone: Relative power of the output error where only this block is int8.
        without: The same where all but this block is int8.
        upto: The same where this block and all before it are int8.
        share: Of the final error; all shares sum to 1, or are 0 where there is no error.
        local: What happens inside of the block.
        written: The int8 tensor that it writes, beside the float one; None where it writes none.
    """

    alone: float
    without: float
    upto: float
    share: float
    local: Local
    written: Written | None


def ablate(
    hybrid: Hybrid, samples: Sequence[State], step: Callable[[int], None] = lambda _: None
) -> list[Effect]:
    """Takes a network apart, block by block.

    Args:
        hybrid: The float and the int8 model.
        samples: Float model inputs by name, batch 1. The tensors alive at one cut, in float and in int8, are kept for
            all of them at a time.
        step: Called with 1 after each block.

    Returns:
        One record a block.
    """
    chain = hybrid.chain
    whole = Score.of(hybrid, samples)
    power = whole.product(whole.error, whole.error)
    exact: list[State] = [{name: sample[name] for name in chain.blocks[0].reads} for sample in samples]
    rough: list[State] = [hybrid.store(state) for state in exact]
    before: list[Outputs] = [
        {name: np.zeros_like(value) for name, value in output.items()} for output in whole.expected
    ]
    effects = []
    for number in range(len(chain.blocks)):
        effect, exact, rough, before = _block(hybrid, number, whole, exact, rough, before)
        effects.append(replace(effect, share=effect.share / power if power > 0 else 0.0))
        hybrid.forget(number)
        step(1)
    return effects


def _block(
    hybrid: Hybrid,
    number: int,
    whole: Score,
    exact: Sequence[State],
    rough: Sequence[State],
    before: Sequence[Outputs],
) -> tuple[Effect, list[State], list[State], list[Outputs]]:
    """Measures one block, and steps over it.

    Args:
        hybrid: The models.
        number: Of the block.
        whole: The outputs of both models.
        exact: The float model's tensors before the block, of each sample.
        rough: The int8 model's.
        before: The output error with all blocks before this one in int8.

    Returns:
        The effect, its share not yet divided by the power of the whole error, and what the three last arguments are
        behind the block.
    """
    chain = hybrid.chain
    alive, outputs = chain.alive[number], frozenset(chain.outputs)
    rest = hybrid.stretch("float", number + 1, len(chain.blocks) - 1)

    def finish(states: Iterable[State]) -> list[Outputs]:
        return [through(rest, state, outputs) for state in states]

    local = measure(hybrid, number, exact)
    int8, real = hybrid.block("int8", number), hybrid.block("float", number)
    after: list[State] = [through(real, state, alive) for state in exact]
    after8: list[State] = [through(int8, state, alive) for state in rough]
    alone = finish(_alone(hybrid, number, int8, *pair) for pair in zip(exact, after, strict=True))
    reached = finish(hybrid.real(state) for state in after8)
    error: list[Outputs] = [difference(*pair) for pair in zip(reached, whole.expected, strict=True)]
    added = [difference(*pair) for pair in zip(error, before, strict=True)]
    without = list(_without(hybrid, number, rough, exact if number == 0 else None))
    effect = Effect(
        alone=whole.relative(alone),
        without=whole.relative(without),
        upto=whole.product(error, error),
        share=whole.product(added, whole.error),
        local=local,
        written=_written(hybrid, number, after, after8),
    )
    return effect, after, after8, error


def _written(hybrid: Hybrid, number: int, exact: Sequence[State], rough: Sequence[State]) -> Written | None:
    """Looks at the last quantized tensor that a block writes."""
    chain = hybrid.chain
    names = [name for name in chain.blocks[number].writes if name in chain.scales]
    return look(names[-1], *chain.scales[names[-1]], exact, rough) if names else None


def _alone(hybrid: Hybrid, number: int, int8: Runner | None, before: State, after: State) -> State:
    """The float tensors behind a block which alone computes in int8."""
    block = hybrid.chain.blocks[number]
    inputs = hybrid.store({name: before[name] for name in block.reads})
    written = hybrid.real(through(int8, inputs, frozenset(block.writes)))
    return {**after, **written}


def _without(
    hybrid: Hybrid, number: int, rough: Sequence[State], inputs: Sequence[State] | None
) -> Iterator[Outputs]:
    """The outputs where all blocks but one compute in int8, and those that read it take what it wrote in float.

    Args:
        hybrid: The models.
        number: Of the block.
        rough: The int8 model's tensors before it, of each sample.
        inputs: For the block of the inputs, what they were before they were rounded.
    """
    chain = hybrid.chain
    readers = chain.readers(number)
    steps: list[tuple[int, Runner | None]] = []  # the last block of a stretch, and the stretch
    first = number + 1
    for reader in [*readers, len(chain.blocks)]:
        if reader > first:
            steps.append((reader - 1, hybrid.stretch("int8", first, reader - 1)))
        if reader < len(chain.blocks):
            steps.append((reader, hybrid.block("rounded", reader)))
        first = reader + 1
    block, outputs = chain.blocks[number], frozenset(chain.outputs)
    real = hybrid.block("float", number)
    for row, state in enumerate(rough):
        taken = inputs[row] if inputs else hybrid.real({name: state[name] for name in block.reads})
        written = through(real, taken, frozenset(block.writes))
        stored = {name: value for name, value in state.items() if name not in written}
        for last, runner in steps:
            if last in readers:
                reads = chain.blocks[last].reads
                known = hybrid.real({name: stored[name] for name in reads if name not in written})
                known |= {name: written[name] for name in reads if name in written}
                made = through(runner, known, frozenset(chain.blocks[last].writes))
                stored |= hybrid.store({n: v for n, v in made.items() if n not in written})
            else:
                kept = chain.alive[last].difference(written)
                stored = through(runner, stored, kept)
        yield {**hybrid.real({n: stored[n] for n in outputs if n not in written}), **_of(written, outputs)}


def _of(state: State, names: frozenset[str]) -> Outputs:
    return {name: value for name, value in state.items() if name in names}
