"""Microcontrollers: a model as C sources for TensorFlow Lite Micro, and the same model run in it on the workstation.

``export`` writes a C array, a configuration with the size of the arena, and the list of operators. ``tflm`` runs a model
in the Python package tflite-micro (the extra "micro"), which has the runtime's reference kernels; ``certify`` compares
the answers with LiteRT's, and ``vela_row`` puts Vela's estimate for an Ethos-U into the same form.
"""
