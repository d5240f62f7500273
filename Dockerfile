# The gateway's image. `./dev image` builds it and tries it read-only, as its user. The package lists stand in ./dev only.
#
#     docker run --read-only --cap-drop ALL -v /path/to/etc:/etc/sluice:ro -p 8080:8080 sluice:dev
#
# /etc/sluice holds sluice.yaml and the secrets that it names, readable for user 10001. In a container the public listener
# must be 0.0.0.0:8080; the admin listener may stay on loopback, where the health check asks it.

FROM docker.io/library/debian:bookworm-slim AS build
WORKDIR /src
# Only what says which packages: the layer below is kept until that changes.
COPY dev ./
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $(./dev packages build) >/dev/null \
    && rm -rf /var/lib/apt/lists/*
COPY . .
# The same flags as the binary that the tests and the benchmarks measure.
RUN cmake -G Ninja -S . -B /build -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null \
    && ninja -C /build --quiet sluice \
    && cmake --install /build --prefix /install --strip >/dev/null

FROM docker.io/library/debian:bookworm-slim
COPY dev /tmp/dev
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $(/tmp/dev packages serve) >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /tmp/dev \
    && groupadd --gid 10001 sluice \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sluice \
    && install -d -o root -g sluice -m 0750 /etc/sluice
COPY --from=build /install/bin/sluice /usr/local/bin/sluice
USER 10001:10001
EXPOSE 8080
# It drains for drain_timeout (30 s unless told): give `docker stop` more than that (-t 40).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/local/bin/sluice", "health", "--config", "/etc/sluice/sluice.yaml"]
ENTRYPOINT ["/usr/local/bin/sluice"]
CMD ["serve", "--config", "/etc/sluice/sluice.yaml"]
