"""Features of single operating systems, each with what happens without it. Runs in: every process.

- `kept_lock`: send and receive without giving up the interpreter's lock (any libc, by ctypes).
  Without it, threads that call at the same time switch more often.
- `lifeline`: a pipe whose hang-up kills a worker (Linux, ``F_SETSIG``). Without it, a thread of the
  worker waits for the hang-up.
- `pollers`: epoll (Linux). Without it, the system's selector in the same words.
- `syn_filter`: a listener that drops new connections (Linux, BPF). Without it, a connection made at
  the very end of a host is reset.
- `unread`: whether a TCP socket has unread bytes, without a system call that gives up the lock
  (Linux, ``SO_MEMINFO``). Without it, `select.poll` tells.
"""
