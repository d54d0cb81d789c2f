"""The init of one host of a peer under test: starts the host's programs, starts each again after a moment when it ends, as systemd would,
and reaps whatever they leave behind at once. Usage: host-init.py FILE PARENT, FILE the JSON of `HostPrograms` in peer-host.ts, PARENT the
pid of the harness. Only this can be a subreaper (Node has no prctl): a postmaster that was killed is a zombie until its parent reaps it,
and some init processes take seconds to do so, in which a peer takes it for alive. It ends with its harness, and everything on the host with it.
Only Python's standard library, of which Patroni needs far more.
"""
import ctypes
import json
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# More starts than this within that time, and the program is given up.
START_LIMIT = 20
START_WINDOW_S = 60
# How often what is due is looked at, while no child ends.
TICK_S = 0.05
# A fork may slip in between a look and a kill; so many looks are far more than it takes.
KILL_ROUNDS = 200


class Program:
    def __init__(self, spec):
        self.spec = spec
        self.pid = None
        self.due = time.monotonic()
        self.starts = []

    def start(self):
        now = time.monotonic()
        self.due = None
        self.starts = [at for at in self.starts if now - at < START_WINDOW_S] + [now]
        if len(self.starts) > START_LIMIT:
            print(f"{self.spec['name']}: given up after {START_LIMIT} starts", flush=True)
            return
        log = (os.POSIX_SPAWN_OPEN, 1, self.spec["logFile"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), log, (os.POSIX_SPAWN_DUP2, 1, 2)]
        argv = self.spec["argv"]
        try:
            self.pid = os.posix_spawn(
                argv[0], argv, self.spec["env"], file_actions=actions, setsid=True, setsigmask=[]
            )
        except OSError as error:
            print(f"{self.spec['name']}: {error}", flush=True)
            self.ended()

    def ended(self):
        self.pid = None
        self.due = time.monotonic() + self.spec["restartAfterMs"] / 1000


def reap():
    """The pids of children that have ended."""
    pids = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return pids
        if pid == 0:
            return pids
        pids.add(pid)


def descendants():
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state not in (b"Z", b"X"):
                children.setdefault(int(parent), []).append(int(name))
    found, open_ = [], [os.getpid()]
    while open_:
        own = children.get(open_.pop(), [])
        found += own
        open_ += own
    return found


def kill_all():
    """All are stopped first, so that none sees another die and reacts."""
    for _ in range(KILL_ROUNDS):
        pids = descendants()
        for how in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass
        reap()
        if not pids:
            return
        time.sleep(0.01)


def main():
    file, parent = sys.argv[1:]
    waited = {signal.SIGCHLD, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):
        return  # the harness ended before it could be watched
    with open(file, encoding="utf8") as spec:
        programs = [Program(program) for program in json.load(spec)]
    while True:
        for program in programs:
            if program.due is not None and time.monotonic() >= program.due:
                program.start()
        taken = signal.sigtimedwait(waited, TICK_S)
        if taken is not None and taken.si_signo == signal.SIGTERM:
            kill_all()
            return
        ended = reap()
        for program in programs:
            if program.pid in ended:
                program.ended()


main()
