"""`diagnose`: which layers lose what in int8, why, and what would help.

- `closing`: the softmax that closes a network is left out.
- `blocks`: where the float and the int8 model can both be cut.
- `hybrid`: stretches of the network, in float or in int8, and the tensors that pass between them.
- `ablation`: each layer alone in int8, each alone in float, and its share of the final error.
- `score`: how far outputs are from those of float.
- `local`, `written`: what happens inside of a layer, and what it wrote.
- `channels`, `lone`: dead and coarse channels; ranges that a single sample set.
- `layering`: blocks as people know them. `findings`: from figures to advice. `record` is the whole, `text` and `page`
  show it.
- `conduct` conducts.
"""
