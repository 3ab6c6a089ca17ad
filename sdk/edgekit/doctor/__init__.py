"""What a machine has to run bundles with, and how to mend what is missing.

`facts` looks, with `coral` for Edge TPUs and `libraries` for what is installed: files and processes, the network never.
`smoke` and `pairing` try a model in child processes. `findings` decides, with no I/O at all, by `runtimes`,
`accelerators` and `pairs`, with the lines of `remedies`. ``edgekit doctor`` prints what they give, by `text`.
"""
