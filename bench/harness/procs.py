# SPDX-License-Identifier: Apache-2.0
"""Processes that the bench starts, and what /proc says about them.

CPU time is utime + stime of every process of a group, and of its children that ended and were waited
for, so that nothing is lost when a worker is replaced.
"""

import os
import signal
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Process:
    """One program and all its descendants; its output goes to a log that is shown when it fails."""

    def __init__(self, name, argv, directory, env=None):
        self.name = name
        self.again = (name, argv, directory, env)
        self.log_path = os.path.join(directory, name + ".log")
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        environment.update(env or {})
        with open(self.log_path, "wb") as log:
            self.popen = subprocess.Popen(
                argv, env=environment, cwd=directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def restarted(self):
        """A new process in place of this one."""
        self.stop()
        return Process(*self.again)

    def is_running(self):
        return self.popen.poll() is None

    def log_tail(self, lines=8):
        with open(self.log_path, errors="replace") as log:
            return "".join("    " + line for line in log.readlines()[-lines:])

    def pids(self):
        """This process and its descendants, as of now."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = _stat(entry)
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(entry))
        found, queue = [], [self.popen.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue.extend(children.get(pid, []))
        return found

    def cpu_us(self):
        ticks = 0
        for pid in self.pids():
            fields = _stat(pid)
            if fields:
                ticks += sum(int(fields[i]) for i in (11, 12, 13, 14))
        return ticks * 1_000_000 // TICKS_PER_SECOND

    def memory_kib(self, key):
        """Sum of a line of /proc/PID/status (VmHWM, RssAnon) over the group."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/status") as status:
                    for line in status:
                        if line.startswith(key + ":"):
                            total += int(line.split()[1])
            except OSError:
                pass
        return total

    def reset_peak(self):
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/clear_refs", "w") as refs:
                    refs.write("5")
            except OSError:
                pass

    def stop(self, seconds=5):
        if self.is_running():
            self.popen.terminate()
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)
                self.popen.wait()


def _stat(pid):
    """The fields of /proc/PID/stat from the state on; the name before it may hold anything."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()
    except OSError:
        return None


def wait_until(condition, seconds, step=0.02):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True
