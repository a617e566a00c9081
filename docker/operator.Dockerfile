# The image of the operator: one static program, and the authorities that TLS trusts.
#
#   docker build --file docker/operator.Dockerfile --tag reckon/reckon-operator:0.1.0 .
#
# Without a registry: put the two files that the first stage leaves in /out into DIR/out, and
#   buildah build --build-context build=DIR --timestamp 0 --file docker/operator.Dockerfile --tag reckon/reckon-operator:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Static, for an image without a system. The target is named so that build scripts and macros are built without the flag.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --package reckon-operator --target "$(rustc --print host-tuple)" \
    && install -D --mode=755 "target/$(rustc --print host-tuple)/release/reckon-operator" /out/reckon-operator \
    && install --mode=644 /etc/ssl/certs/ca-certificates.crt /out/ca-certificates.crt

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="Reckon operator" \
      org.opencontainers.image.description="Runs the recommendation API on Kubernetes, within the connections its database was promised" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/reckon-operator /reckon-operator
USER 65532:65532
ENV RECKON_OPS_LISTEN=[::]:8080
EXPOSE 8080
ENTRYPOINT ["/reckon-operator"]
CMD ["run"]
