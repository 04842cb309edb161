# The server in a container: two stages, a numeric user, nothing written outside /tmp and what is mounted, so that it
# runs with a read-only root (--read-only --tmpfs /tmp). The two secrets are optional: a pip configuration and certificates.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/exprd
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY client client
COPY compiler compiler
COPY proto proto
COPY server server
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/ca.crt \
    /opt/exprd/bin/pip install --no-cache-dir --disable-pip-version-check '.[server]'

FROM ${BASE_IMAGE}
COPY --from=build /opt/exprd /opt/exprd
ENV PATH=/opt/exprd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRPC_VERBOSITY=ERROR \
    EXPRD_CACHE_DIR=/tmp/exprd-cache
# For a volume: a new one takes its owner from here. There is no VOLUME line, since that would hide what is mounted there
# from some tools, and keep state where nobody looks for it.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/exprd
USER 10001:10001
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["exprd", "health"]
ENTRYPOINT ["exprd"]
# Calls are not encrypted by default: publish the port to machines you trust, and to no others, or mount certificates
# and tokens (docs/container.md).
CMD ["serve", "--listen", "0.0.0.0:50051", "--insecure"]
