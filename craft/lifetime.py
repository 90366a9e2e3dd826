"""How long a process lives: no longer than the one that started it, and, as a worker, until somebody says stop."""

import os
import threading
import time
from mmap import mmap


def leave_with(parent: int) -> None:
    """End this process when `parent` is gone, killed with -9 too: nobody is left holding the port."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="leave-with-parent", daemon=True).start()


class Stopping:
    """Whether this worker is about to stop. Seen by the processes that it forked, too."""

    def __init__(self) -> None:
        self._memory = mmap(-1, 1)  # shared with what is forked from here

    def __bool__(self) -> bool:
        return self._memory[0] == 1

    def set(self, is_stopping: bool) -> None:
        self._memory[0] = is_stopping


stopping = Stopping()
