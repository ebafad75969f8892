"""NumPy's and pandas' objects in JSON. Runs in: callers, Python workers.

=======================  ======================================================================
NumPy scalar             its Python value; `datetime64` as ISO 8601, NaT as null
NumPy array              nested lists, by `tolist()`
pandas DataFrame         a list of objects, one for each row; the index is left out
pandas Series, Index     a list
=======================  ======================================================================

In pandas, NaN, None, NaT and NA all mean that a value is missing: they become null. In NumPy, NaN
is a number, and an error like any other NaN.

Neither library is imported here: a program that has their objects has imported it.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["NOT_THEIRS", "plain_of_table"]

NOT_THEIRS: Any = object()
"""What `plain_of_table` returns for other values."""


def plain_of_table(o: Any) -> Any:
    """A plain value to encode instead of `o`, or `NOT_THEIRS`."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and hasattr(pandas, "NA"):  # else it is just being imported
        if isinstance(o, pandas.DataFrame):
            return _without_missing(o).to_dict(orient="records")
        if isinstance(o, pandas.Series | pandas.Index):
            return _without_missing(pandas.Series(o)).tolist()
        if o is pandas.NaT or o is pandas.NA:
            return None
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "generic"):
        return NOT_THEIRS
    is_array = isinstance(o, numpy.ndarray)
    if not is_array and (not isinstance(o, numpy.generic) or isinstance(o, bytes | numpy.void)):
        return NOT_THEIRS
    if o.dtype.kind != "M":
        return o.tolist() if is_array else o.item()
    if not is_array:
        return None if numpy.isnat(o) else str(o)
    return numpy.where(numpy.isnat(o), None, o.astype(str)).tolist()


def _without_missing(table: Any) -> Any:
    plain = table.astype(object)
    return plain.where(plain.notna(), None)
