# All programs of Muster in one image. Built in one stage, shipped in another.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --workspace --bins --locked

FROM debian:bookworm-slim
RUN useradd --system --create-home --home-dir /var/lib/muster muster
COPY --from=build /src/target/release/muster /src/target/release/muster-* /usr/local/bin/
COPY --from=build /src/modules /usr/local/share/muster/modules
USER muster
WORKDIR /var/lib/muster
CMD ["muster", "--help"]
