"""The few functions of scipy.special that the numbers need, at half of what importing it costs.

scipy copies every attribute of numpy as it is imported, and numpy makes some of them only when asked: `f2py`, a front
end for Fortran, takes a fifth of a second of each command. Here numpy has none of it for as long as scipy looks.
"""

from __future__ import annotations

import numpy

_hidden = "f2py" not in vars(numpy)
if _hidden:
    vars(numpy)["f2py"] = None
try:
    from scipy.special import bdtr, nctdtrinc, ndtri, stdtr, stdtrit
finally:
    if _hidden and vars(numpy).get("f2py") is None:
        del vars(numpy)["f2py"]

__all__ = ["bdtr", "nctdtrinc", "ndtri", "stdtr", "stdtrit"]
