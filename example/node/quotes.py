"""A data vendor's table: loaded once, looked up many times. Runs in: Python workers."""

import random

DAYS = 1000
SYMBOLS = [f"S{number:03d}" for number in range(200)]


def _load():
    """Stands for the minute that a vendor's SDK takes to connect and to fetch."""
    prices = random.Random(1)
    table = {}
    for symbol in SYMBOLS:
        price = 100.0
        table[symbol] = []
        for _ in range(DAYS):
            price *= 1 + prices.uniform(-0.02, 0.02)
            table[symbol].append(round(price, 2))
    return table


table = _load()
print(f"loaded {len(table)} symbols")


def quote(symbol, day=DAYS - 1):
    if symbol not in table:
        raise KeyError(symbol)
    return {"symbol": symbol, "day": day, "price": table[symbol][day]}


def best(count=3):
    """The symbols that have risen most, with their factors."""
    factors = {symbol: prices[-1] / prices[0] for symbol, prices in table.items()}
    found = sorted(factors, key=factors.__getitem__, reverse=True)[:count]
    return [{"symbol": symbol, "factor": round(factors[symbol], 2)} for symbol in found]
