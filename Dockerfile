FROM python:3.12-slim
WORKDIR /app
ENV PYTHONUNBUFFERED=1 DJANGO_SETTINGS_MODULE=config.settings.production
COPY requirements/ requirements/
RUN pip install --no-cache-dir --no-deps --requirement requirements/run.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
 && useradd --system --create-home automate && mkdir -p /app/.data/media && chown -R automate /app/.data
USER automate
EXPOSE 8000
CMD ["uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio", "--no-access-log", "--no-proxy-headers"]
