def sweep() -> None:
    """Called every two seconds in each worker process; see `settings.CRAFT_SWEEPS`."""
    from agents import services

    services.fail_lost_executions()
