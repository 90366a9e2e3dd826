"""Every setting, read from the environment; `docs/configuration.md` describes each. Combinations that can't work stop the start (`craft/checks.py`)."""

import hmac
import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext
import environ
from django.templatetags.static import static

if sys.platform == "linux":
    # Before 3.51.3 SQLite can corrupt a database in WAL mode, and the system's is often older: the wheel brings its own.
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- Where things are kept ---

VAR_DIR = Path(env.str("CRAFT_VAR_DIR", default=str(BASE_DIR / "var"))).resolve()
VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)


def _kept_secret(name: str) -> str:
    """A secret of this installation: made once into var/, readable by its owner only."""
    path = VAR_DIR / name
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()


PORT = env.int("PORT", default=8000)
REDIS_URL = env.str("REDIS_URL", default="")
EMBEDDED = not REDIS_URL  # web, worker and scheduler share one process
PUBLIC_URL = env.str("CRAFT_PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
SECRET_KEY = env.str("CRAFT_SECRET_KEY", default="") or _kept_secret("secret_key")
SECRET_KEY_IS_SHARED = bool(env.str("CRAFT_SECRET_KEY", default=""))
ENCRYPTION_KEYS = env.str("CRAFT_ENCRYPTION_KEYS", default="")
API_KEY_PEPPER = (
    env.str("CRAFT_API_KEY_PEPPER", default="")
    or hmac.new(SECRET_KEY.encode(), b"craft.api-keys", "sha256").hexdigest()
)
DEBUG = False

ALLOWED_HOSTS = [
    *env.list("CRAFT_ALLOWED_HOSTS", default=[]),
    *{"127.0.0.1", "localhost", "[::1]", urlsplit(PUBLIC_URL).hostname or "localhost"},
]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https")
    if env.bool("CRAFT_BEHIND_PROXY", default=False)
    else None
)
X_FRAME_OPTIONS = "DENY"

# --- What browsers are told (craft/security.py has the rest) ---

IS_HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if (
    IS_HTTPS
):  # a browser takes these names from this very host over https, and from nobody else
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
CSRF_FAILURE_VIEW = "craft.api.exceptions.csrf_failed"
SECURE_SSL_REDIRECT = IS_HTTPS and SECURE_PROXY_SSL_HEADER is not None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # asked by this machine itself
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # what other hosts of the domain do is not ours to promise,
    "security.W021",  # and nor is a place in the browsers' own lists
]

CORS_URLS_REGEX = r"^/(api|v1)/"
CORS_ALLOWED_ORIGINS = env.list("CRAFT_CORS_ORIGINS", default=[])
CORS_ALLOW_ALL_ORIGINS = not CORS_ALLOWED_ORIGINS
CORS_ALLOW_CREDENTIALS = (
    False  # a page elsewhere shows a key, and never rides on a session
)
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key"]
CORS_EXPOSE_HEADERS = [
    "Idempotent-Replayed",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-Craft-Mode",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
]

# --- What is installed ---

CRAFT_APPS = [  # each may have routes, pages and settings pages in its urls.py
    "accounts",
    "billing",
    "integrations",
    "datasources",
    "agents",
    "workflows",
    "compliance",
    "deployments",
]
INSTALLED_APPS = [
    "craft",  # before the theme and the admin, whose templates it refines
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    *CRAFT_APPS,
]

CRAFT_LIGHT_MIDDLEWARE = [  # what this says on every answer, light calls say too
    "craft.middleware.RequestIdMiddleware",
    "craft.security.SecurityHeadersMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "craft.middleware.ModeMiddleware",
    "craft.api.limits.RateHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.common.CommonMiddleware",
]
MIDDLEWARE = [
    *CRAFT_LIGHT_MIDDLEWARE,
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "craft.urls"
WSGI_APPLICATION = "craft.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "craft.pages.public_url",
            ],
        },
    },
]

# --- Rows ---

DATABASES = {
    "default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'craft.sqlite3'}")
}
DATABASE_IS_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
if DATABASE_IS_SQLITE:
    # DRF and the console's theme try to load these, and with them psycopg, which takes a twentieth of the start and is for nothing here.
    sys.modules["django.contrib.postgres.fields"] = None  # type: ignore[assignment]
    DATABASES["default"]["ENGINE"] = "craft.sqlite"
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",  # a transaction that turns into a writer half-way fails at once with "locked"
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000; PRAGMA temp_store=MEMORY;",
    }
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MEDIA_ROOT = VAR_DIR / "media"

CACHES: dict[str, dict[str, object]] = {
    "default": (
        {
            "BACKEND": "craft.caches.RedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

CRAFT_LIGHT_CALLS = [  # see craft/api/light.py
    "workflows.light.TRIGGER",
    "workflows.light.EXECUTE",
    "workflows.light.LIST",
    "workflows.light.READ",
]
CRAFT_EAGER_STARTS = env.bool("CRAFT_EAGER_STARTS", default=True)
CRAFT_CREDENTIAL_USES = [  # (credential) -> what names it, by their dotted paths
    "workflows.services.credentials.uses_of",
]
CRAFT_WARM_UPS = [  # what a server process does once it answers, and before somebody waits for it
    "datasources.services.warm_up",
    "workflows.nodes.outside.warm_up",
    "agents.llm.warm_up",
]

# --- Background work: rows are the truth, a message is a nudge ---

CRAFT_SWEEPS: list[
    str
] = [  # functions that each worker calls every two seconds, by their dotted paths
    "workflows.tasks.sweep",
    "agents.tasks.sweep",
    "accounts.tasks.sweep",
    "accounts.services.audit.seal_entries",
]
CELERY_DB_REUSE_MAX = 10**9  # tasks; craft/celery.py looks after connections
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 120} if REDIS_URL else {"polling_interval": 0.02}
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = (
    "celery.beat:Scheduler"  # in memory: every entry is a nudge that may repeat
)
CELERY_TASK_DEFAULT_QUEUE = "short"
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "forget-what-is-over": {
        "task": "accounts.tasks.forget_what_is_over",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "clean-up": {
        "task": "craft.tasks.clean_up",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "forget-what-was-seen": {
        "task": "workflows.tasks.forget_what_was_seen",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "forget-old-executions": {
        "task": "workflows.tasks.forget_old_executions",
        "schedule": 600.0,
        "options": {"expires": 300},
    },
    "fire-due-schedules": {
        "task": "workflows.tasks.fire_due_schedules",
        "schedule": 1.0,
        "options": {"expires": 5},
    },
}

# --- People ---

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.authentication.SlowedBackend"]
GUESSES_PER_HOUR = {  # half of them at once; see accounts/services/guesses.py
    "account": 20,  # wrong passwords for one account, from all addresses that it is not known at
    "known_address": 60,  # and from one that it is
    "address": 120,  # wrong passwords and tokens from one address
    "registration": 60,  # from one address
}
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=10),
    "ALGORITHM": "HS256",
    "ISSUER": "craft",
    "AUDIENCE": "craft-api",
    "USER_ID_CLAIM": "sub",
    "TOKEN_TYPE_CLAIM": "typ",
}
REFRESH_TOKEN_LIFETIME = timedelta(days=30)

# --- The API ---

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.BearerAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasAccess"],
    "DEFAULT_PARSER_CLASSES": ["craft.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["craft.api.envelopes.EnvelopeRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "craft.api.negotiation.JSONAlways",
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_PAGINATION_CLASS": "craft.api.pagination.ContractPagination",
    "DEFAULT_FILTER_BACKENDS": ["craft.api.filters.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "craft.api.schema.ContractSchema",
    "EXCEPTION_HANDLER": "craft.api.exceptions.handle_exception",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
API_ALLOWANCE = "billing.services.get_allowance"  # (company) -> what its plan allows
API_WITHOUT_PLAN = [  # what people who are signed in reach on a plan without the API: their account, the company, and a better plan
    "auth",
    "account",
    "companies",
    "invitations",
    "billing",
]
API_CEILING_PER_MINUTE = env.int(
    "CRAFT_CEILING_PER_MINUTE", default=600_000
)  # for companies whose plan sets no limit
API_PUBLIC_PER_MINUTE = 300  # calls without a key, per address
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
SANDBOX_JOBS = env.int(
    "CRAFT_SANDBOX_JOBS", default=max(2, os.cpu_count() or 2)
)  # children at once, per process
EXECUTION_RETENTION_DAYS = env.int("CRAFT_EXECUTION_RETENTION_DAYS", default=0)
EVENT_STREAM_SECONDS = env.float("CRAFT_EVENT_STREAM_SECONDS", default=300.0)
UPLOAD_MAX_BYTES = env.int("CRAFT_UPLOAD_MAX_BYTES", default=100 * 1024 * 1024)

SPECTACULAR_SETTINGS = {
    "TITLE": "Craft API",
    "DESCRIPTION": "Build agents and workflows, connect data, run them and see what they did.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # it reads both base paths as one document; `manage.py openapi --check` reads each
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "GET_LIB_DOC_EXCLUDES": "craft.api.schema.docs_to_ignore",
    "POSTPROCESSING_HOOKS": [],  # craft/api/schema.py finishes the document
}

# --- The outside world ---

OUTBOUND_ALLOW = env.list("CRAFT_OUTBOUND_ALLOW", default=[])
SANDBOX_ALLOW = env.list(
    "CRAFT_SANDBOX_ALLOW", default=[]
)  # hosts that a sandbox may call
OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="https://api.openai.com/v1")
ANTHROPIC_API_KEY = env.str("ANTHROPIC_API_KEY", default="")
ANTHROPIC_BASE_URL = env.str("ANTHROPIC_BASE_URL", default="https://api.anthropic.com")
S3_ENDPOINT_URL = env.str("AWS_ENDPOINT_URL", default="")
S3_ACCESS_KEY_ID = env.str("AWS_ACCESS_KEY_ID", default="")
S3_SECRET_ACCESS_KEY = env.str("AWS_SECRET_ACCESS_KEY", default="")
S3_REGION = env.str("AWS_REGION", default="us-east-1")
S3_BUCKETS = env.list(
    "CRAFT_S3_BUCKETS", default=[]
)  # the buckets that workflows may write to

# --- Mail ---

MAIL_IS_KEPT = not env.str("EMAIL_URL", default="")  # in files, for the operator
if MAIL_IS_KEPT:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(VAR_DIR / "mail")
else:
    vars().update(env.email_url("EMAIL_URL"))
EMAIL_TIMEOUT = 10
EMAIL_USE_LOCALTIME = False
DEFAULT_FROM_EMAIL = env.str(
    "CRAFT_MAIL_FROM",
    default=f"Craft <craft@{urlsplit(PUBLIC_URL).hostname or 'localhost'}>",
)

# --- Pages and files ---

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # no collectstatic step on the embedded default
LOGIN_URL = "/login"

UNFOLD = {
    "SITE_TITLE": "Craft",
    "SITE_HEADER": "Craft",
    "SITE_SUBHEADER": "Operator console",
    "SITE_URL": None,
    "SITE_ICON": lambda request: static("craft/mark.svg"),
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("craft/mark.svg"),
        }
    ],
    "STYLES": [lambda request: static("craft/admin.css")],
    "LOGIN": {"form": "accounts.forms.console.ConsoleSignInForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "workflows.admin.overview.get_context",
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "craft.admin.navigation.get_navigation",
    },
    "COMMAND": {"search_callback": "craft.admin.navigation.search"},
    "COLORS": {
        "primary": {
            "50": "oklch(96.2% .018 272.314)",
            "100": "oklch(93% .034 272.788)",
            "200": "oklch(87% .065 274.039)",
            "300": "oklch(78.5% .115 274.713)",
            "400": "oklch(67.3% .182 276.935)",
            "500": "oklch(58.5% .233 277.117)",
            "600": "oklch(51.1% .262 276.966)",
            "700": "oklch(45.7% .24 277.023)",
            "800": "oklch(39.8% .195 277.366)",
            "900": "oklch(35.9% .144 278.697)",
            "950": "oklch(25.7% .09 281.288)",
        },
    },
}

# --- Logs ---

LOG_FORMAT = env.str("CRAFT_LOG_FORMAT", default="console" if EMBEDDED else "json")
LOG_LEVEL = env.str("CRAFT_LOG_LEVEL", default="WARNING" if EMBEDDED else "INFO")
LOGGING_CONFIG = None  # craft/logs.py sets structlog up, from the entry points
