"""The few functions of scipy.special that the numbers need, at half of what importing it costs.

scipy copies every attribute of numpy as it is imported, and numpy makes some of them only when asked: `f2py`, a front
end for Fortran, takes a fifth of a second of each command. Here numpy has none of it for as long as scipy looks.
"""

from __future__ import annotations

import sys

import numpy

_names = sys.modules[numpy.__name__].__dict__
_hidden = "f2py" not in _names
if _hidden:
    _names["f2py"] = None
try:
    from scipy.special import bdtr, betainc, betaincinv, nctdtrinc, ndtr, ndtri, stdtr, stdtrit
finally:
    if _hidden and _names.get("f2py") is None:
        del _names["f2py"]

__all__ = ["bdtr", "betainc", "betaincinv", "nctdtrinc", "ndtr", "ndtri", "stdtr", "stdtrit"]
