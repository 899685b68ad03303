"""How each claim of the papers is tested, one file for each kind of ground it rests on.

A test maps the evidence of one results tree to the effects the claim consists of. Adding one is
adding a function to the `TESTS` of a file here.
"""

from collections.abc import Mapping

from repro.report.claim_tests import (
    ddf_accuracy,
    ddf_compared,
    ddf_counted,
    ddf_timed,
    ddf_upsampling,
    detection,
    fdconv_compared,
    segmentation,
)
from repro.report.evidence import Test

TESTS: Mapping[str, Test] = {
    **ddf_accuracy.TESTS,
    **ddf_compared.TESTS,
    **ddf_counted.TESTS,
    **ddf_timed.TESTS,
    **ddf_upsampling.TESTS,
    **detection.TESTS,
    **fdconv_compared.TESTS,
    **segmentation.TESTS,
}

__all__ = ["TESTS"]
