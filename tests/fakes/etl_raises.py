"""
An ETL script that ends with a chained traceback.
"""


def parse(row):
    return row["total"] * 2


try:
    parse({"id": 1})
except KeyError as error:
    raise ValueError("order 1 has no total") from error
