# lull: a final stage with nothing but lulld, lullctl and what they load. The model server is named by
# LULL_UPSTREAM (docker run -e LULL_UPSTREAM=http://...) or by an /etc/lull/lull.conf of your own; the
# image itself sets no LULL_ variable. It needs no root, no capability and no writable root file system;
# answers are kept in /data, the control socket is in /run/lull. The same file serves amd64 and arm64.
FROM docker.io/library/debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get upgrade -y \
    && apt-get install -y --no-install-recommends gcc libc6-dev cmake ninja-build pkg-config \
        libevent-dev libcurl4-openssl-dev liblmdb-dev libxxhash-dev libcjson-dev libssl-dev ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt ./
COPY include include
COPY sidecar sidecar
COPY contrib/image contrib/image
ARG SOURCE_DATE_EPOCH
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DLULL_TESTS=OFF \
    && ninja -C /build lulld lullctl \
    && sh contrib/image/collect.sh /build /image

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lull" \
      org.opencontainers.image.description="Keeps Open WebUI's background calls from slowing down the chat" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.vendor="the lull authors" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/root/ /
# these two belong to the user; named volumes take their owner from here
COPY --from=build --chown=11435:11435 /image/own/data /data
COPY --from=build --chown=11435:11435 /image/own/run/lull /run/lull
USER 11435:11435
VOLUME ["/data", "/run/lull"]
EXPOSE 11435
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/usr/bin/lullctl", "health"]
ENTRYPOINT ["/usr/bin/lulld"]
