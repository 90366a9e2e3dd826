"""A process that lives no longer than the one that started it."""

import os
import threading
import time


def leave_with(parent: int) -> None:
    """End this process when `parent` is gone, killed with -9 too: nobody is left holding the port."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="leave-with-parent", daemon=True).start()
