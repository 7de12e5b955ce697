# All programs of Muster in one image. They are built outside (`cargo build --release --workspace --bins`), so that an image needs
# neither a toolchain nor a registry of crates.
FROM debian:bookworm-slim
RUN useradd --system --create-home --home-dir /var/lib/muster muster
COPY target/release/muster target/release/muster-* /usr/local/bin/
COPY modules /usr/local/share/muster/modules
USER muster
WORKDIR /var/lib/muster
CMD ["muster", "--help"]
