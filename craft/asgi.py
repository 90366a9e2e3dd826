import os
import warnings

from django.core.asgi import get_asgi_application

from craft import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "craft.settings")

# Without `collectstatic` WhiteNoise finds the files where the apps keep them, and that is how the embedded default runs.
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)

application = get_asgi_application()
logs.configure()
