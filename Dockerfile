# lull: built and run on Debian 12. Listens on 0.0.0.0:11435 in the container; answers are kept in
# /data; the model server is named by LULL_UPSTREAM (docker run -e LULL_UPSTREAM=http://...).
FROM docker.io/library/debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev cmake ninja-build pkg-config \
        libevent-dev libcurl4-openssl-dev liblmdb-dev libxxhash-dev libcjson-dev libssl-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt ./
COPY include include
COPY sidecar sidecar
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DLULL_TESTS=OFF \
    && ninja -C /build lulld lullctl \
    && strip /build/lulld /build/lullctl

FROM docker.io/library/debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libevent-core-2.1-7 libcurl4 liblmdb0 libxxhash0 \
        libcjson1 libssl3 ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 11435 lull \
    && useradd --system --uid 11435 --gid lull --no-create-home --home-dir /data lull \
    && install -d -o lull -g lull -m 0700 /data \
    && install -d -o lull -g lull -m 0750 /run/lull
COPY --from=build /build/lulld /build/lullctl /usr/bin/
COPY contrib/compose/lull.conf /etc/lull/lull.conf
USER 11435:11435
# also with a read-only root: the control socket needs /run/lull, the answers need /data
VOLUME ["/data", "/run/lull"]
EXPOSE 11435
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 \
    CMD ["lullctl", "--socket", "/run/lull/control.sock", "stats"]
ENTRYPOINT ["lulld"]
