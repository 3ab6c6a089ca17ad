"""Certifying a bundle: its answers on x86-64 beside those on the emulated processors of its boards.

`boards` says which boards a target stands for, `recipes` what their systems hold, `sysroot` builds these into a cache,
`emulator` runs a program in one, `trial` runs a model on one board, `compare` judges, and `certificate` is the record
that goes into the bundle. `certifying` conducts.
"""
