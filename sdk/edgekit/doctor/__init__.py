"""What a machine has to run bundles with, and how to mend what is missing.

`facts` looks (files, processes, the network never), `findings` decides, with no I/O at all, and `smoke` is a child
process that runs a model. ``edgekit doctor`` prints what they give.
"""
