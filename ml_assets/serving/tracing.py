"""OpenTelemetry's traces of requests: the extra `otel`. Metrics and logs need none of it.

Where traces go and how many of them, OpenTelemetry's own environment variables say (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, …).
"""

from typing import Any

from ml_assets.core.errors import ConfigError

_ATTRIBUTES = {
    b"x-request-id": "ml_assets.request_id",
    b"x-model-version": "ml_assets.model_version",
    b"x-variant": "ml_assets.variant",
}


class Traced:
    """An ASGI application, each of whose requests is a span that continues the caller's trace.

    Args:
        app: what answers.
        exporter: where spans go; None: as the environment says, by OTLP over HTTP.

    Raises:
        ConfigError: the extra `otel` is not installed.
    """

    def __init__(self, app: Any, exporter: Any = None) -> None:
        try:
            from opentelemetry.propagate import extract
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, StatusCode

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                exporter = OTLPSpanExporter()
        except ImportError as e:
            raise ConfigError(
                "--traces",
                found=f"no module {e.name}",
                expected="OpenTelemetry's SDK and its exporter",
                cure="pip install 'ml-assets[otel]', or leave --traces out",
            ) from e
        self._app, self._extract, self._kind, self._failed = app, extract, SpanKind.SERVER, StatusCode.ERROR
        self.provider = TracerProvider(resource=Resource.create({"service.name": "ml-assets"}))
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("ml_assets.serving")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer within a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        with self._tracer.start_as_current_span(
            f"{scope['method']} {scope['path']}", context=self._extract(carrier), kind=self._kind
        ) as span:
            span.set_attribute("http.request.method", scope["method"])
            span.set_attribute("url.path", scope["path"])

            async def told(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    for key, value in message["headers"]:
                        if key in _ATTRIBUTES:
                            span.set_attribute(_ATTRIBUTES[key], value.decode("latin-1"))
                    if message["status"] >= 500:
                        span.set_status(self._failed)
                await send(message)

            await self._app(scope, receive, told)
