"""The self-test: a bundle's golden inputs, run in a sandboxed child process before an application relies on it.

A signature says who made a bundle; the self-test says that this machine computes what its maker's did. A runtime that
crashes, hangs or eats the memory does so in the child, and the application gets a SelfTestError.

::

    planning   what it would run on, and whether that is on record: all that most loads need
    conduct    `self_test`: starts the child, and judges its answers
    golden     the recorded inputs and answers
    sandbox    what the child may do; ``landlock`` and ``process`` hold it to that
    child      the child
    report     what came out
"""
