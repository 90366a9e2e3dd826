import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from craft.api.docs import document_path
from craft.api.schema import DOCUMENTS, build_document, complaints


class Command(BaseCommand):
    help = "Write the OpenAPI document of each base path into openapi/."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="Write nothing; fail if a document is no longer true.",
        )

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        stale = []
        for name in DOCUMENTS:
            path, text = document_path(name), as_text(build_document(name))
            if guesses := complaints():
                raise CommandError(
                    "The document would hold guesses. Say more in the code:\n"
                    + "\n".join(guesses)
                )
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            stale.append(path.name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
        if check and stale:
            raise CommandError(
                f"The API has changed and {' and '.join(stale)} has not. Run `make openapi` and commit the result."
            )
        self.stdout.write(f"{len(stale)} of {len(DOCUMENTS)} documents were written.")


def as_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
