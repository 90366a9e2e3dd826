import os

from django.core.wsgi import get_wsgi_application

from craft import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "craft.settings")

application = get_wsgi_application()
logs.configure()
