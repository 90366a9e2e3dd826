routes: list[tuple[str, type, str]] = []
