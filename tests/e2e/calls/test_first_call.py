"""The two lines that every user writes first, in both languages."""

from __future__ import annotations

import pytest
from support.hosts import RunningHost

from jshost.exceptions import FunctionError

CONFIG = {
    "host.config.py": """
include = ["host.config.js"]

def hello_python(name="World"):
    return f"Hello, {name}!"

functions = {"hello_python": hello_python}
""",
    "host.config.js": """
module.exports = {
  functions: {
    hello_world: function (data, cb) { cb(null, 'Hello, ' + (data.name || 'World') + '!'); },
    double: async ({number}) => {
      if (number == null) throw new Error('No number was provided');
      return number * 2;
    },
  },
};
""",
}


@pytest.mark.parametrize("name", ["hello_world", "hello_python"])
def test_a_function_answers(shared_host: RunningHost, name: str) -> None:
    function = shared_host.function(name)
    assert function.call() == "Hello, World!"
    assert function.call(name="Foo") == "Hello, Foo!"


def test_a_failure_reads_like_a_local_one(shared_host: RunningHost) -> None:
    double = shared_host.function("double")
    assert double.call(number=20) == 40
    with pytest.raises(FunctionError) as caught:
        double.call()
    error = caught.value
    assert (error.name, error.error_name) == ("double", "Error")
    assert error.message == "No number was provided"
    assert str(error).startswith("double: Error: No number was provided")
    assert "host.config.js:6" in str(error).splitlines()[-1]
