"""The deployment file: parse, check, explain, translate.

`load(path)` gives a `Plan`, or raises `SdlErrors` with everything that is wrong. A new field is: a line in the tables
of its versions (`v01_tables`, `v2_tables`; what both have alike, such as most fields of a service, in `common`), how it
is read (`v01`, `v2`, or `common` for both), a place in `draft`, what has to hold between fields in `checks`, its
meaning in `translate`, and a field of `photon_core/manifest/records.py` if the provider must know of it.
"""

from .load import RATES, VERSIONS, Plan, load
from .problems import Notice, Place, Problem, SdlErrors

__all__ = ["RATES", "VERSIONS", "Notice", "Place", "Plan", "Problem", "SdlErrors", "load"]
