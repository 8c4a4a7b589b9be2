# Prometheus of Debian, for clusters that cannot pull docker.io/prom/prometheus.
ARG DEBIAN_IMAGE=docker.io/library/debian:bookworm-slim
FROM ${DEBIAN_IMAGE} AS package
RUN --mount=type=cache,id=weft-apt,target=/var/cache/apt --mount=type=cache,id=weft-apt-lists,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends prometheus

FROM ${DEBIAN_IMAGE}
COPY --from=package /usr/bin/prometheus /usr/bin/prometheus
USER 65534:65534
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
