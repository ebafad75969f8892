"""pandas describes a CSV file. Runs in: Python workers. Needs: pip install pandas"""

import io

import pandas


def describe(csv, column):
    """Statistics of one column, and the first rows, of a CSV file that came as bytes."""
    table = pandas.read_csv(io.BytesIO(csv))
    return {"statistics": table[column].describe().to_dict(), "head": table.head(2)}
