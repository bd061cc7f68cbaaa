"""The deployment file: parse, check, explain, translate.

`load(path)` gives a `Plan`, or raises `SdlErrors` with everything that is wrong. A new field is: a line in the tables
of its versions (`v01_tables`, `v2_tables`), a place in `draft`, what has to hold in `checks`, and its meaning in
`translate`.
"""

from .load import RATES, VERSIONS, Plan, load
from .problems import Notice, Place, Problem, SdlErrors

__all__ = ["RATES", "VERSIONS", "Notice", "Place", "Plan", "Problem", "SdlErrors", "load"]
