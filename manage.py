#!/usr/bin/env python
import gc
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036  # an older Python gets this far, and should be told
    sys.exit(f"Craft needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

# What loading makes stays: to look through it for garbage again and again takes a tenth of the start. `craft.apps` ends this.
gc.disable()

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "craft.settings")
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:  # in the midst of loading, too
        sys.exit(130)
