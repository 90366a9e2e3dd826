import os
import warnings

from django.core.wsgi import get_wsgi_application

from craft import logs
from craft.api.light import LightLane

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "craft.settings")

# Without `collectstatic` WhiteNoise finds the files where the apps keep them, and that is how the embedded default runs.
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)

django = get_wsgi_application()
application = LightLane(django)
logs.configure()
