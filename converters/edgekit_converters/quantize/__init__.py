"""float .tflite + ranges -> int8 .tflite.

`legalize` rewrites operators that have no int8 kernel, `engine` hands the ranges to TensorFlow's quantizer,
`corrections` moves biases, and `candidates` compares what came out with the float model and keeps the best.
"""
