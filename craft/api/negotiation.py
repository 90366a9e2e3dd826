from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class JSONAlways(BaseContentNegotiation):
    """The API speaks JSON, whatever `Accept` says: an error that a browser's default header caused would help nobody."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        for parser in parsers:
            if (request.content_type or parser.media_type).split(";")[
                0
            ].strip().lower() == parser.media_type:
                return parser
        return None

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)
