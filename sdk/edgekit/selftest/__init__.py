"""The self-test: a bundle's golden inputs, run in a sandboxed child process before an application relies on it.

A signature says who made a bundle; the self-test says that this machine computes what its maker's did. A runtime that
crashes, hangs or eats the memory does so in the child, and the application gets a SelfTestError.
"""

from __future__ import annotations

from edgekit.selftest.conduct import planned, self_test
from edgekit.selftest.report import Planned, SelfTestReport, record_key

__all__ = ["Planned", "SelfTestReport", "planned", "record_key", "self_test"]
