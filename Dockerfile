# One static binary on an empty image.
#
#   docker build -t hubforce .
#   docker run -p 8080:8080 -v hubforce:/var/lib/hubforce -v ./hubforce.toml:/etc/hubforce/hubforce.toml:ro hubforce
#
# In the configuration, set `server.listen = "0.0.0.0:8080"` and `database.url = "sqlite:///var/lib/hubforce/hubforce.db"`.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# glibc answers DNS from within the binary when it is linked statically (2.34 and later).
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --locked --release --target x86_64-unknown-linux-gnu --bin hubforce
RUN mkdir -p /image/bin /image/etc/ssl/certs /image/var/lib/hubforce /image/tmp \
    && cp target/x86_64-unknown-linux-gnu/release/hubforce /image/bin/hubforce \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && chmod 1777 /image/tmp \
    && chown -R 65532:65532 /image/var/lib/hubforce

FROM scratch
COPY --from=build /image /
ENV HUBFORCE_CONFIG=/etc/hubforce/hubforce.toml
USER 65532:65532
WORKDIR /var/lib/hubforce
VOLUME /var/lib/hubforce
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/bin/hubforce", "health"]
ENTRYPOINT ["/bin/hubforce"]
CMD ["serve"]
