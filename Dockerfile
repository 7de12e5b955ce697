# All programs of Muster in one image. They are compiled here, or taken from target/stage where that was made outside, from the same
# release of Debian (`cargo xtask test --containers` does): then any image will do for the toolchain, and no registry is needed.
ARG TOOLCHAIN=rust:1.95-bookworm
FROM ${TOOLCHAIN} AS programs
WORKDIR /muster
COPY . .
RUN mkdir /programs && \
    if [ -x target/stage/muster ]; then \
        mv target/stage/muster target/stage/muster-* /programs; \
    else \
        cargo build --release --locked --workspace --bins && rm -f target/release/*.d && \
        mv target/release/muster target/release/muster-* /programs; \
    fi

FROM debian:bookworm-slim
# One user, with a fixed number: what is handed out to another container is readable by this group. A named volume takes owner and mode
# of what it covers first; `init-keys` of compose.yaml mounts them all.
RUN groupadd --gid 10001 muster && \
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/muster --shell /usr/sbin/nologin muster && \
    install -d -m 0755 -o muster -g muster /var/lib/muster && \
    cd /var/lib/muster && \
    install -d -m 0700 -o muster -g muster keys machine machine/state machine/disk1 machine/disk2 && \
    install -d -m 0750 -o muster -g muster nats nats-2 nats-3 given given/nats given/postgres given/scheduler \
        given/machine-lifecycle given/reservation given/telemetry-logger given/report
COPY --from=programs /programs /usr/local/bin/
COPY modules /usr/local/share/muster/modules
COPY compose /usr/local/share/muster/compose
USER muster
WORKDIR /var/lib/muster
CMD ["muster", "--help"]
