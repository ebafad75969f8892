"""What functions print is written in whole lines, marked with their call."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from jshost.protocol.lines import LONGEST_LINE_BYTES, Line, LineSplitter, parse_line
from jshost.worker import context
from jshost.worker.output import MarkedStream


def lines_of(printed: bytes) -> list[Line]:
    splitter = LineSplitter()
    return [parse_line(raw) for raw in splitter.feed(printed) + splitter.end()]


class Pipe:
    """A worker's stdout, and its reader's end."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.stream = MarkedStream(self.writing)

    def text(self) -> str:
        """What was written since the last time."""
        try:
            return os.read(self.reading, 1 << 16).decode()
        except BlockingIOError:
            return ""


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reading)
    os.close(pipe.writing)


def make_call(name: str = "f", request_id: str = "1") -> context.CallContext:
    return context.CallContext(
        name, request_id, None, context.HostContext(ModuleType("config"), {})
    )


def inside(call: context.CallContext, function: Callable[..., object], *args: object) -> None:
    """Run the function as the call's."""
    running = contextvars.copy_context()
    running.run(context.enter, call)
    running.run(function, *args)


def test_outside_of_a_call_lines_are_plain(pipe: Pipe) -> None:
    print("loading", 1, file=pipe.stream)
    assert pipe.text() == "loading 1\n"


def test_each_line_of_a_call_is_marked(pipe: Pipe) -> None:
    inside(make_call(), lambda: print("a\nb\n\nc", file=pipe.stream))
    found = lines_of(pipe.text().encode())
    assert found == [Line(text, "f", "1") for text in ("a", "b", "", "c")]


def test_a_line_is_written_once_it_is_whole(pipe: Pipe) -> None:
    call = make_call()
    for part in ("one ", "line", " in parts"):
        inside(call, pipe.stream.write, part)
        pipe.stream.flush()
        assert pipe.text() == ""
    inside(call, pipe.stream.write, "\nand more")
    assert pipe.text() == "\x1ef\x1f1\x1eone line in parts\n"


def test_what_a_call_did_not_end_is_written_at_its_end(pipe: Pipe) -> None:
    call = make_call()
    inside(call, pipe.stream.write, "no end")
    inside(call, pipe.stream.end_call, call)
    assert pipe.text() == "\x1ef\x1f1\x1eno end\n"
    inside(call, pipe.stream.end_call, call)
    assert pipe.text() == ""


def test_lines_of_calls_at_the_same_time_do_not_mix(pipe: Pipe) -> None:
    one, two = make_call("f", "1"), make_call("g", "2")
    inside(one, pipe.stream.write, "one")
    inside(two, pipe.stream.write, "two\n")
    inside(one, pipe.stream.write, " more\n")
    assert pipe.text() == "\x1eg\x1f2\x1etwo\n\x1ef\x1f1\x1eone more\n"


def test_lines_of_threads_outside_of_calls_do_not_mix(pipe: Pipe) -> None:
    pipe.stream.write("main ")
    thread = threading.Thread(target=pipe.stream.write, args=["thread\n"])
    thread.start()
    thread.join()
    pipe.stream.write("thread's\n")
    assert pipe.text() == "thread\nmain thread's\n"


def test_many_threads_write_whole_lines() -> None:
    pipe = Pipe()
    os.set_blocking(pipe.reading, True)
    calls = [make_call("f", str(number)) for number in range(8)]

    def work(call: context.CallContext) -> None:
        for number in range(200):
            for part in (call.request_id, " ", str(number), "\n"):
                pipe.stream.write(part)

    def work_all() -> None:
        threads = [threading.Thread(target=inside, args=[call, work, call]) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.close(pipe.writing)

    writer = threading.Thread(target=work_all)
    writer.start()
    with os.fdopen(pipe.reading, "rb") as reader:
        found = lines_of(reader.read())
    writer.join()
    for call in calls:
        texts = [line.text for line in found if line.request_id == call.request_id]
        assert texts == [f"{call.request_id} {number}" for number in range(200)]
    assert len(found) == 8 * 200


def test_a_line_without_end_does_not_wait_for_ever(pipe: Pipe) -> None:
    long = "x" * (LONGEST_LINE_BYTES - 100)
    inside(call := make_call(), pipe.stream.write, long)
    assert pipe.text() == ""
    writing = threading.Thread(target=inside, args=[call, pipe.stream.write, "y" * 200])
    writing.start()
    os.set_blocking(pipe.reading, True)
    found = ""
    while not found.endswith("\n"):
        found += pipe.text()
    writing.join()
    assert found == f"\x1ef\x1f1\x1e{long}{'y' * 200}\n"


def test_what_utf_8_cannot_say_is_escaped(pipe: Pipe) -> None:
    pipe.stream.write("\ud800 alone\n")
    assert pipe.text() == "\\ud800 alone\n"


def test_it_is_what_programs_expect_of_stdout(pipe: Pipe) -> None:
    stream = pipe.stream
    assert stream.fileno() == pipe.writing
    assert (stream.isatty(), stream.writable(), stream.encoding) == (False, True, "utf-8")
    assert stream.write("ü\n") == 2
    stream.writelines(["a\n", "b\n"])
    stream.buffer.write(b"raw\n")
    assert pipe.text() == "ü\na\nb\nraw\n"
    with pytest.raises(TypeError):
        stream.write(b"bytes\n")  # type: ignore[arg-type]
