# syntax=docker/dockerfile:1

# --- What Craft runs on ---

FROM python:3.11-slim AS packages

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --require-hashes --requirement requirements.txt

# --- Craft ---

FROM python:3.11-slim

RUN useradd --system --uid 10001 --home-dir /var/lib/craft --shell /usr/sbin/nologin craft \
    && install -d -o craft -g craft -m 0750 /var/lib/craft

COPY --from=packages /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CRAFT_VAR_DIR=/var/lib/craft

WORKDIR /app
COPY . .
# The key is for this command only, so that none is generated into the image.
RUN CRAFT_VAR_DIR=/tmp/craft CRAFT_SECRET_KEY=only-to-collect-the-static-files-of-the-image \
    python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q /app \
    && rm -rf /tmp/craft

USER craft
VOLUME /var/lib/craft
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os; from http.client import HTTPConnection; c = HTTPConnection('127.0.0.1', int(os.environ.get('PORT', 8000)), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]

CMD ["python", "manage.py", "up", "--host", "0.0.0.0"]
