# What the public image of this name has, as far as compose.yaml needs it.
FROM debian:bookworm-slim
COPY nats-server wget /usr/local/bin/
ENTRYPOINT ["nats-server"]
