# What the public image of this name has, as far as compose.yaml needs it. In root/ are programs and files of the distribution's package.
FROM debian:bookworm-slim
COPY root/ /
COPY libraries/ /libraries/
COPY postgres.sh /usr/local/bin/
# A library that the base has too is left to the base.
RUN groupadd --system --gid 999 postgres && \
    useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql --shell /bin/sh postgres && \
    install -d -m 1777 -o postgres -g postgres /var/lib/postgresql/data /run/postgresql && \
    ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ && \
    for file in /libraries/*; do \
        [ -n "$(find /lib /usr/lib -name "${file##*/}" -print -quit)" ] || mv "$file" /usr/lib/; \
    done && \
    rm -r /libraries && ldconfig
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["postgres.sh"]
