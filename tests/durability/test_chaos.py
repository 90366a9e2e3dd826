"""Two minutes of `make chaos`: everything breaks while executions of five shapes run, and nothing is lost, stuck or doubled."""

import sys

from django.conf import settings

from tests.durability.chaos import Blows, Chaos, own_rig


def test_nothing_is_lost_when_everything_breaks(tmp_path, outside, seed):
    sys.stdout.write(f"seed {seed}\n")
    outside.forget()
    embedded = not settings.REDIS_URL
    blows = Blows(3) if embedded else Blows(4, flushes=1, absences=(3.0,), stops=1)
    with own_rig(tmp_path, outside, embedded=embedded) as (rig, postgres, redis):
        chaos = Chaos(
            rig,
            outside,
            executions=250,
            blows=blows,
            seed=seed,
            postgres=postgres,
            redis=redis,
        )
        sys.stdout.write(f"{chaos.run()}\n")
