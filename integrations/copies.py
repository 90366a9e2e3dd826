from craft.copies import Copied, Copies
from integrations.models import Credential

COPIES: Copies = {
    # A sandbox knows its credentials by name, so that its workflows hold together, and uses nobody's secret: it has none until somebody gives it one there.
    Credential: Copied(
        anew={"sealed": "", "secret_fields": [], "rotated_at": None},
    ),
}
