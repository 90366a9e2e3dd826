import os

from django.core.asgi import get_asgi_application

from craft import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "craft.settings")

application = get_asgi_application()
logs.configure()
