# What docker.io/library/python:3.13-slim-bookworm is, where it cannot be pulled: CPython from source by that image's own steps
# (shared library found by rpath, /usr/local, no bytecode, no tests), but without its optimizations. WEFT_BASES=source chooses it.
ARG DEBIAN_IMAGE
FROM ${DEBIAN_IMAGE} AS build
RUN --mount=type=cache,id=weft-apt,target=/var/cache/apt,sharing=locked --mount=type=cache,id=weft-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends dpkg-dev gcc libc6-dev make xz-utils \
      libbz2-dev libffi-dev libgdbm-dev liblzma-dev libncursesw5-dev libreadline-dev libsqlite3-dev libssl-dev uuid-dev zlib1g-dev
WORKDIR /src
RUN --mount=type=cache,id=weft-apt-source,target=/var/lib/apt/lists \
    printf 'deb-src http://deb.debian.org/debian trixie main\n' >/etc/apt/sources.list && rm -rf /etc/apt/sources.list.d && \
    apt-get update && apt-get source --download-only python3.13 && tar -xJf python3.13_*.orig.tar.xz --strip-components=1
RUN ./configure --enable-loadable-sqlite-extensions --enable-option-checking=fatal --enable-shared --without-ensurepip && \
    make -s -j2 LDFLAGS=-Wl,--strip-all && rm python && \
    make -s LDFLAGS="-Wl,--strip-all -Wl,-rpath='\$\$ORIGIN/../lib'" python && make -s install && \
    find /usr/local -depth \( \( -type d -a \( -name test -o -name tests -o -name idle_test \) \) \
      -o \( -type f -a \( -name '*.pyc' -o -name 'libpython*.a' \) \) \) -exec rm -rf {} + && \
    ln -s python3 /usr/local/bin/python

FROM ${DEBIAN_IMAGE}
RUN --mount=type=cache,id=weft-apt,target=/var/cache/apt,sharing=locked --mount=type=cache,id=weft-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends libbz2-1.0 libffi8 libgdbm6 liblzma5 libncursesw6 libreadline8 \
      libsqlite3-0 libssl3 libuuid1 zlib1g netbase tzdata
COPY --from=build /usr/local /usr/local
RUN ldconfig && python --version
